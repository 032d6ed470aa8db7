//! Which bytes come, in which order, and how many fetches bring them.

use super::*;

#[tokio::test(start_paused = true)]
async fn bytes_come_in_order_whatever_the_window() {
    for window in [WindowSetting::Auto, WindowSetting::Fixed(1), WindowSetting::Fixed(4), WindowSetting::Fixed(99)] {
        let script = Script::default();
        let (plan, expected) = script.needles(9, 150_000);
        let (engine, metrics) = script.engine(Settings { window, ..Settings::default() });
        let download = engine.download(plan).await.unwrap();
        assert_eq!(download.remaining(), expected.len() as u64);
        assert_eq!(collect(download).await.unwrap(), expected);
        assert_eq!((metrics.in_flight.get(), metrics.buffered.get()), (0, 0));
        assert_eq!(metrics.bytes.get(), expected.len() as u64);
        assert_eq!(metrics.failed.get() + metrics.canceled.get(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fixed_window_overlaps_that_many_fetches_and_one_overlaps_none() {
    let latency = Duration::from_millis(20);
    for (window, rounds) in [(1, 16), (4, 4), (16, 1), (64, 1)] {
        let script = Script::default();
        script.latency(latency);
        let (plan, _) = script.needles(16, 64 << 10);
        let (engine, _) = script.engine(fixed(window));
        let begin = Instant::now();
        collect(engine.download(plan).await.unwrap()).await.unwrap();
        assert_eq!(begin.elapsed(), latency * rounds, "window {window}");
        assert_eq!(script.0.lock().unwrap().most_open, window.min(16));
    }
}

#[tokio::test(start_paused = true)]
async fn the_automatic_window_reaches_what_the_distance_needs() {
    let script = Script::default();
    script.latency(Duration::from_millis(20));
    let (plan, _) = script.needles(400, 64 << 10);
    let (engine, _) = script.engine(Settings { per_server: 256, ..Settings::default() });
    let begin = Instant::now();
    collect(engine.download(plan).await.unwrap()).await.unwrap();
    let sequential = Duration::from_millis(20) * 400;
    assert!(begin.elapsed() < sequential / 40, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_range_fetches_only_its_bytes() {
    let script = Script::default();
    let (mut read, bytes) = script.needle(1, 8 << 20);
    (read.start, read.end) = (1_000_001, 1_065_537);
    let (engine, metrics) = script.engine(Settings::default());
    let plan = Plan::from_iter([Piece::Needle(read)]);
    let got = collect(engine.download(plan).await.unwrap()).await.unwrap();
    assert_eq!(got, bytes[1_000_001..1_065_537]);
    assert_eq!(metrics.bytes.get(), 65_536);
    assert_eq!(script.requests(), ["a:1 3,0100000001 bytes=1000001-1065536"]);
}

#[tokio::test(start_paused = true)]
async fn holes_and_inline_bytes_stand_where_they_belong() {
    let script = Script::default();
    let (read, bytes) = script.needle(1, 5);
    let pieces = [
        Piece::Zeros(100_000),
        Piece::Needle(read),
        Piece::Inline(Bytes::from_static(b"inline")),
        Piece::Zeros(0),
        Piece::Zeros(1),
    ];
    let (engine, _) = script.engine(Settings::default());
    let got = collect(engine.download(pieces.into_iter().collect()).await.unwrap()).await.unwrap();
    assert_eq!(got, [&[0; 100_000][..], &bytes, b"inline", &[0]].concat());
    let empty = engine.download(Plan::default()).await.unwrap();
    assert_eq!(collect(empty).await.unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn text_in_front_of_a_chunk_is_not_the_first_of_its_bytes() {
    let script = Script::default();
    script.fault("a:1", [Fault::Status(404), Fault::Status(404)]);
    let (engine, _) = script.engine(Settings::default());
    let text = Piece::Inline(Bytes::from_static(b"--boundary"));
    let plan = |read: &NeedleRead| Plan::from_iter([text.clone(), text.clone(), Piece::Needle(read.clone())]);
    let (read, bytes) = script.needle(1, 100);
    assert!(engine.download(plan(&read)).await.is_err_and(|error| error.is_missing()));
    let got = collect(engine.download(plan(&read)).await.unwrap()).await.unwrap();
    assert_eq!(got, [b"--boundary--boundary", &bytes[..]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_needle_that_is_longer_than_its_file_gives_the_bytes_of_the_file() {
    for (stored, size) in [(1000, 600), (300_000, 200_000), (3 << 20, 2 << 20), (3 << 20, 100)] {
        let script = Script::default();
        let (read, bytes) = script.needle(1, stored);
        let (engine, metrics) = script.engine(Settings::default());
        let cut = NeedleRead { size, end: size, ..read };
        let part = NeedleRead { start: 10, end: 20, ..cut.clone() };
        let plan = Plan::from_iter([Piece::Needle(cut), Piece::Needle(part)]);
        let got = collect(engine.download(plan).await.unwrap()).await.unwrap();
        assert_eq!(got, [&bytes[..size as usize], &bytes[10..20]].concat());
        assert_eq!((metrics.crc_failures.get(), metrics.failed.get()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_read_is_fetched_in_the_task_that_asks_and_is_here_before_any_of_it_is_given() {
    for (len, tasks) in [(100_000, 0), (200_000, 1)] {
        let script = Script::default();
        script.fault("a:1", [Fault::Trickle(Duration::from_millis(1))]);
        let (read, bytes) = script.needle(1, 1 << 20);
        let read = NeedleRead { start: 5, end: 5 + len, ..read };
        let (engine, _) = script.engine(Settings::default());
        let mut download = Box::pin(engine.download(Plan::from_iter([Piece::Needle(read)])));
        assert!(futures_util::poll!(download.as_mut()).is_pending());
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), tasks, "{len}");
        let download = download.await.unwrap();
        assert_eq!(script.0.lock().unwrap().open, tasks, "{len}: a body that nobody may read on");
        assert_eq!(collect(download).await.unwrap(), bytes[5..5 + len as usize]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_is_in_memory_only_in_its_middle_does_not_wait_for_a_checksum_that_never_comes() {
    for remembered_until in [4 * BLOCK, 5 * BLOCK] {
        let script = Script::default();
        let settings = Settings { memory: 8 * BLOCK as u64, ..Settings::default() };
        let (engine, _) = script.engine_with(settings, ChunkCache::new(1 << 20, Box::new(|_| ())));
        let cache = engine.shared.fetch.cache.as_ref().unwrap();
        // Somebody else has all the shared memory, so that a span is a floor.
        let other = engine.shared.budget.admit(&crate::Share::default()).await;
        let _all = Reservation::take(&other, 4, 4, Urgency::Head).unwrap();
        let ((one, a), (two, b)) = (script.needle(1, 5 * BLOCK), script.needle(2, 3 * BLOCK));
        let fids = [Arc::clone(&one.fid), Arc::clone(&two.fid)];
        let plan = Plan::from_iter([Piece::Needle(one), Piece::Needle(NeedleRead { start: 1000, ..two })]);
        let mut download = engine.download(plan).await.unwrap();
        let mut got = Vec::new();
        while let Some(bytes) = timeout(Duration::from_secs(60), download.next()).await.expect("it goes on") {
            got.extend_from_slice(&bytes.unwrap());
            cache.forget();
            if (2 * BLOCK..remembered_until).contains(&got.len()) {
                for fid in &fids {
                    cache.keep(fid, script.0.lock().unwrap().needles[&**fid].clone());
                }
            }
        }
        assert_eq!(got, [&a[..], &b[1000..]].concat());
    }
}

/// The memory that the first chunk no longer needed was taken for that of the second one, which needs more.
#[tokio::test(start_paused = true)]
async fn a_chunk_that_is_in_memory_again_waits_for_none() {
    let script = Script::default();
    let settings = Settings { memory: 96 * BLOCK as u64, verify: Verify::Always, ..Settings::default() };
    let (engine, _) = script.engine_with(settings, ChunkCache::new(8 << 20, Box::new(|_| ())));
    let cache = engine.shared.fetch.cache.as_ref().unwrap();
    let ((one, a), (two, b)) = (script.needle(1, 4 * BLOCK), script.needle(2, 16 * BLOCK));
    let keep = || cache.keep(&one.fid, script.0.lock().unwrap().needles[&*one.fid].clone());
    let other = engine.shared.budget.admit(&crate::Share::default()).await;
    let taken = |blocks| Reservation::take(&other, blocks, blocks, Urgency::Head).unwrap();
    let (some, most) = (taken(12), taken(36));
    keep();
    let plan = Plan::from_iter([one.clone(), two].map(Piece::Needle));
    let mut download = engine.download(plan).await.unwrap();
    let mut got = download.next().await.unwrap().unwrap().to_vec();
    cache.forget();
    assert!(futures_util::poll!(download.next()).is_pending() && download.memory.is_some());
    keep();
    while got.len() < a.len() {
        got.extend_from_slice(&download.next().await.unwrap().unwrap());
    }
    drop(some);
    assert!(futures_util::poll!(download.next()).is_pending(), "there is not enough for it");
    drop(most);
    got.extend(collect(download).await.unwrap());
    assert!(got == [a, b].concat());
}

/// The body of the first chunk would have gone on with the second one, at the first one's bytes.
#[tokio::test(start_paused = true)]
async fn a_chunk_whose_rest_is_in_memory_by_now_is_not_read_on_for_the_next_one() {
    let script = Script::default();
    let settings = Settings { memory: 8 * BLOCK as u64, ..fixed(1) };
    let (engine, _) = script.engine_with(settings, ChunkCache::new(8 << 20, Box::new(|_| ())));
    let ((one, a), (two, b)) = (script.needle(1, 16 * BLOCK), script.needle(2, 16 * BLOCK));
    let (fid, second) = (Arc::clone(&one.fid), BLOCK + 1..BLOCK + 100);
    let (one, two) =
        (NeedleRead { start: 1, ..one }, NeedleRead { start: second.start as u64, end: second.end as u64, ..two });
    let mut download = engine.download(Plan::from_iter([one, two].map(Piece::Needle))).await.unwrap();
    let mut got = download.next().await.unwrap().unwrap().to_vec();
    assert!(download.open.as_ref().is_some_and(OpenFetch::goes_on));
    engine.shared.fetch.cache.as_ref().unwrap().keep(&fid, script.0.lock().unwrap().needles[&*fid].clone());
    got.extend(collect(download).await.unwrap());
    assert!(got == [&a[1..], &b[second]].concat());
}
