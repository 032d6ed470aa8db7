use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout};

use super::*;
use crate::{
    Cause, ChunkCache, LengthError, NeedleRead, Piece, Settings, Tally, Verify, WindowSetting,
    testing::{Fault, Script, collect},
};

fn fixed(requests: usize) -> Settings {
    Settings { window: WindowSetting::Fixed(requests), ..Settings::default() }
}

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
async fn a_fetch_that_breaks_goes_on_at_the_byte_where_it_broke() {
    let script = Script::default();
    script.locations([vec!["a:1", "b:1"]]);
    let (read, expected) = script.needle(1, 100_000);
    let tally = Arc::new(Tally::default());
    let plan = Plan::from_iter([Piece::Needle(NeedleRead { tally: Some(Arc::clone(&tally)), ..read })]);
    script.fault("a:1", [Fault::BreakAfter(33_333)]);
    script.fault("b:1", [Fault::BreakAfter(33_333)]);
    let (engine, metrics) = script.engine(Settings::default());
    assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), expected);
    assert_eq!((tally.requests(), tally.retries()), (3, 2));
    let ranges: Vec<_> = script.requests().iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
    assert_eq!(ranges, ["whole", "bytes=33333-99999", "bytes=66666-99999"]);
    assert_eq!(metrics.retries.with_label_values(&["broken"]).get(), 2);
    assert_eq!(metrics.bytes.get(), 100_000);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_failure_is_mended_by_another_replica() {
    for (fault, reason) in [
        (Fault::Refuse, "connect"),
        (Fault::Hang, "timeout"),
        (Fault::Status(404), "not_found"),
        (Fault::Status(401), "unauthorized"),
        (Fault::Status(503), "busy"),
        (Fault::Status(500), "status"),
        (Fault::Status(206), "length"),
        (Fault::EndAfter(0), "length"),
        (Fault::EndAfter(20_000), "length"),
        (Fault::BreakAfter(1), "broken"),
        (Fault::StallAfter(20_000), "timeout"),
    ] {
        let script = Script::default();
        script.locations([vec!["a:1"], vec!["a:1", "b:1"]]);
        let (plan, expected) = script.needles(1, 50_000);
        script.fault("a:1", [fault.clone(), Fault::Refuse]);
        let (engine, metrics) = script.engine(Settings::default());
        assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), expected, "{fault:?}");
        if !matches!(fault, Fault::Status(206)) {
            assert!(metrics.retries.with_label_values(&[reason]).get() >= 1, "{fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_chunk_of_which_nothing_is_out_is_fetched_from_another_replica() {
    for at in [0, 30_000, 149_999] {
        let script = Script::default();
        script.locations([vec!["a:1"], vec!["a:1"], vec!["a:1", "b:1"]]);
        let (plan, expected) = script.needles(2, 150_000);
        // The second needle is fetched while the first one hangs, so none of its bytes can be out.
        script.fault("a:1", [Fault::Late(Duration::from_millis(50)), Fault::Flip(at), Fault::Refuse]);
        let (engine, metrics) = script.engine(fixed(2));
        assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), expected, "byte {at}");
        assert_eq!(metrics.crc_failures.get(), 1);
        assert_eq!(metrics.retries.with_label_values(&["corrupt"]).get(), 1);
        assert_eq!((metrics.in_flight.get(), metrics.buffered.get()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_found_corrupt_at_its_last_piece_is_cut_before_that_piece() {
    let script = Script::default();
    // Three spans, the first of which is out when the last one is here.
    let (plan, expected) = script.needles(1, 12 << 20);
    script.fault("a:1", [Fault::Flip(5)]);
    let (engine, metrics) = script.engine(fixed(2));
    let (given, error) = collect(engine.download(plan).await.unwrap()).await.unwrap_err();
    assert!(matches!(error, FetchError::Corrupt { .. }), "{error}");
    assert!(given < expected.len());
    assert_eq!((metrics.crc_failures.get(), metrics.in_flight.get()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn without_verification_wrong_bytes_are_not_noticed() {
    let script = Script::default();
    let (plan, expected) = script.needles(1, 150_000);
    script.fault("a:1", [Fault::Flip(7)]);
    let (engine, metrics) = script.engine(Settings { verify: Verify::Off, ..Settings::default() });
    let got = collect(engine.download(plan).await.unwrap()).await.unwrap();
    assert_eq!(got.iter().zip(&expected).filter(|(got, expected)| got != expected).count(), 1);
    assert_eq!(metrics.crc_failures.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_needle_that_the_server_inflates_is_not_held_against_the_crc_of_its_compressed_bytes() {
    let script = Script::default();
    let (plan, expected) = script.needles(1, 150_000);
    script.fault("a:1", [Fault::Inflated, Fault::Inflated]);
    let (engine, metrics) = script.engine(Settings::default());
    assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), expected);
    assert_eq!((metrics.crc_failures.get(), script.requests().len()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_small_chunk_is_not_given_out_before_its_checksum_is_known() {
    let script = Script::default();
    script.locations([vec!["a:1"], vec!["b:1"]]);
    let (plan, expected) = script.needles(1, 900_000);
    script.fault("a:1", [Fault::Flip(3)]);
    let (engine, metrics) = script.engine(Settings::default());
    assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), expected);
    assert_eq!(metrics.crc_failures.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_fetch_is_asked_for_at_a_second_replica_and_the_first_one_dropped() {
    let script = Script::default();
    script.locations([vec!["a:1", "b:1"]]);
    script.latency(Duration::from_millis(5));
    let (warm_up, _) = script.needles(200, 1000);
    let (engine, metrics) = script.engine(fixed(1));
    collect(engine.download(warm_up).await.unwrap()).await.unwrap();
    assert_eq!(metrics.hedges_sent.get(), 0);
    for server in ["a:1", "b:1"] {
        script.fault(server, [Fault::Late(Duration::from_secs(20))]);
    }
    let (read, expected) = script.needle(1, 1000);
    let begin = Instant::now();
    // Whichever is asked first is late; so is the other one the first time it is asked, and no third is there.
    script.0.lock().unwrap().faults.remove("b:1");
    let plan = Plan::from_iter(std::iter::repeat_n(Piece::Needle(read), 20));
    assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), expected.repeat(20));
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!((metrics.hedges_sent.get(), metrics.hedges_won.get()), (1, 1));
    assert_eq!(script.0.lock().unwrap().open, 0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_costs_a_few_retries_and_no_more() {
    let script = Script::default();
    script.locations([vec!["a:1", "b:1"]]);
    let (plan, expected) = script.needles(300, 1000);
    script.fault("a:1", std::iter::repeat_n(Fault::Refuse, 1000));
    let (engine, metrics) = script.engine(fixed(4));
    assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), expected);
    assert!(metrics.retries.with_label_values(&["connect"]).get() < 20);
}

#[tokio::test(start_paused = true)]
async fn a_bad_day_does_not_become_a_storm() {
    let script = Script::default();
    script.fault("a:1", std::iter::repeat_n(Fault::Refuse, 100_000));
    let (read, _) = script.needle(1, 1000);
    let (engine, metrics) = script.engine(fixed(1));
    for _ in 0..5000 {
        let plan = Plan::from_iter([Piece::Needle(read.clone())]);
        assert!(engine.download(plan).await.is_err());
    }
    // The savings of 1000, and a fifth of 5000.
    assert!(metrics.retries.with_label_values(&["connect"]).get() <= 2010);
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_given_time_and_asked_again() {
    let script = Script::default();
    let (plan, expected) = script.needles(1, 1000);
    script.fault("a:1", [Fault::Status(429), Fault::Status(503)]);
    let (engine, metrics) = script.engine(Settings::default());
    let begin = Instant::now();
    assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), expected);
    assert!(begin.elapsed() >= Duration::from_millis(200), "{:?}", begin.elapsed());
    assert_eq!(metrics.lookups_again.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn another_needle_under_the_same_fid_is_never_spliced_in() {
    let script = Script::default();
    let (plan, _) = script.needles(1, 50_000);
    script.fault("a:1", [Fault::BreakAfter(10_000)].into_iter().chain(vec![Fault::Replaced; 20]));
    let (engine, _) = script.engine(Settings::default());
    let error = engine.download(plan).await.err().unwrap();
    assert!(matches!(error, FetchError::Exhausted { cause: Cause::Changed | Cause::Corrupt, .. }), "{error}");
}

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
async fn a_server_whose_bodies_break_is_set_aside() {
    let script = Script::default();
    script.fault("a:1", std::iter::repeat_n(Fault::BreakAfter(10), 5));
    let (engine, metrics) = script.engine(Settings::default());
    let (read, bytes) = script.needle(1, 1000);
    for _ in 0..5 {
        let plan = Plan::from_iter([Piece::Needle(read.clone())]);
        if let Ok(download) = engine.download(plan).await {
            assert_eq!(collect(download).await.unwrap(), bytes);
        }
    }
    assert_eq!(metrics.ejections.get(), 1);
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

#[tokio::test(start_paused = true)]
async fn needles_that_one_of_two_servers_lost_are_read_from_the_other_and_use_up_nothing() {
    let script = Script::default();
    script.locations([vec!["lost:1", "has:1"]]);
    script.latency(Duration::from_millis(1));
    let reads: Vec<_> = (1..=300).map(|key| script.needle(key, 4096)).collect();
    script.fault("lost:1", std::iter::repeat_n(Fault::Status(404), 100_000));
    let (engine, metrics) = script.engine(Settings::default());
    for _ in 0..10 {
        for (read, bytes) in &reads {
            let plan = Plan::from_iter([Piece::Needle(read.clone())]);
            assert_eq!(&collect(engine.download(plan).await.unwrap()).await.unwrap(), bytes);
        }
    }
    let asked = script.requests().iter().filter(|request| request.starts_with("lost:1")).count();
    assert!(asked <= 300, "{asked}: each needle is asked for there once at most");
    assert_eq!(metrics.flaws.with_label_values(&["missing"]).get(), asked as u64);
    assert_eq!(metrics.ejections.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_unreplicated_server_takes_no_retries_of_healthy_volumes() {
    let script = Script::default();
    script.locations([vec!["dead:1"]]);
    let (read, bytes) = script.needle(1, 1000);
    script.fault("dead:1", std::iter::repeat_n(Fault::Refuse, 100_000));
    let (engine, _) = script.engine(fixed(1));
    let plan = Plan::from_iter([Piece::Needle(read)]);
    for _ in 0..3000 {
        assert!(engine.download(plan.clone()).await.is_err());
    }
    // The other volume has one location too, which breaks off and has to be asked again.
    script.locations([vec!["healthy:1"]]);
    for _ in 0..50 {
        script.fault("healthy:1", [Fault::BreakAfter(10), Fault::BreakAfter(10)]);
        assert_eq!(collect(engine.download(plan.clone()).await.unwrap()).await.unwrap(), bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn an_only_server_that_comes_back_within_2_s_cuts_nobody_and_one_that_stays_dead_cuts_in_5_s() {
    for (refusals, comes_back) in [(8, true), (100_000, false)] {
        let script = Script::default();
        let (plan, expected) = script.needles(40, 100_000);
        let (engine, _) = script.engine(fixed(4));
        let mut downloads: Vec<_> = Vec::new();
        for _ in 0..3 {
            let mut download = engine.download(plan.clone()).await.unwrap();
            let first = download.next().await.unwrap().unwrap();
            downloads.push((download, first));
        }
        script.fault("a:1", std::iter::repeat_n(Fault::Refuse, refusals));
        let begin = Instant::now();
        let ended =
            futures_util::future::join_all(downloads.into_iter().map(|(download, first)| async move {
                collect(download).await.map(|rest| [&first[..], &rest].concat())
            }));
        for download in ended.await {
            match comes_back {
                true => assert_eq!(download.unwrap(), expected),
                false => assert!(matches!(download, Err((_, FetchError::Exhausted { cause: Cause::Connect(_), .. })))),
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
        if !comes_back {
            let asked = script.requests().len();
            assert!(asked < 200, "{asked} requests: one finds out for all");
            // What begins later finds it dead and is told at once.
            let begin = Instant::now();
            assert!(engine.download(plan).await.is_err());
            assert_eq!(begin.elapsed(), Duration::ZERO);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stands_still_in_the_middle_of_a_body_is_left_in_a_second() {
    let script = Script::default();
    script.locations([vec!["a:1", "b:1"]]);
    let (plan, expected) = script.needles(1, 100_000);
    for server in ["a:1", "b:1"] {
        script.fault(server, [Fault::StallAfter(30_000)]);
    }
    let (engine, metrics) = script.engine(Settings::default());
    let begin = Instant::now();
    let download = tokio::spawn(async move { collect(engine.download(plan).await.unwrap()).await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    script.0.lock().unwrap().faults.clear();
    assert_eq!(download.await.unwrap().unwrap(), expected);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(metrics.resumed_bytes.get(), 30_000);
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
async fn a_replica_that_keeps_the_needle_compressed_goes_on_where_the_other_broke_off() {
    for (first, second) in [
        (Fault::InflatedBreakAfter(700_000), Fault::Late(Duration::ZERO)),
        (Fault::BreakAfter(700_000), Fault::Inflated),
    ] {
        for part in [0..4 << 20, 5000..3 << 20] {
            let script = Script::default();
            script.locations([vec!["a:1"], vec!["b:1"]]);
            let (read, bytes) = script.needle(1, 4 << 20);
            let read = NeedleRead { start: part.start, end: part.end, ..read };
            script.fault("a:1", [first.clone()]);
            script.fault("b:1", vec![second.clone(); 3]);
            let (engine, metrics) = script.engine(Settings::default());
            let got = collect(engine.download(Plan::from_iter([Piece::Needle(read)])).await.unwrap()).await.unwrap();
            assert!(got == bytes[part.start as usize..part.end as usize], "{first:?}, {second:?}");
            assert_eq!((metrics.failed.get(), metrics.crc_failures.get()), (0, 0));
        }
    }
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
