//! Clients that leave, that stop reading, and that are many.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_takes_its_fetches_with_it() {
    let script = Script::default();
    let (plan, _) = script.needles(50, 64 << 10);
    script.fault("a:1", [Fault::Late(Duration::ZERO)].into_iter().chain(std::iter::repeat_n(Fault::StallAfter(10), 3)));
    let (engine, metrics) = script.engine(fixed(4));
    let mut download = engine.download(plan).await.unwrap();
    download.next().await.unwrap().unwrap();
    assert!(metrics.in_flight.get() > 0);
    drop(download);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!((metrics.in_flight.get(), metrics.buffered.get()), (0, 0));
    assert!(metrics.canceled.get() > 0);
    assert_eq!(script.0.lock().unwrap().open, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_stops_the_fetching() {
    let script = Script::default();
    let (plan, _) = script.needles(500, 64 << 10);
    let (engine, metrics) = script.engine(Settings { memory: 8 << 20, ..Settings::default() });
    let mut download = engine.download(plan).await.unwrap();
    let mut held = Vec::new();
    while let Some(Some(bytes)) = futures_util::FutureExt::now_or_never(download.next()) {
        held.push(bytes.unwrap());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(metrics.buffered.get() <= 8 << 20);
    assert!(held.len() < 200, "it stopped at the budget");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let requests = script.requests().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(script.requests().len(), requests);
    drop(held);
    assert!(download.next().await.is_some(), "and goes on when the client does");
}

#[tokio::test(start_paused = true)]
async fn many_downloads_share_a_small_memory_and_all_come_through() {
    let script = Script::default();
    script.latency(Duration::from_millis(5));
    let (plan, expected) = script.needles(20, 100_000);
    let (engine, metrics) = script.engine(Settings { memory: 2 << 20, ..Settings::default() });
    let downloads: Vec<_> = (0..40)
        .map(|_| {
            let (engine, plan) = (engine.clone(), plan.clone());
            tokio::spawn(async move { collect(engine.download(plan).await.unwrap()).await.unwrap() })
        })
        .collect();
    for download in downloads {
        assert_eq!(download.await.unwrap(), expected);
        assert!(metrics.buffered.get() <= 2 << 20);
    }
    assert_eq!((metrics.in_flight.get(), metrics.buffered.get()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_memory_only_so_long() {
    let script = Script::default();
    let (engine, _) = script.engine(Settings { memory: 8 * BLOCK as u64, ..Settings::default() });
    let holders = [
        engine.shared.budget.admit(&crate::Share::default()).await,
        engine.shared.budget.admit(&crate::Share::default()).await,
    ];
    let (read, bytes) = script.needle(1, 1000);
    let plan = Plan::from_iter([Piece::Needle(read.clone())]);
    let begin = Instant::now();
    let error = engine.download(plan.clone()).await.err().unwrap();
    assert!(matches!(error, FetchError::NoMemory), "{error}");
    assert_eq!(begin.elapsed().as_secs(), 30);
    drop(holders);
    assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), bytes);
    let account = engine.shared.budget.admit(&crate::Share::default()).await;
    let _all = Reservation::take(&account, 4, 4, Urgency::Head).unwrap();
    assert!(matches!(engine.read_needle(read, 1 << 20).await, Err(FetchError::NoMemory)));
}
