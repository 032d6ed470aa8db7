//! The first sound answer of several replicas: who asks another one, and when. Knows nothing of what is made of the answer.

use std::{pin::Pin, sync::Arc};

use futures_util::{
    StreamExt,
    future::{Either, pending},
    stream::FuturesUnordered,
};
use tokio::time::sleep;

use super::{
    FetchContext,
    replicas::{Failure, Replicas},
    request::{ByteSelection, SoundAnswer, ask},
};
use crate::{
    NeedleRead,
    servers::{Attempt, Server},
};

/// The first sound answer, of one replica or of more. A second one is asked when the first is late, as far as that may be
/// done; and one more whenever the last one stands still, or fails while others are still waited for.
pub(crate) async fn first_answer(
    context: &FetchContext,
    replicas: &mut Replicas<'_>,
    first: Attempt,
    read: &NeedleRead,
    wanted: &ByteSelection,
) -> Result<SoundAnswer, Failure> {
    let server = Arc::clone(first.server());
    let mut one = std::pin::pin!(ask(context, first, read, wanted));
    if !replicas.has_another(&server) {
        return one.await;
    }
    let late = async {
        match context.servers.hedge_after(wanted.len_of(read)) {
            Some(late) => sleep(late).await,
            None => pending().await,
        }
    };
    let mut silence = std::pin::pin!(stands_still(Arc::clone(&server)));
    let is_late = tokio::select! {
        biased;
        answer = &mut one => return answer,
        () = late => true,
        _ = &mut silence => false,
    };
    let question = Question { context, read, wanted };
    // Boxed, as all that hardly any fetch comes to: every fetch is moved into a task of its own.
    Box::pin(question.asked_beside(replicas, server, one, is_late.then_some(silence))).await
}

/// What several replicas are asked.
struct Question<'a> {
    context: &'a FetchContext,
    read: &'a NeedleRead,
    wanted: &'a ByteSelection,
}

impl Question<'_> {
    /// Asks others beside the first server, which is late, or stands still where its `silence` is over. Whoever is sound first;
    /// where one fails the others still have their time. Every replica is asked once at most, and each is watched.
    async fn asked_beside(
        &self,
        replicas: &mut Replicas<'_>,
        first: Arc<Server>,
        one: Pin<&mut impl Future<Output = Result<SoundAnswer, Failure>>>,
        silence: Option<Pin<&mut impl Future<Output = Arc<Server>>>>,
    ) -> Result<SoundAnswer, Failure> {
        let (context, bytes) = (self.context, self.wanted.len_of(self.read));
        let (mut answers, mut silences) = (FuturesUnordered::new(), FuturesUnordered::new());
        answers.push(Either::Left(one));
        // One that is late needs not stand still, and leave for a second request is not always given.
        let mut stuck = silence.is_none();
        let mut next = if stuck { None } else { replicas.hedge(&first, bytes) };
        silences.extend(silence.map(Either::Left));
        let mut asked = vec![first];
        loop {
            if let Some(attempt) = next.take() {
                context.metrics.hedges_sent.inc();
                asked.push(Arc::clone(attempt.server()));
                silences.push(Either::Right(stands_still(Arc::clone(attempt.server()))));
                answers.push(Either::Right(ask(context, attempt, self.read, self.wanted)));
            }
            let is_last = |authority: &Arc<str>| asked.last().is_some_and(|last| last.authority == *authority);
            let another = async { if stuck { replicas.beside(&asked, bytes).await } else { pending().await } };
            tokio::select! {
                biased;
                Some(answer) = answers.next() => match answer {
                    Ok(sound) => {
                        if *sound.attempt.authority() != asked[0].authority {
                            context.metrics.hedges_won.inc();
                        }
                        return Ok(sound);
                    }
                    // Nobody is waited for any more: who asks for the next one tells of this failure.
                    Err(failure) if answers.is_empty() => return Err(failure),
                    Err(failure) => {
                        stuck |= is_last(&failure.server);
                        replicas.failed(failure);
                    }
                },
                Some(server) = silences.next() => stuck |= is_last(&server.authority),
                attempt = another => (next, stuck) = (attempt, false),
            }
        }
    }
}

/// The server, when it stands still.
async fn stands_still(server: Arc<Server>) -> Arc<Server> {
    server.stands_still().await;
    server
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::{
        Engine, Metrics, Settings,
        testing::{Fault, Script},
        urgency::{Priority, Urgency},
    };

    const SECOND: Duration = Duration::from_secs(1);
    const MOMENT: Duration = Duration::from_millis(100);

    /// Servers of which "a:1" is asked first, and each before the next, which has more to do.
    struct InOrder {
        script: Script,
        engine: Engine,
        metrics: Metrics,
        _load: Vec<Attempt>,
    }

    impl InOrder {
        /// Those that have these faults, the first time that they are asked.
        fn new(faults: &[(&'static str, Option<Fault>)]) -> Self {
            let script = Script::default();
            script.locations([faults.iter().map(|(server, _)| *server).collect()]);
            let (engine, metrics) = script.engine(Settings::default());
            let mut load = Vec::new();
            for (at, (server, fault)) in faults.iter().enumerate() {
                script.fault(server, fault.clone());
                load.extend((0..2 * at).map(|_| placed(&engine, server)));
            }
            Self { script, engine, metrics, _load: load }
        }

        /// Who gives the first sound answer, and after how long; or who has failed last.
        async fn answer(&self) -> (Result<Arc<str>, Arc<str>>, Duration) {
            let (context, priority) = (&self.engine.shared.fetch, Priority::new(Urgency::Head));
            let (read, _) = self.script.needle(1, 1000);
            let mut replicas = Replicas::new(context, &read, &priority);
            // By that it knows where they are.
            drop(replicas.next(0).await.unwrap());
            let begin = Instant::now();
            let first = placed(&self.engine, "a:1");
            let answer = first_answer(context, &mut replicas, first, &read, &ByteSelection::Needle).await;
            let told = answer.map(|sound| Arc::clone(sound.attempt.authority())).map_err(|failure| failure.server);
            (told, begin.elapsed())
        }

        /// Requests that were sent beside others, and those that won.
        fn hedges(&self) -> (u64, u64) {
            (self.metrics.hedges_sent.get(), self.metrics.hedges_won.get())
        }
    }

    /// A request with a place at a server.
    fn placed(engine: &Engine, server: &str) -> Attempt {
        let mut attempt = engine.shared.fetch.servers.attempt_at(&server.into());
        assert!(attempt.try_place(&Priority::new(Urgency::Head), 1));
        attempt
    }

    /// The third was asked after `first_byte_timeout`, 30 s, and the second was never set aside.
    #[tokio::test(start_paused = true)]
    async fn where_two_of_three_servers_stand_still_the_third_is_asked_two_seconds_later() {
        let servers = InOrder::new(&[("a:1", Some(Fault::Hang)), ("b:1", Some(Fault::Hang)), ("c:1", None)]);
        let (told, took) = servers.answer().await;
        assert_eq!(told, Ok("c:1".into()));
        assert!((2 * SECOND..2 * SECOND + MOMENT).contains(&took), "{took:?}");
        assert_eq!((servers.metrics.ejections.get(), servers.hedges()), (2, (2, 1)));
        assert_eq!(servers.script.0.lock().unwrap().open, 0, "who is not waited for any more is let go");
    }

    /// The first was waited for all the same, as long as a first byte may take.
    #[tokio::test(start_paused = true)]
    async fn where_the_second_server_fails_at_once_the_third_is_asked_at_once() {
        for failure in [Fault::Status(404), Fault::Refuse, Fault::Status(503)] {
            let servers = InOrder::new(&[("a:1", Some(Fault::Hang)), ("b:1", Some(failure.clone())), ("c:1", None)]);
            let (told, took) = servers.answer().await;
            assert_eq!(told, Ok("c:1".into()), "{failure:?}");
            assert!((SECOND..SECOND + MOMENT).contains(&took), "{failure:?}: {took:?}");
            assert_eq!(servers.hedges(), (2, 1));
        }
    }

    /// It was two, as long as nobody knew when a server is late.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_stands_still_is_waited_for_one_second() {
        let servers = InOrder::new(&[("a:1", Some(Fault::Hang)), ("b:1", None)]);
        let (told, took) = servers.answer().await;
        assert_eq!(told, Ok("b:1".into()));
        assert!((SECOND..SECOND + MOMENT).contains(&took), "{took:?}");
        assert_eq!((servers.metrics.ejections.get(), servers.hedges()), (1, (1, 1)));
    }

    /// It was asked for being late, stood still itself, and nobody watched it.
    #[tokio::test(start_paused = true)]
    async fn a_second_server_that_stands_still_beside_a_late_one_is_no_longer_waited_for() {
        let late = Fault::Late(20 * SECOND);
        let servers = InOrder::new(&[("a:1", Some(late)), ("b:1", Some(Fault::Hang)), ("c:1", None)]);
        let known = &servers.engine.shared.fetch.servers;
        let a = known.get(&"a:1".into());
        for _ in 0..100 {
            known.fetch_begins(&a);
            known.first_byte(0, MOMENT);
        }
        let (told, took) = servers.answer().await;
        assert_eq!(told, Ok("c:1".into()));
        assert!((SECOND..SECOND + 2 * MOMENT).contains(&took), "{took:?}");
        assert_eq!((servers.metrics.ejections.get(), servers.hedges()), (2, (2, 1)), "both are set aside");
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_stand_still_each_is_asked_once_and_the_last_one_told_of() {
        let servers = InOrder::new(&["a:1", "b:1", "c:1"].map(|server| (server, Some(Fault::Hang))));
        let (told, took) = servers.answer().await;
        assert_eq!(told, Err("c:1".into()));
        assert!((32 * SECOND..32 * SECOND + MOMENT).contains(&took), "each has its time: {took:?}");
        assert_eq!(
            servers.script.requests(),
            ["a:1", "b:1", "c:1"].map(|server| format!("{server} 3,0100000001 whole"))
        );
        assert_eq!((servers.metrics.ejections.get(), servers.hedges()), (3, (2, 0)));
        assert_eq!(servers.script.0.lock().unwrap().open, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_server_wins_where_it_answers_after_all_and_all_others_fail() {
        let failure = Some(Fault::Status(500));
        let late = Some(Fault::Late(3 * SECOND));
        let servers = InOrder::new(&[("a:1", late), ("b:1", failure.clone()), ("c:1", failure)]);
        let (told, took) = servers.answer().await;
        assert_eq!(told, Ok("a:1".into()));
        assert!((3 * SECOND..3 * SECOND + MOMENT).contains(&took), "{took:?}");
        assert_eq!(servers.hedges(), (2, 0));
    }
}
