use super::*;
use crate::{
    Piece, Plan, Settings,
    testing::{Fault, Script, collect},
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
