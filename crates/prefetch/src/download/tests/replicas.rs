//! What other replicas mend, and what servers that fail cost.

use super::*;

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
        (Fault::Status(301), "not_found"),
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

/// A lookup that failed ended the download, though the server was there and known.
#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_while_the_filer_is_away_costs_no_download() {
    for faults in [vec![Fault::BreakAfter(20_000)], vec![Fault::Refuse; 6], vec![Fault::Status(500)]] {
        let script = Script::default();
        script.locations([vec!["a:1"], vec![NO_FILER]]);
        let (plan, expected) = script.needles(1, 50_000);
        script.fault("a:1", faults.clone());
        let (engine, _) = script.engine(Settings::default());
        assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), expected, "{faults:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_while_the_filer_is_away_is_given_up_with_both_reasons() {
    for (fault, said) in [(Fault::Status(404), "404"), (Fault::Refuse, "cannot be reached")] {
        let script = Script::default();
        script.locations([vec!["a:1"], vec![NO_FILER]]);
        let (plan, _) = script.needles(1, 50_000);
        script.fault("a:1", vec![fault; 1000]);
        let (engine, _) = script.engine(Settings::default());
        let error = engine.download(plan).await.err().unwrap();
        assert!(matches!(error, FetchError::Unlocated { .. }) && !error.is_missing(), "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(error.source().unwrap().to_string(), refused().to_string());
    }
    // And where nothing is known.
    let script = Script::default();
    script.locations([vec![NO_FILER]]);
    let (engine, _) = script.engine(Settings::default());
    let error = engine.download(script.needles(1, 50_000).0).await.err().unwrap();
    assert!(matches!(error, FetchError::Locate { .. }), "{error}");
}

/// Both named the other one, and were taken for not having it: all reads failed at once.
#[tokio::test(start_paused = true)]
async fn replicas_that_are_over_their_download_limits_are_waited_for() {
    let script = Script::default();
    script.locations([vec!["a:1", "b:1"]]);
    let (plan, expected) = script.needles(1, 50_000);
    for server in ["a:1", "b:1"] {
        script.fault(server, [Fault::OverLimit, Fault::OverLimit]);
    }
    let (engine, metrics) = script.engine(Settings::default());
    assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), expected);
    assert_eq!(metrics.retries.with_label_values(&["busy"]).get(), 4);
    assert_eq!(metrics.retries.with_label_values(&["not_found"]).get(), 0);
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
async fn a_following_span_that_breaks_goes_on_at_a_replica_that_keeps_the_needle_compressed() {
    // The second of three spans out of one body breaks, and is compared from its own first byte on.
    let nothing = Fault::Late(Duration::ZERO);
    for (first, as_before, after) in [
        (Fault::InflatedBreakAfter(5 << 20), Fault::Inflated, nothing.clone()),
        (Fault::BreakAfter(5 << 20), nothing, Fault::Inflated),
    ] {
        let script = Script::default();
        script.locations([vec!["a:1"], vec!["b:1"]]);
        let (plan, expected) = script.needles(1, 12 << 20);
        script.fault("a:1", [first].into_iter().chain(vec![as_before; 9]));
        script.fault("b:1", vec![after.clone(); 9]);
        let (engine, metrics) = script.engine(fixed(2));
        let got = collect(engine.download(plan).await.unwrap()).await.unwrap();
        assert!(got == expected, "{after:?}");
        assert_eq!((metrics.failed.get(), metrics.crc_failures.get()), (0, 0));
    }
}

/// It was asked for once to learn its form, and once more for the bytes to compare: what was replaced in between was read on.
#[tokio::test(start_paused = true)]
async fn a_needle_that_is_replaced_before_it_is_compared_is_not_read_on() {
    let script = Script::default();
    script.locations([vec!["a:1"], vec!["b:1"]]);
    let (read, bytes) = script.needle(1, 12 << 20);
    script.fault("a:1", [Fault::BreakAfter(5 << 20), Fault::Late(Duration::ZERO), Fault::Refuse]);
    // A part, of which no checksum tells anything; what is compared of it is as it was.
    let read = NeedleRead { start: 1, ..read };
    let replaced = Fault::ReplacedAt(4 << 20);
    script.fault("b:1", [Fault::Inflated, Fault::Inflated, Fault::Inflated].into_iter().chain(vec![replaced; 9]));
    let (engine, metrics) = script.engine(fixed(2));
    let got = collect(engine.download(Plan::from_iter([Piece::Needle(read)])).await.unwrap()).await;
    assert!(
        matches!(got, Err((_, FetchError::Exhausted { cause: Cause::Changed, .. }))),
        "{:?}",
        got.map(|got| got == bytes[1..])
    );
    assert_eq!(metrics.failed.get(), 1);
}

/// The ETag of the answer whose bytes were to be compared was taken for known, though it had broken off before they were.
#[tokio::test(start_paused = true)]
async fn a_needle_that_is_replaced_is_not_read_on_where_the_comparison_breaks_off() {
    let script = Script::default();
    script.locations([vec!["a:1"], vec!["b:1"]]);
    let (read, bytes) = script.needle(1, 300_000);
    script.fault("a:1", [Fault::BreakAfter(200_000)]);
    // The rest, all of it to compare, and the rest again: of a needle whose other bytes nobody has seen.
    let replaced = [Fault::Replaced, Fault::InflatedBreakAfter(50_000)].into_iter().cycle().take(40);
    script.fault("b:1", replaced);
    let (engine, _) = script.engine(fixed(1));
    let plan = Plan::from_iter([Piece::Needle(NeedleRead { start: 1, ..read })]);
    let got = collect(engine.download(plan).await.unwrap()).await;
    assert!(
        matches!(got, Err((_, FetchError::Exhausted { cause: Cause::Broken(_), .. }))),
        "{:?}",
        got.map(|got| got == bytes[1..])
    );
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
