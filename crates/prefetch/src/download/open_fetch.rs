//! A chunk that is larger than a span comes out of one request, as long as its client goes on reading.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep};

use crate::{
    Engine, FetchError, NeedleRead, Piece, Plan, Settings, WindowSetting,
    testing::{Fault, Script, collect},
};

const MIB: usize = 1 << 20;
const FID: &str = "3,0100000001";

fn plan(reads: impl IntoIterator<Item = NeedleRead>) -> Plan {
    reads.into_iter().map(Piece::Needle).collect()
}

/// Reads at so many bytes a second, in pieces that are at hand.
async fn read_at(engine: &Engine, read: NeedleRead, pace: f64) -> Vec<u8> {
    read_all_at(engine, [read], pace).await
}

async fn read_all_at(engine: &Engine, reads: impl IntoIterator<Item = NeedleRead>, pace: f64) -> Vec<u8> {
    let mut download = engine.download(plan(reads)).await.unwrap();
    let mut got = Vec::new();
    while let Some(bytes) = download.next().await {
        let bytes = bytes.unwrap();
        got.extend_from_slice(&bytes);
        sleep(Duration::from_secs_f64(bytes.len() as f64 / pace)).await;
    }
    got
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_of_a_chunk_is_one_request_whatever_its_size() {
    for (window, memory) in
        [(WindowSetting::Auto, 256 * MIB), (WindowSetting::Fixed(1), 256 * MIB), (WindowSetting::Auto, 8 * MIB)]
    {
        for (part, asked) in [(0..13 * MIB, "whole"), (5000..13 * MIB - 1, "bytes=5000-13631486")] {
            let script = Script::default();
            let (read, bytes) = script.needle(1, 13 * MIB);
            let read = NeedleRead { start: part.start as u64, end: part.end as u64, ..read };
            let (engine, metrics) = script.engine(Settings { window, memory: memory as u64, ..Settings::default() });
            let got = collect(engine.download(plan([read])).await.unwrap()).await.unwrap();
            assert!(got == bytes[part], "{window:?} {memory} {asked}");
            assert_eq!(script.requests(), [format!("a:1 {FID} {asked}")]);
            assert_eq!((metrics.ok.get(), metrics.in_flight.get(), metrics.buffered.get()), (1, 0, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_of_some_megabytes_a_second_does_not_have_the_chunk_asked_for_again() {
    let script = Script::default();
    let (read, bytes) = script.needle(1, 13 * MIB);
    let (engine, _) = script.engine(Settings::default());
    assert!(read_at(&engine, read, 6e6).await == bytes);
    assert_eq!(script.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn for_a_slow_client_no_body_stands_for_long() {
    let script = Script::default();
    let (read, bytes) = script.needle(1, 13 * MIB);
    let (engine, metrics) = script.engine(Settings::default());
    let slow = tokio::spawn(async move { read_at(&engine, read, 1e6).await });
    sleep(Duration::from_secs(2)).await;
    assert_eq!((script.0.lock().unwrap().open, metrics.in_flight.get()), (0, 0));
    assert!(slow.await.unwrap() == bytes);
    let requests = script.requests();
    assert!(requests[0].ends_with("whole"), "{requests:?}");
    for request in &requests[1..] {
        let (_, range) = request.split_once("bytes=").expect("a part");
        let (from, to) = range.split_once('-').unwrap();
        let len = to.parse::<usize>().unwrap() + 1 - from.parse::<usize>().unwrap();
        assert!(len <= 5 * MIB, "{requests:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_stands_has_no_place() {
    let script = Script::default();
    let (large, small) = (script.needle(1, 13 * MIB).0, script.needle(2, 100).0);
    let (engine, _) = script.engine(Settings { per_server: 1, ..Settings::default() });
    let mut stalled = Vec::new();
    let begin = Instant::now();
    for open in [1, 2, 3] {
        let mut download = engine.download(plan([large.clone()])).await.unwrap();
        download.next().await.unwrap().unwrap();
        sleep(Duration::from_millis(1)).await;
        stalled.push(download);
        assert_eq!(script.0.lock().unwrap().open, open);
    }
    collect(engine.download(plan([small])).await.unwrap()).await.unwrap();
    assert!(begin.elapsed() < Duration::from_millis(100), "{:?}", begin.elapsed());
    drop(stalled);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(script.0.lock().unwrap().open, 0);
}

#[tokio::test(start_paused = true)]
async fn at_each_server_sixteen_bodies_for_each_place_stand_at_most() {
    let script = Script::default();
    let large = script.needle(1, 13 * MIB).0;
    let (engine, _) = script.engine(Settings { per_server: 1, ..Settings::default() });
    let mut stalled = Vec::new();
    for before in 0..20 {
        let mut download = engine.download(plan([large.clone()])).await.unwrap();
        download.next().await.unwrap().unwrap();
        sleep(Duration::from_millis(1)).await;
        stalled.push(download);
        assert_eq!(script.0.lock().unwrap().open, (before + 1).min(16));
    }
}

/// Where bodies were cut because others stood, the more downloads there were, the more requests each chunk was.
#[tokio::test(start_paused = true)]
async fn a_chunk_is_one_request_however_many_read_at_once_with_little_memory() {
    let script = Script::default();
    let (read, bytes) = script.needle(1, 2 * MIB);
    let (engine, _) = script.engine(Settings { memory: 16 * MIB as u64, ..Settings::default() });
    let downloads = (0..60).map(|_| async { assert!(read_at(&engine, read.clone(), 6e6).await == bytes) });
    futures_util::future::join_all(downloads).await;
    assert_eq!(script.requests().len(), 60);
}

#[tokio::test(start_paused = true)]
async fn the_chunk_that_follows_is_one_request_too() {
    for pace in [1e9, 50e6] {
        let script = Script::default();
        let ((one, a), (two, b)) = (script.needle(1, 13 * MIB), script.needle(2, 13 * MIB));
        let (engine, _) = script.engine(Settings::default());
        assert!(read_all_at(&engine, [one, two], pace).await == [a, b].concat());
        assert_eq!(script.requests(), ["a:1 3,0100000001 whole", "a:1 3,0200000001 whole"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_behind_its_first_span_goes_on_at_that_byte() {
    let script = Script::default();
    script.locations([vec!["a:1", "b:1"]]);
    let (read, bytes) = script.needle(1, 13 * MIB);
    // Each breaks off more often than a span may fail.
    for server in ["a:1", "b:1"] {
        script.fault(server, vec![Fault::BreakAfter(3 * MIB); 2]);
    }
    let (engine, metrics) = script.engine(Settings::default());
    assert!(read_at(&engine, read, 1e9).await == bytes);
    let ranges: Vec<_> = script.requests().iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
    let from = |at: usize| format!("bytes={}-{}", at * MIB, 13 * MIB - 1);
    assert_eq!(ranges, ["whole".to_owned(), from(3), from(6), from(9), from(12)]);
    assert_eq!(metrics.bytes.get(), 13 * MIB as u64);
}

#[tokio::test(start_paused = true)]
async fn a_large_chunk_that_came_wrong_is_not_given_out_to_its_end() {
    for at in [5, 5 * MIB, 13 * MIB - 1] {
        let script = Script::default();
        let (read, bytes) = script.needle(1, 13 * MIB);
        script.fault("a:1", [Fault::Flip(at)]);
        let (engine, metrics) = script.engine(Settings::default());
        let (given, error) = collect(engine.download(plan([read])).await.unwrap()).await.unwrap_err();
        assert!(given < bytes.len() && matches!(error, FetchError::Corrupt { .. }), "{given}: {error}");
        assert_eq!((metrics.crc_failures.get(), script.requests().len()), (1, 1 + 1), "and whether it is compressed");
    }
}

/// The spans of one body are counted in the chunk's checksum together. A client that stops for a while gets a chunk out of
/// several bodies.
#[tokio::test(start_paused = true)]
async fn what_came_wrong_in_any_body_of_a_chunk_is_found_at_its_end() {
    let sound = || Fault::Late(Duration::ZERO);
    for faults in [vec![], vec![Fault::Flip(5)], vec![Fault::Flip(5 * MIB)], vec![sound(), Fault::Flip(5)]] {
        let script = Script::default();
        let (read, bytes) = script.needle(1, 13 * MIB);
        let is_wrong = !faults.is_empty();
        script.fault("a:1", faults);
        let (engine, metrics) = script.engine(Settings { window: WindowSetting::Fixed(1), ..Settings::default() });
        let mut download = engine.download(plan([read])).await.unwrap();
        let (mut got, mut failed) = (0, None);
        while let Some(next) = download.next().await {
            match next {
                Ok(bytes) => {
                    if (got..got + bytes.len()).contains(&(5 * MIB)) {
                        sleep(Duration::from_secs(5)).await;
                    }
                    got += bytes.len();
                }
                Err(error) => failed = Some(error),
            }
        }
        let (requests, rest) = (script.requests(), format!("a:1 {FID} bytes={}-{}", 8 * MIB, 13 * MIB - 1));
        assert_eq!(requests[..2], [format!("a:1 {FID} whole"), rest], "two spans of one body, then another");
        assert_eq!((got < bytes.len(), metrics.crc_failures.get() > 0), (is_wrong, is_wrong), "{failed:?}");
        assert_eq!(matches!(failed, Some(FetchError::Corrupt { .. })), is_wrong, "{failed:?}");
    }
}
