use super::*;
use crate::{
    Piece, Plan, Settings,
    outcome::Outcome,
    testing::{self, Fault, Script, collect},
};

const SHORT: Duration = Duration::from_secs(2);

/// One that waits for the only place of the only server while that is at a body with this fault: how it ends, and when.
async fn waiter(fault: Fault) -> (Result<Vec<u8>, FetchError>, Duration) {
    let script = Script::default();
    let (first, _) = script.needle(1, 50_000);
    let (second, _) = script.needle(2, 1000);
    script.fault("a:1", [fault]);
    let (engine, _) = script.engine(Settings { per_server: 1, first_byte_timeout: SHORT, ..Settings::default() });
    let other = engine.clone();
    let first = tokio::spawn(async move { other.download(Plan::from_iter([Piece::Needle(first)])).await.map(drop) });
    tokio::task::yield_now().await;
    let begin = Instant::now();
    let second = match engine.download(Plan::from_iter([Piece::Needle(second)])).await {
        Ok(download) => collect(download).await.map_err(|(_, error)| error),
        Err(error) => Err(error),
    };
    first.abort();
    (second, begin.elapsed())
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_only_server_is_let_go_when_nothing_comes_from_it_for_too_long() {
    let (ended, after) = waiter(Fault::StallAfter(20_000)).await;
    let error = ended.err().unwrap();
    assert!(matches!(error, FetchError::Exhausted { cause: Cause::Timeout, .. }), "{error}");
    assert!((2 * SHORT..3 * SHORT).contains(&after), "it was waited for twice: {after:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_only_server_waits_on_while_others_hear_from_it() {
    let (ended, after) = waiter(Fault::Trickle(SHORT / 2)).await;
    assert_eq!(ended.unwrap().len(), 1000);
    assert!(after > 2 * SHORT, "{after:?}");
}

/// How long many that begin at once take to fail, of whose needle no replica answers. Each server is asked for two at a time.
async fn given_up_after(servers: &[&'static str]) -> Duration {
    const MANY: usize = 40;
    let script = Script::default();
    script.locations([servers.to_vec()]);
    for server in servers {
        script.fault(server, vec![Fault::Hang; 10 * MANY]);
    }
    let (engine, _) = script.engine(Settings { per_server: 2, first_byte_timeout: SHORT, ..Settings::default() });
    let begin = Instant::now();
    let reads =
        (0..MANY as u32).map(|key| engine.download(Plan::from_iter([Piece::Needle(script.needle(key, 1000).0)])));
    for ended in futures_util::future::join_all(reads).await {
        let error = ended.err().unwrap();
        assert!(matches!(error, FetchError::Exhausted { cause: Cause::Timeout, .. }), "{error}");
    }
    begin.elapsed()
}

/// Whoever waited for a place at one of two went from one to the other, as long as those before it in the line took together.
#[tokio::test(start_paused = true)]
async fn who_waits_at_replicas_that_all_stand_still_is_let_go_like_at_the_only_one() {
    let (one, two) = (given_up_after(&["a:1"]).await, given_up_after(&["a:1", "b:1"]).await);
    assert!((2 * SHORT..=4 * SHORT).contains(&one), "{one:?}");
    assert!((2 * SHORT..=6 * SHORT).contains(&two), "{two:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_at_replicas_that_are_slow_is_not_let_go() {
    let script = Script::default();
    script.locations([vec!["a:1", "b:1"]]);
    script.latency(SHORT * 3 / 4);
    let (engine, _) = script.engine(Settings { per_server: 1, first_byte_timeout: SHORT, ..Settings::default() });
    let (begin, mut bytes) = (Instant::now(), Vec::new());
    let reads = (0..20).map(|key| {
        let (read, expected) = script.needle(key, 1000);
        bytes.push(expected);
        engine.download(Plan::from_iter([Piece::Needle(read)]))
    });
    let reads: Vec<_> = reads.collect();
    for (download, expected) in futures_util::future::join_all(reads).await.into_iter().zip(bytes) {
        assert_eq!(collect(download.unwrap()).await.unwrap(), expected);
    }
    assert!(begin.elapsed() > 5 * SHORT, "{:?}", begin.elapsed());
}

/// Replicas of which the only one has failed once, and is to be asked again.
async fn failed_once<'a>(context: &'a FetchContext, read: &NeedleRead, priority: &'a Priority) -> Replicas<'a> {
    let mut replicas = Replicas::new(context, read, priority);
    drop(replicas.next(1).await.unwrap());
    replicas.failed(Failure { server: "a:1".into(), cause: Cause::Status(500) });
    replicas
}

#[tokio::test(start_paused = true)]
async fn what_lies_ahead_waits_for_retries_and_what_is_waited_for_does_not() {
    let script = Script::default();
    let (read, _) = script.needle(1, 1000);
    let (engine, _) = script.engine(Settings::default());
    let context = &engine.shared.fetch;
    let server = context.servers.get(&"a:1".into());
    let (ahead, comes, head) =
        (Priority::new(Urgency::Ahead), Priority::new(Urgency::Ahead), Priority::new(Urgency::Head));
    let mut one = failed_once(context, &read, &ahead).await;
    let mut two = failed_once(context, &read, &comes).await;
    let mut three = failed_once(context, &read, &head).await;
    while server.may_be_asked_again(Urgency::Ahead) {}
    let begin = Instant::now();
    {
        let mut waits = std::pin::pin!(two.next(1));
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        comes.reach();
        assert!(waits.await.is_ok(), "the half that was left is for it now");
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert!(one.next(1).await.is_ok());
    assert!(begin.elapsed() >= AHEAD, "until there was more than half");
    while server.may_be_asked_again(Urgency::Head) {}
    let begin = Instant::now();
    assert!(three.next(1).await.is_err());
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

fn refused() -> Cause {
    Cause::Connect(testing::refused())
}

/// The only server is asked, and refuses. `false`: it is given up.
async fn is_refused(replicas: &mut Replicas<'_>) -> bool {
    let Ok(attempt) = replicas.next(1).await else { return false };
    attempt.ended(refused().outcome());
    replicas.failed(Failure { server: "a:1".into(), cause: refused() });
    true
}

/// The pauses before each time that the only server is asked, of which it makes the same each time.
async fn pauses(cause: Cause) -> Vec<Duration> {
    let script = Script::default();
    let (read, _) = script.needle(1, 1000);
    let (engine, _) = script.engine(Settings::default());
    let priority = Priority::new(Urgency::Head);
    let mut replicas = Replicas::new(&engine.shared.fetch, &read, &priority);
    let (mut pauses, mut since) = (Vec::new(), Instant::now());
    while let Ok(attempt) = replicas.next(1).await {
        attempt.ended(cause.outcome());
        pauses.push(since.elapsed());
        since = Instant::now();
        replicas.failed(Failure { server: "a:1".into(), cause: cause.clone() });
    }
    pauses
}

/// Whether a pause is within these, which become twice as long each round.
fn is_pause(pause: Duration, (least, most): (Duration, Duration), round: u32) -> bool {
    // A timer is a millisecond late at most.
    (least * 2u32.pow(round)..=most * 2u32.pow(round) + Duration::from_millis(1)).contains(&pause)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_busy_is_given_longer_each_time_and_not_for_ever() {
    let pauses = pauses(Cause::Busy(503)).await;
    assert_eq!(pauses.len() as u32, 1 + ROUNDS + 1, "at first, after each pause, and when it was looked up afresh");
    assert_eq!((pauses[0], pauses[pauses.len() - 1]), (Duration::ZERO, Duration::ZERO));
    for (round, pause) in (0..ROUNDS).zip(&pauses[1..]) {
        assert!(is_pause(*pause, BUSY, round), "{round}: {pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_accept_the_token_is_given_time_once() {
    let pauses = pauses(Cause::Unauthorized).await;
    assert_eq!((pauses.len(), pauses[0], pauses[2]), (3, Duration::ZERO, Duration::ZERO));
    assert!(is_pause(pauses[1], BUSY, 0), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_gone_is_asked_at_once_where_it_was_looked_up_afresh_and_then_less_and_less() {
    let pauses = pauses(refused()).await;
    assert_eq!(pauses[..2], [Duration::ZERO; 2]);
    // After five failures it is asked by probes alone.
    for (round, pause) in (0..3).zip(&pauses[2..]) {
        assert!(is_pause(*pause, GONE, round), "{round}: {pause:?}");
    }
    let all: Duration = pauses.iter().sum();
    assert!((RESTART / 2..=RESTART).contains(&all), "{pauses:?}");
}

/// How often the volume of a needle is looked up when the first of these servers has answered so.
async fn lookups(servers: &[&'static str], causes: &[Cause]) -> usize {
    const MANY: usize = 9;
    let script = Script::default();
    script.locations(vec![servers.to_vec(); MANY]);
    let (read, _) = script.needle(1, 1000);
    let (engine, _) = script.engine(Settings::default());
    let priority = Priority::new(Urgency::Head);
    for cause in causes {
        let mut replicas = Replicas::new(&engine.shared.fetch, &read, &priority);
        drop(replicas.next(1).await.unwrap());
        replicas.failed(Failure { server: servers[0].into(), cause: cause.clone() });
        tokio::task::yield_now().await;
    }
    MANY - script.0.lock().unwrap().locations.len() - causes.len()
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_looked_up_again_where_one_of_several_does_not_have_the_needle_and_once_for_many() {
    let missing = Cause::NotFound;
    assert_eq!(lookups(&["a:1", "b:1"], std::slice::from_ref(&missing)).await, 1);
    assert_eq!(lookups(&["a:1", "b:1"], &[missing.clone(), missing.clone()]).await, 1);
    assert_eq!(lookups(&["a:1"], &[missing]).await, 0, "that comes next anyway");
    assert_eq!(lookups(&["a:1", "b:1"], &[Cause::Status(500)]).await, 0);
}

/// A request that has the only place at a server.
fn full(context: &FetchContext, authority: &str) -> Attempt {
    let mut attempt = context.servers.attempt_at(&authority.into());
    assert!(attempt.try_place(&Priority::new(Urgency::Head), 1));
    attempt.sent();
    attempt
}

/// An engine that asks two servers, one request at a time, and a needle of both.
fn of_two() -> (crate::Engine, NeedleRead) {
    let script = Script::default();
    script.locations([vec!["a:1", "b:1"]]);
    let (read, _) = script.needle(1, 1000);
    (script.engine(Settings { per_server: 1, ..Settings::default() }).0, read)
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_goes_to_another_server_when_the_first_stands_still() {
    let (engine, read) = of_two();
    let (context, priority) = (&engine.shared.fetch, Priority::new(Urgency::Head));
    let (_a, b) = (full(context, "a:1"), full(context, "b:1"));
    let mut longer_line = context.servers.attempt_at(&"b:1".into());
    let mut waits = Box::pin(longer_line.place(&priority, 1));
    assert!(futures_util::poll!(waits.as_mut()).is_pending());
    let mut replicas = Replicas::new(context, &read, &priority);
    let mut next = Box::pin(replicas.next(1));
    assert!(futures_util::poll!(next.as_mut()).is_pending());
    drop((waits, b));
    let begin = Instant::now();
    assert_eq!(&**next.await.unwrap().authority(), "b:1");
    assert!((SHORT / 2..SHORT).contains(&begin.elapsed()), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_second_request_needs_a_place_and_leave() {
    let (engine, read) = of_two();
    let (context, priority) = (&engine.shared.fetch, Priority::new(Urgency::Head));
    let (a, b) = (context.servers.get(&"a:1".into()), context.servers.get(&"b:1".into()));
    let mut replicas = Replicas::new(context, &read, &priority);
    drop(replicas.next(1).await.unwrap());
    assert!(replicas.hedge(&a, 1).is_none(), "one in fifty");
    (0..100).for_each(|_| context.servers.fetch_begins(&b));
    let elsewhere = full(context, "b:1");
    assert!(replicas.hedge(&a, 1).is_none(), "it is full");
    drop(elsewhere);
    assert_eq!(&**replicas.hedge(&a, 1).unwrap().authority(), "b:1");
}

#[tokio::test(start_paused = true)]
async fn beside_one_that_stands_still_another_is_asked_though_it_has_more_to_do() {
    let script = Script::default();
    script.locations([vec!["a:1", "b:1"]]);
    let (read, _) = script.needle(1, 1000);
    let (engine, _) = script.engine(Settings { per_server: 9, ..Settings::default() });
    let (context, priority) = (&engine.shared.fetch, Priority::new(Urgency::Head));
    let mut replicas = Replicas::new(context, &read, &priority);
    drop(replicas.next(1).await.unwrap());
    let _load: Vec<_> = (0..3).map(|_| full(context, "b:1")).collect();
    let stands_still = context.servers.get(&"a:1".into());
    assert_eq!(&**replicas.beside(&[stands_still], 1).await.unwrap().authority(), "b:1");
}

/// Whoever had waited for a second found out whether another server was back, and waited for one more.
#[tokio::test(start_paused = true)]
async fn beside_one_that_stands_still_nobody_finds_out_whether_another_is_back() {
    let script = Script::default();
    script.locations([vec!["a:1", "b:1", "c:1"]]);
    let (read, _) = script.needle(1, 1000);
    let (engine, _) = script.engine(Settings { per_server: 9, ..Settings::default() });
    let (context, priority) = (&engine.shared.fetch, Priority::new(Urgency::Head));
    let mut replicas = Replicas::new(context, &read, &priority);
    drop(replicas.next(1).await.unwrap());
    let _load: Vec<_> = ["b:1", "c:1", "c:1", "c:1"].map(|server| full(context, server)).into();
    let b = context.servers.get(&"b:1".into());
    b.stands_still().await;
    sleep(SHORT).await;
    assert!(b.may_be_asked(Instant::now()), "its time aside is over");
    let a = context.servers.get(&"a:1".into());
    assert_eq!(&**replicas.beside(&[Arc::clone(&a)], 1).await.unwrap().authority(), "c:1");
    let c = context.servers.get(&"c:1".into());
    assert_eq!(&**replicas.beside(&[a, c], 1).await.unwrap().authority(), "b:1", "nobody else is left");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_waited_for_is_asked_without_a_retry() {
    let script = Script::default();
    let (read, _) = script.needle(1, 1000);
    let (engine, _) = script.engine(Settings::default());
    let (context, priority) = (&engine.shared.fetch, Priority::new(Urgency::Head));
    let server = context.servers.get(&"a:1".into());
    let mut replicas = Replicas::new(context, &read, &priority);
    for _ in 0..2 {
        assert!(is_refused(&mut replicas).await);
    }
    let begin = Instant::now();
    let others_retry = async {
        loop {
            while server.may_be_asked_again(Urgency::Head) {}
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        biased;
        () = others_retry => unreachable!(),
        next = replicas.next(1) => assert!(next.is_ok(), "there is no retry left, and none is needed"),
    }
    assert!(begin.elapsed() >= GONE.0, "it was not waited for: {:?}", begin.elapsed());
}

/// They waited until the body of the probe had ended, which takes seconds on a slow line, and gave up before.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_server_that_is_gone_goes_on_when_the_answer_to_a_probe_begins() {
    let script = Script::default();
    let (read, _) = script.needle(1, 1000);
    let (engine, _) = script.engine(Settings::default());
    let (context, priority) = (&engine.shared.fetch, Priority::new(Urgency::Head));
    let server = context.servers.get(&"a:1".into());
    for _ in 0..5 {
        context.servers.attempt_at(&"a:1".into()).ended(refused().outcome());
    }
    tokio::time::sleep_until(server.probed_at().unwrap()).await;
    let mut probe = context.servers.attempt_at(&"a:1".into());
    probe.sent();
    let mut replicas = Replicas::new(context, &read, &priority);
    assert!(is_refused(&mut replicas).await);
    let begin = Instant::now();
    let answered = async {
        sleep(SHORT).await;
        probe.first_byte();
        std::future::pending().await
    };
    tokio::select! {
        next = replicas.next(1) => assert!(next.is_ok()),
        () = answered => {}
    }
    assert_eq!(begin.elapsed(), SHORT);
}

/// It was not waited for any more when it was gone again at the end of a long line.
#[tokio::test(start_paused = true)]
async fn the_time_in_a_line_is_no_time_of_failing() {
    let script = Script::default();
    let (read, _) = script.needle(1, 1000);
    let (engine, _) = script.engine(Settings { per_server: 1, ..Settings::default() });
    let (context, priority) = (&engine.shared.fetch, Priority::new(Urgency::Head));
    let mut replicas = Replicas::new(context, &read, &priority);
    for _ in 0..2 {
        assert!(is_refused(&mut replicas).await);
    }
    let mut before = full(context, "a:1");
    let line = async {
        before.first_byte();
        sleep(3 * RESTART).await;
        drop(before);
    };
    let (next, ()) = tokio::join!(replicas.next(1), line);
    next.unwrap().ended(refused().outcome());
    replicas.failed(Failure { server: "a:1".into(), cause: refused() });
    assert!(replicas.next(1).await.is_ok());
}

/// Whoever met the one failure of a server that answers everybody else gave up at once.
#[tokio::test(start_paused = true)]
async fn a_server_that_has_answered_others_since_it_failed_is_asked_again() {
    let script = Script::default();
    let (read, _) = script.needle(1, 1000);
    let (engine, _) = script.engine(Settings::default());
    let (context, priority) = (&engine.shared.fetch, Priority::new(Urgency::Head));
    let mut replicas = Replicas::new(context, &read, &priority);
    for round in 0..6 {
        assert!(is_refused(&mut replicas).await, "given up in round {round}");
        context.servers.attempt_at(&"a:1".into()).ended(Outcome::Sound);
    }
}

/// The pauses before each time that the only server is asked, which breaks off each time, though others hear from it. It is
/// asked so many times at most.
async fn broken_off(most: usize, gives_bytes: bool) -> Vec<Duration> {
    let script = Script::default();
    let (read, _) = script.needle(1, 1000);
    let (engine, _) = script.engine(Settings::default());
    let (context, priority) = (&engine.shared.fetch, Priority::new(Urgency::Head));
    let mut replicas = Replicas::new(context, &read, &priority);
    let (mut pauses, mut since) = (Vec::new(), Instant::now());
    while pauses.len() < most
        && let Ok(attempt) = replicas.next(1).await
    {
        pauses.push(since.elapsed());
        since = Instant::now();
        context.servers.attempt_at(&"a:1".into()).ended(Outcome::Sound);
        attempt.ended(refused().outcome());
        if gives_bytes {
            replicas.goes_on();
        }
        replicas.failed(Failure { server: "a:1".into(), cause: refused() });
    }
    pauses
}

#[tokio::test(start_paused = true)]
async fn a_server_that_breaks_off_is_asked_again_as_long_as_bytes_come() {
    const MANY: usize = 300;
    let stuck: Duration = broken_off(MANY, false).await.iter().sum();
    assert!((RESTART..=2 * RESTART).contains(&stuck), "{stuck:?}");
    let pauses = broken_off(MANY, true).await;
    assert_eq!(pauses.len(), MANY);
    assert!(pauses[2..].iter().all(|pause| is_pause(*pause, GONE, 0)), "none of them longer: {pauses:?}");
}
