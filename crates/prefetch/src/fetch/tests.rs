use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{version::VersionMatch, *};
use crate::{
    Metrics, Piece, Plan, Settings, Verify, WindowSetting,
    testing::{Fault, Script, body_of, collect},
    urgency::Urgency,
};

/// How the download of a piece ends, and what it is counted as.
async fn downloaded(script: &Script, read: NeedleRead) -> (Result<Vec<u8>, FetchError>, Metrics) {
    let (engine, metrics) = script.engine(Settings::default());
    let got = match engine.download(Plan::from_iter([Piece::Needle(read)])).await {
        Ok(download) => collect(download).await.map_err(|(_, error)| error),
        Err(error) => Err(error),
    };
    (got, metrics)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_goes_on_behind_its_end_is_refused_as_far_as_it_is_here() {
    let more = stream::iter([Ok(Bytes::from_static(b"more"))]);
    assert!(matches!(no_more(&mut body_of(more)), Err(Cause::Length(LengthError::Late))));
    assert!(no_more(&mut body_of(stream::empty())).is_ok());
    assert!(no_more(&mut body_of(stream::pending())).is_ok(), "what is not here is not waited for");
    let broken = stream::iter([Err(io::Error::from(io::ErrorKind::ConnectionReset))]).chain(stream::pending());
    assert!(no_more(&mut body_of(broken)).is_ok(), "all that was asked for has come");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_always_fails_is_asked_twice() {
    let script = Script::default();
    let (read, _) = script.needle(1, 1000);
    script.fault("a:1", vec![Fault::Status(500); 100]);
    let (got, _) = downloaded(&script, read).await;
    let error = got.unwrap_err();
    assert!(matches!(error, FetchError::Exhausted { cause: Cause::Status(500), .. }), "{error}");
    assert_eq!(script.requests().len(), 2, "and once more when it was looked up afresh");
}

#[tokio::test(start_paused = true)]
async fn a_part_that_breaks_never_goes_on_with_bytes_of_another_needle() {
    for at in [10_000, 50_000] {
        let script = Script::default();
        script.locations([vec!["a:1"], vec!["b:1"]]);
        let (read, _) = script.needle(1, 500_000);
        script.fault("a:1", [Fault::BreakAfter(at)]);
        script.fault("b:1", vec![Fault::Replaced; 100]);
        let (got, _) = downloaded(&script, NeedleRead { start: 1000, end: 200_000, ..read }).await;
        let error = got.map(|got| got.len()).unwrap_err();
        assert!(matches!(error, FetchError::Exhausted { cause: Cause::Changed, .. }), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_given_nothing_is_not_compared() {
    let script = Script::default();
    script.locations([vec!["a:1"], vec!["b:1"]]);
    let (read, bytes) = script.needle(1, 500_000);
    script.fault("a:1", [Fault::BreakAfter(0)]);
    script.fault("b:1", [Fault::OtherNeedle]);
    let (got, _) = downloaded(&script, NeedleRead { start: 1000, end: 200_000, ..read }).await;
    assert!(got.unwrap() == bytes[1000..200_000]);
    let part = |server| format!("{server} 3,0100000001 bytes=1000-199999");
    assert_eq!(script.requests(), [part("a:1"), part("b:1")]);
}

#[tokio::test(start_paused = true)]
async fn a_needle_is_checked_by_the_etag_of_any_answer_that_has_one() {
    let script = Script::default();
    script.locations([vec!["a:1"], vec!["b:1"]]);
    let (read, _) = script.needle(1, 500_000);
    script.fault("a:1", [Fault::BreakAfter(100_000)]);
    script.fault("b:1", vec![Fault::UnnamedFlip(1000); 100]);
    let (got, metrics) = downloaded(&script, read).await;
    assert!(got.is_err(), "wrong bytes were given");
    assert!(metrics.crc_failures.get() > 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_failed_before_this_span_is_asked_again() {
    let script = Script::default();
    script.locations([vec!["a:1", "b:1"]]);
    let (read, bytes) = script.needle(1, 20_000_000);
    script.fault("a:1", [Fault::Status(500)]);
    script.fault("b:1", [Fault::BreakAfter(18_000_000)]);
    let (engine, metrics) = script.engine(Settings { window: WindowSetting::Fixed(1), ..Settings::default() });
    // That one has more to do, so that the other is asked first.
    let servers = &engine.shared.fetch.servers;
    let _load = [(); 3].map(|()| {
        let mut attempt = servers.attempt_at(&"b:1".into());
        assert!(attempt.try_place(&Priority::new(Urgency::Head), 1));
        attempt
    });
    let download = engine.download(Plan::from_iter([Piece::Needle(read)])).await.unwrap();
    assert!(collect(download).await.unwrap() == bytes);
    assert_eq!(metrics.lookups_again.get(), 0, "one of the two was left to ask");
}

/// Every request for two parts of one needle, of which the first is read from one server and the second from another
/// that has this fault.
async fn of_two_parts(fault: Fault) -> Vec<String> {
    let script = Script::default();
    script.locations([vec!["a:1"], vec!["b:1"], vec!["a:1"]]);
    let (read, bytes) = script.needle(1, 500_000);
    script.fault("b:1", vec![fault; 100]);
    let (engine, _) = script.engine(Settings { window: WindowSetting::Fixed(1), ..Settings::default() });
    let part = |start: u64, end: u64| Piece::Needle(NeedleRead { start, end, ..read.clone() });
    let download = engine.download(Plan::from_iter([part(1000, 2000), part(3000, 4000)])).await.unwrap();
    assert!(collect(download).await.unwrap() == [&bytes[1000..2000], &bytes[3000..4000]].concat());
    script.requests().iter().map(|request| request.replace(" 3,0100000001", "")).collect()
}

#[tokio::test(start_paused = true)]
async fn what_comes_with_another_etag_is_asked_for_again_only_where_it_is_the_same_needle() {
    let [first, second] = ["bytes=1000-1999", "bytes=3000-3999"].map(|part| move |server| format!("{server} {part}"));
    let form = |server| format!("{server} whole");
    let mut requests = of_two_parts(Fault::Replaced).await;
    requests[2..4].sort();
    assert_eq!(requests, [first("a:1"), second("b:1"), form("a:1"), form("b:1"), second("a:1")]);
    let mut requests = of_two_parts(Fault::Inflated).await;
    requests[2..4].sort();
    assert_eq!(requests, [first("a:1"), second("b:1"), form("a:1"), form("b:1"), second("b:1")]);
}

/// How long it takes until a needle is given up whose only server breaks off after so many bytes each time.
async fn given_up_after(bytes: usize) -> Duration {
    let script = Script::default();
    let (read, _) = script.needle(1, 500_000);
    script.fault("a:1", vec![Fault::BreakAfter(bytes); 100]);
    let begin = Instant::now();
    let (got, _) = downloaded(&script, read).await;
    assert!(got.is_err());
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_breaks_off_is_given_up_sooner_where_it_gives_nothing() {
    let (nothing, some) = (given_up_after(0).await, given_up_after(1000).await);
    let longest = Duration::from_secs(10);
    assert!(nothing <= longest + Duration::from_millis(1), "{nothing:?}");
    assert!(some > longest + Duration::from_secs(1), "the time begins anew with every byte: {some:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_of_one_place_is_asked_how_it_keeps_what_does_not_match() {
    let script = Script::default();
    let (read, bytes) = script.needle(1, 500_000);
    script.fault("a:1", vec![Fault::Inflated; 2]);
    let (engine, metrics) = script.engine(Settings { per_server: 1, ..Settings::default() });
    let download = engine.download(Plan::from_iter([Piece::Needle(read)])).await.unwrap();
    assert!(collect(download).await.unwrap() == bytes);
    assert_eq!((script.requests().len(), metrics.crc_failures.get()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_nobody_waits_is_passed_on_in_full_blocks() {
    let script = Script::default();
    let (read, bytes) = script.needle(1, 500_000);
    script.fault("a:1", [Fault::Trickle(Duration::from_millis(10))]);
    let (engine, _) = script.engine(Settings { verify: Verify::Off, ..Settings::default() });
    let mut download = engine.download(Plan::from_iter([Piece::Needle(read)])).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    let mut pieces = Vec::new();
    while let Some(piece) = download.next().await {
        pieces.push(piece.unwrap());
    }
    assert!(pieces.concat() == bytes);
    let lengths: Vec<_> = pieces.iter().map(|piece| piece.len()).collect();
    let [_, full @ .., _] = &lengths[..] else { panic!("{lengths:?}") };
    assert!(!full.is_empty() && full.iter().all(|length| *length == BLOCK), "{lengths:?}");
}

/// Its bytes were mixed with those of the version that took its place.
#[tokio::test(start_paused = true)]
async fn a_version_that_is_replaced_while_its_other_form_is_asked_for_is_not_read_on() {
    let script = Script::default();
    script.latency(Duration::from_millis(10));
    script.locations([vec!["b:1"]]);
    script.fault("b:1", vec![Fault::Inflated; 100]);
    let (read, _) = script.needle(1, 1000);
    let crc = crc32c::crc32c(&script.0.lock().unwrap().needles[&*read.fid]);
    let (engine, _) = script.engine(Settings::default());
    // Another fetch of the download has begun, at a server that does not keep it compressed.
    let (version, elsewhere) = (Arc::<Version>::default(), "a:1".into());
    assert!(version.of(&format!("\"{crc:08x}\"").parse().unwrap(), &elsewhere, &mut false, true) == VersionMatch::Same);
    let job = Job {
        read,
        span: 100..900,
        reach: 900,
        checksum: None,
        version: Arc::clone(&version),
        priority: Arc::new(Priority::new(Urgency::Head)),
    };
    let mut fetch = Fetch::new(&engine.shared.fetch, &job, Target::Needle(Vec::new()), None);
    let replaced = async {
        // This one has its answer, and has asked for both forms: it asks once more now.
        sleep(Duration::from_millis(25)).await;
        assert!(version.of(&HeaderValue::from_static("\"2\""), &elsewhere, &mut true, true) == VersionMatch::Same);
    };
    let (ended, ()) = futures_util::join!(fetch.run(), replaced);
    let error = ended.unwrap_err();
    assert!(matches!(error, FetchError::Exhausted { cause: Cause::Changed, .. }), "{error}");
    let whole = |server| format!("{server} 3,0100000001 whole");
    assert_eq!(script.requests()[1..3], [whole("b:1"), whole("a:1")]);
}
