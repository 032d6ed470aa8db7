//! What nobody can mend ends in an error, early where that can be.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_fails_at_once_fails_before_anything_is_given() {
    let script = Script::default();
    let (plan, _) = script.needles(1, 50_000);
    script.0.lock().unwrap().needles.clear();
    let (engine, metrics) = script.engine(Settings::default());
    let error = engine.download(plan).await.err().unwrap();
    assert!(error.is_missing(), "{error}");
    assert_eq!(script.requests().len(), 2, "once, and once more after a fresh lookup");
    assert_eq!((metrics.in_flight.get(), metrics.failed.get()), (0, 1));
    script.locations([vec![]]);
    let (read, _) = script.needle(1, 10);
    let error = engine.download(Plan::from_iter([Piece::Needle(read)])).await.err().unwrap();
    assert!(matches!(error, FetchError::NoLocation(3)));
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_the_middle_ends_in_an_error_and_not_in_silence() {
    let script = Script::default();
    let (plan, expected) = script.needles(3, 50_000);
    script.0.lock().unwrap().needles.remove("3,0200000001");
    let (engine, metrics) = script.engine(fixed(1));
    let (given, error) = collect(engine.download(plan).await.unwrap()).await.unwrap_err();
    assert_eq!(given, expected.len() / 3);
    assert!(error.is_missing());
    assert_eq!((metrics.in_flight.get(), metrics.buffered.get()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_always_ends_early_says_how_much_is_missing() {
    let script = Script::default();
    let (read, _) = script.needle(1, 1000);
    script.fault("a:1", std::iter::once(Fault::EndAfter(400)).chain(vec![Fault::EndAfter(0); 20]));
    let (engine, _) = script.engine(Settings::default());
    let error = match engine.download(Plan::from_iter([Piece::Needle(read)])).await {
        Ok(download) => collect(download).await.unwrap_err().1,
        Err(error) => error,
    };
    let FetchError::Exhausted { cause: Cause::Length(LengthError::Early(missing)), .. } = error else {
        panic!("{error}")
    };
    assert_eq!(missing, 600);
}

#[tokio::test(start_paused = true)]
async fn a_download_that_has_failed_gives_all_back_however_long_it_is_kept() {
    let script = Script::default();
    script.latency(Duration::from_millis(10));
    let (plan, _) = script.needles(6, 64 << 10);
    script.0.lock().unwrap().needles.remove("3,0200000001");
    script.fault("a:1", [Fault::Late(Duration::ZERO)].into_iter().chain(vec![Fault::StallAfter(1000); 99]));
    let (engine, metrics) = script.engine(fixed(6));
    let mut download = std::pin::pin!(engine.download(plan).await.unwrap());
    let error = loop {
        match download.next().await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, FetchError::Exhausted { cause: Cause::NotFound, .. }), "{error}");
    tokio::task::yield_now().await;
    assert_eq!((script.0.lock().unwrap().open, metrics.in_flight.get(), metrics.buffered.get()), (0, 0, 0));
    assert!(download.next().await.is_none());
    assert_eq!(script.0.lock().unwrap().open, 0, "nothing more begins");
}
