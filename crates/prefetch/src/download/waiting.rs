//! What a download waits for, and what must not wait for it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use http::{Request, Response, header};
use prometheus::Registry;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::*;
use crate::{
    Answer, ChunkCache, CutHandle, Engine, Metrics, NeedleRead, Piece, Settings, Share, Upstream, Verify,
    WindowSetting,
    testing::{AsItIs, Fault, Script, body_of, collect},
};

const MIB: usize = 1 << 20;

/// A needle that can only be read whole.
fn sealed(script: &Script, key: u32, size: usize) -> NeedleRead {
    NeedleRead { opener: Some(Arc::new(AsItIs)), ..script.needle(key, size).0 }
}

fn plan(reads: impl IntoIterator<Item = NeedleRead>) -> Plan {
    reads.into_iter().map(Piece::Needle).collect()
}

/// Takes that many shared blocks for somebody else.
async fn taken(engine: &Engine, blocks: usize) -> Reservation {
    let account = engine.shared.budget.admit(&Share::default()).await;
    Reservation::take(&account, blocks, blocks, Urgency::Head).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_chunk_for_which_memory_is_short_is_not_let_out_before_its_checksum_is_known() {
    let script = Script::default();
    script.locations([vec!["a:1"], vec!["b:1"]]);
    let (read, expected) = script.needle(1, MIB);
    script.fault("a:1", [Fault::Flip(3)]);
    let (engine, metrics) = script.engine(Settings { memory: 64 * BLOCK as u64, ..Settings::default() });
    let others = taken(&engine, 30).await;
    let download = tokio::spawn({
        let (engine, plan) = (engine.clone(), plan([read]));
        async move { collect(engine.download(plan).await.unwrap()).await }
    });
    sleep(Duration::from_secs(1)).await;
    drop(others);
    assert_eq!(download.await.unwrap().unwrap(), expected);
    assert_eq!(metrics.crc_failures.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_download_takes_no_shared_memory_before_its_own_head_has_some() {
    for window in [WindowSetting::Fixed(8), WindowSetting::Auto] {
        let script = Script::default();
        // The sealed one needs nearly all that is shared; those that follow could have what it waits for.
        let reads = [sealed(&script, 1, MIB), script.needle(2, 6 * BLOCK).0, script.needle(3, 6 * BLOCK).0];
        let (engine, _) = script.engine(Settings { window, memory: 80 * BLOCK as u64, ..Settings::default() });
        let others = taken(&engine, 8).await;
        let begin = Instant::now();
        let download = tokio::spawn({
            let (engine, plan) = (engine.clone(), plan(reads));
            async move { collect(engine.download(plan).await.unwrap()).await.map(|bytes| bytes.len()) }
        });
        sleep(Duration::from_secs(1)).await;
        drop(others);
        assert_eq!(download.await.unwrap().unwrap(), MIB + 12 * BLOCK);
        assert_eq!(begin.elapsed().as_secs(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn one_sealed_head_that_waits_leaves_memory_to_the_others() {
    let script = Script::default();
    let (engine, metrics) = script.engine(Settings { memory: 512 * BLOCK as u64, ..Settings::default() });
    // A client that reads nothing for a minute has some of what the sealed one needs.
    let stalled = taken(&engine, 40).await;
    let sealed = sealed(&script, 1, 13 * MIB);
    let waiting = tokio::spawn({
        let engine = engine.clone();
        async move { collect(engine.download(plan([sealed])).await.unwrap()).await.map(|bytes| bytes.len()) }
    });
    // The others have what is free, and give it back again and again.
    let other = script.needle(2, 16 * MIB).0;
    let mut download = engine.download(plan(vec![other; 8])).await.unwrap();
    let mut bytes = 0;
    while let Some(next) = download.next().await {
        bytes += next.unwrap().len();
        sleep(Duration::from_millis(20)).await;
    }
    assert!(!waiting.is_finished() && bytes == 128 * MIB);
    let requests = script.requests().len();
    assert!(requests < 512, "{requests} requests: all of a floor's size would be 1024");
    assert_eq!(metrics.memory_waits.with_label_values(&["whole"]).get(), 1);
    drop(stalled);
    assert_eq!(waiting.await.unwrap().unwrap(), 13 * MIB);
}

/// An engine that has some needles in memory.
fn remembering(script: &Script, reads: &[&NeedleRead]) -> Engine {
    let (engine, _) = script.engine_with(Settings::default(), ChunkCache::new(8 << 20, Box::new(|_| ())));
    for read in reads {
        let bytes = script.0.lock().unwrap().needles[&*read.fid].clone();
        engine.shared.fetch.cache.as_ref().unwrap().keep(&read.fid, bytes);
    }
    engine
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_chunk_in_memory_is_fetched_while_that_is_read() {
    let script = Script::default();
    script.latency(Duration::from_millis(40));
    let ((one, a), (two, b), (three, c)) =
        (script.needle(1, MIB / 2), script.needle(2, MIB / 4), script.needle(3, 70_000));
    let engine = remembering(&script, &[&one, &two]);
    let mut download = engine.download(plan([one, two, three])).await.unwrap();
    let first = download.next().await.unwrap().unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(script.requests(), ["a:1 3,0300000001 whole"]);
    let begin = Instant::now();
    let rest = collect(download).await.unwrap();
    assert_eq!([&first[..], &rest[..]].concat(), [a, b, c].concat());
    assert_eq!(begin.elapsed(), Duration::ZERO, "it was here already");
}

#[tokio::test(start_paused = true)]
async fn a_chunk_in_memory_that_would_fit_what_is_left_to_heads_holds_nothing_back() {
    for (memory, asked) in [(128, 1), (124, 0)] {
        let script = Script::default();
        let (in_memory, _) = script.needle(1, MIB);
        let window = WindowSetting::Fixed(4);
        let settings = Settings { window, memory: memory * BLOCK as u64, ..Settings::default() };
        let (engine, _) = script.engine_with(settings, ChunkCache::new(8 << 20, Box::new(|_| ())));
        let bytes = script.0.lock().unwrap().needles[&*in_memory.fid].clone();
        engine.shared.fetch.cache.as_ref().unwrap().keep(&in_memory.fid, bytes);
        let mut download = engine.download(plan([in_memory, script.needle(2, 9).0])).await.unwrap();
        download.next().await.unwrap().unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(script.requests().len(), asked, "of {memory} blocks an eighth is left to heads");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_is_opened_lies_before_the_client_with_all_the_memory_that_it_takes() {
    let script = Script::default();
    let (engine, _) = script.engine(Settings::default());
    let download = engine.download(plan([sealed(&script, 1, MIB)])).await.unwrap();
    let given: usize = download.first.iter().map(Bytes::len).sum();
    // The needle, which may have a block more than its chunk, and two pieces of half a MiB.
    assert_eq!(download.slots.bytes() as usize, (17 + 16) * BLOCK - given);
}

#[tokio::test(start_paused = true)]
async fn memory_that_is_short_for_what_lies_ahead_is_told_and_shrinks_the_window() {
    for (taken_by_others, is_short, window) in [(40, true, 10 * BLOCK), (1, false, MIB)] {
        let script = Script::default();
        let (engine, metrics) = script.engine(Settings { memory: 80 * BLOCK as u64, ..Settings::default() });
        let mut others = Vec::new();
        for _ in 0..2 {
            others.push(engine.shared.budget.admit(&Share::default()).await);
        }
        let _others = (taken(&engine, taken_by_others).await, others);
        let download = engine.download(script.needles(4, 2 * BLOCK).0).await.unwrap();
        assert_eq!(metrics.memory_waits.with_label_values(&["ahead"]).get() > 0, is_short);
        assert_eq!(download.window.automatic(), Some(window as u64));
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_was_in_memory_and_is_gone_when_the_client_comes_to_it_is_fetched() {
    let script = Script::default();
    let ((one, a), (two, b), (three, c)) = (script.needle(1, 200_000), script.needle(2, MIB / 2), script.needle(3, 9));
    script.fault("a:1", [Fault::Late(Duration::ZERO), Fault::Late(Duration::ZERO), Fault::FlipWhole(7)]);
    let engine = remembering(&script, &[&one, &two]);
    let mut download = engine.download(plan([one.clone(), two.clone(), three])).await.unwrap();
    let mut got = Vec::new();
    // The first one goes after its first block, the other one before it is reached.
    while let Some(bytes) = timeout(Duration::from_secs(60), download.next()).await.expect("it goes on") {
        got.extend_from_slice(&bytes.unwrap());
        engine.shared.fetch.cache.as_ref().unwrap().forget();
    }
    assert_eq!(got, [a, b, c].concat());
    let mut requests = script.requests();
    requests.sort();
    let rest = format!("a:1 3,0100000001 bytes={BLOCK}-199999");
    // The second one came wrong, was asked for compressed, and then again.
    let two = "a:1 3,0200000001 whole";
    assert_eq!(requests, [&rest, two, two, two, "a:1 3,0300000001 whole"]);
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_is_gone_from_memory_does_not_wait_for_what_lies_behind_it() {
    for (window, start) in [(WindowSetting::Fixed(60), 0), (WindowSetting::Fixed(60), 9), (WindowSetting::Auto, 0)] {
        let script = Script::default();
        let ((one, a), (two, b)) = (script.needle(1, 200_000), script.needle(2, MIB));
        let (rest, c): (Vec<_>, Vec<_>) = (3..63).map(|key| script.needle(key, BLOCK)).unzip();
        // A part of the second one takes more, fetched whole, than what lies ahead leaves to heads.
        let two = NeedleRead { start, ..two };
        let settings = Settings { window, memory: 128 * BLOCK as u64, verify: Verify::Always, ..Settings::default() };
        let (engine, _) = script.engine_with(settings, ChunkCache::new(8 << 20, Box::new(|_| ())));
        for read in [&one, &two] {
            let bytes = script.0.lock().unwrap().needles[&*read.fid].clone();
            engine.shared.fetch.cache.as_ref().unwrap().keep(&read.fid, bytes);
        }
        let begin = Instant::now();
        let mut download = engine.download(plan([one, two].into_iter().chain(rest))).await.unwrap();
        let mut got = Vec::new();
        while got.len() <= 200_000 {
            got.extend_from_slice(&download.next().await.unwrap().unwrap());
        }
        engine.shared.fetch.cache.as_ref().unwrap().forget();
        got.extend(collect(download).await.unwrap());
        assert!(got == [&a[..], &b[start as usize..], &c.concat()].concat());
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_passed_on_early_are_within_the_budget() {
    let script = Script::default();
    let (read, expected) = script.needle(1, 2 * MIB);
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let line = Line::new(script.clone(), 1e6);
    let engine = Engine::new(Settings::default(), Arc::new(line), None, Arc::new(script.clone()), metrics.clone());
    let mut download = engine.download(plan([read])).await.unwrap();
    // A client whose connection still holds all that it was given.
    let mut held: Vec<Bytes> = Vec::new();
    while let Some(bytes) = download.next().await {
        held.push(bytes.unwrap());
        let bytes: usize = held.iter().map(Bytes::len).sum();
        assert!(metrics.buffered.get() >= bytes as i64, "{} counted of {bytes}", metrics.buffered.get());
    }
    assert!(held.len() > 40, "some of it came early");
    assert_eq!(held.concat(), expected);
}

/// A line of so many bytes a second between all servers and us, after 2 ms.
struct Line {
    script: Script,
    pace: f64,
    free_at: Arc<Mutex<Instant>>,
    /// Whether the server reads one needle after the other, or all that are asked for side by side.
    in_turn: bool,
    /// Bytes that were asked for, and requests.
    asked: Arc<Mutex<(u64, u64)>>,
}

impl Line {
    fn new(script: Script, pace: f64) -> Self {
        Self { script, pace, free_at: Arc::new(Mutex::new(Instant::now())), in_turn: false, asked: Arc::default() }
    }
}

impl Upstream for Line {
    fn send(&self, request: Request<()>) -> Answer<'_> {
        let (free_at, pace) = (Arc::clone(&self.free_at), self.pace);
        Box::pin(async move {
            sleep(Duration::from_millis(2)).await;
            let answer = self.script.send(request).await?;
            let length = answer.headers()[header::CONTENT_LENGTH].to_str().unwrap().parse::<u64>().unwrap();
            {
                let mut asked = self.asked.lock().unwrap();
                *asked = (asked.0 + length, asked.1 + 1);
            }
            if self.in_turn {
                let turn = {
                    let mut free_at = free_at.lock().unwrap();
                    let turn = (*free_at).max(Instant::now());
                    *free_at = turn + Duration::from_secs_f64(length as f64 / pace);
                    turn
                };
                sleep_until(turn).await;
                return Ok(answer);
            }
            let (head, body) = answer.into_parts();
            // Pieces of 10,000 bytes at most, as they come through the line, which all answers share.
            let pieces = stream::unfold(body, move |mut body| {
                let free_at = Arc::clone(&free_at);
                async move {
                    let mut piece = vec![0; 10_000];
                    let bytes = body.read(&mut piece).await.unwrap();
                    piece.truncate(bytes);
                    if bytes == 0 {
                        return None;
                    }
                    let due = {
                        let mut free_at = free_at.lock().unwrap();
                        *free_at = (*free_at).max(Instant::now() - Duration::from_millis(4))
                            + Duration::from_secs_f64(bytes as f64 / pace);
                        *free_at
                    };
                    // The clock ticks in milliseconds: what a tick was too long for comes with the next one.
                    if due > Instant::now() + Duration::from_millis(1) {
                        sleep_until(due).await;
                    }
                    Some((Ok(Bytes::from(piece)), body))
                }
            });
            Ok(Response::from_parts(head, body_of(pieces)))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_server_gives_no_more_the_window_does_not_grow() {
    let script = Script::default();
    let (read, _) = script.needle(1, 4 * MIB);
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let line = Line { in_turn: true, ..Line::new(script.clone(), 100e6) };
    let settings = Settings { verify: Verify::Off, ..Settings::default() };
    let engine = Engine::new(settings, Arc::new(line), None, Arc::new(script.clone()), metrics);
    let read = NeedleRead { transform: None, ..read };
    let mut download = engine.download(plan(vec![read; 64])).await.unwrap();
    let begin = Instant::now();
    let mut most = 0;
    while let Some(bytes) = download.next().await {
        bytes.unwrap();
        most = most.max(download.window.automatic().unwrap());
    }
    assert!(most <= 8 << 20, "{most}");
    let pace = 256.0 * MIB as f64 / begin.elapsed().as_secs_f64();
    assert!(pace > 95e6, "and the server is never idle: {pace}");
}

#[tokio::test(start_paused = true)]
async fn a_download_begins_with_what_those_before_it_came_to() {
    let script = Script::default();
    script.latency(Duration::from_millis(40));
    let (engine, metrics) = script.engine(Settings::default());
    let account = engine.shared.budget.admit(&Share::default()).await;
    let begins_with =
        || Download::new(Arc::clone(&engine.shared), Arc::clone(&account), Plan::default()).window.automatic();
    assert_eq!(begins_with(), Some(MIB as u64));
    collect(engine.download(script.needles(64, MIB).0).await.unwrap()).await.unwrap();
    assert!(begins_with() > Some(8 * MIB as u64), "{:?}", begins_with());
    assert!(metrics.window.get_sample_sum() > 8.0 * MIB as f64);
}

#[tokio::test(start_paused = true)]
async fn a_small_read_waits_for_no_fetch_that_lies_ahead_of_somebody() {
    let script = Script::default();
    let (large, small) = (script.needle(1, 4 * MIB).0, script.needle(2, 4096).0);
    let (line, metrics) = (Line::new(script.clone(), 100e6), Metrics::register(&Registry::new()).unwrap());
    let settings = Settings { verify: Verify::Off, per_server: 4, ..Settings::default() };
    let engine = Engine::new(settings, Arc::new(line), None, Arc::new(script.clone()), metrics);
    let large = NeedleRead { transform: None, ..large };
    let alone = times(&engine, &small, 50).await;
    let downloads: Vec<_> = (0..2)
        .map(|_| {
            let (engine, plan) = (engine.clone(), plan(vec![large.clone(); 2048]));
            tokio::spawn(async move {
                let mut download = engine.download(plan).await.unwrap();
                while let Some(bytes) = download.next().await {
                    bytes.unwrap();
                }
            })
        })
        .collect();
    sleep(Duration::from_secs(1)).await;
    let beside = times(&engine, &small, 300).await;
    assert!(downloads.iter().all(|download| !download.is_finished()));
    assert!(beside <= alone * 3, "{beside:?}, alone {alone:?}");
}

/// The 99th percentile of that many reads.
async fn times(engine: &Engine, read: &NeedleRead, count: usize) -> Duration {
    let mut times = Vec::new();
    for _ in 0..count {
        let begin = Instant::now();
        collect(engine.download(plan([read.clone()])).await.unwrap()).await.unwrap();
        times.push(begin.elapsed());
        sleep(Duration::from_millis(3)).await;
    }
    times.sort();
    times[count * 99 / 100]
}

#[tokio::test(start_paused = true)]
async fn the_more_downloads_the_smaller_their_requests_but_not_without_end() {
    let mut sizes = Vec::new();
    for downloads in [20, 200] {
        let script = Script::default();
        let read = NeedleRead { transform: None, ..script.needle(1, 4 * MIB).0 };
        let (line, metrics) = (Line::new(script.clone(), 1e9), Metrics::register(&Registry::new()).unwrap());
        let asked = Arc::clone(&line.asked);
        let settings = Settings { verify: Verify::Off, memory: 256 << 20, ..Settings::default() };
        let engine = Engine::new(settings, Arc::new(line), None, Arc::new(script.clone()), metrics);
        let downloads: Vec<_> = (0..downloads)
            .map(|_| {
                let (engine, plan) = (engine.clone(), plan(vec![read.clone(); 800 / downloads]));
                tokio::spawn(async move {
                    let mut download = engine.download(plan).await.unwrap();
                    while let Some(bytes) = download.next().await {
                        bytes.unwrap();
                    }
                })
            })
            .collect();
        for download in downloads {
            download.await.unwrap();
        }
        let (bytes, requests) = *asked.lock().unwrap();
        sizes.push(bytes / requests);
    }
    assert!(sizes[0] >= 2 << 20, "{sizes:?}");
    assert!(sizes[1] >= 512 << 10, "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn memory_that_a_head_waits_for_is_waited_for_only_so_long() {
    let script = Script::default();
    let (engine, _) = script.engine(Settings { memory: 80 * BLOCK as u64, ..Settings::default() });
    let others = taken(&engine, 8).await;
    let sealed = sealed(&script, 1, MIB);
    let begin = Instant::now();
    let error = engine.download(plan([sealed.clone()])).await.err().unwrap();
    assert!(matches!(error, FetchError::NoMemory), "{error}");
    assert_eq!((begin.elapsed(), script.requests().len()), (4 * LONGEST_WAIT, 0));
    // What was put by for it is free again, also where it gives up before.
    assert!(engine.download(plan([sealed])).now_or_never().is_none());
    drop(others);
    assert_eq!(engine.shared.budget.free(), 40);
}

#[tokio::test(start_paused = true)]
async fn where_more_come_than_there_is_room_for_a_beginning_asks_for_no_more_than_it_can_hold() {
    let script = Script::default();
    let (read, expected) = script.needle(1, 13 * MIB);
    let (engine, _) = script.engine(Settings { memory: 80 * BLOCK as u64, ..Settings::default() });
    let share = Share::default();
    let _most_of_what_is_shared = taken(&engine, 38).await;
    let mut others = Vec::new();
    for _ in 0..19 {
        others.push(engine.shared.budget.admit(&share).await);
    }
    let download = tokio::spawn({
        let (engine, plan) = (engine.clone(), plan([read]));
        async move { collect(engine.download(plan).await.unwrap()).await }
    });
    sleep(Duration::from_millis(100)).await;
    let waits = tokio::spawn({
        let (engine, share) = (engine.clone(), share.clone());
        async move { engine.shared.budget.admit(&share).await }
    });
    sleep(Duration::from_millis(100)).await;
    others.pop();
    assert_eq!(download.await.unwrap().unwrap(), expected);
    waits.abort();
    // A floor each, and whoever has read a megabyte reads on.
    let mut asked: Vec<_> = (0..8).map(|at| (at * 2 * BLOCK, (at + 1) * 2 * BLOCK - 1)).collect();
    asked.push((MIB, 13 * MIB - 1));
    let asked: Vec<_> = asked.iter().map(|(first, last)| format!("a:1 3,0100000001 bytes={first}-{last}")).collect();
    assert_eq!(script.requests(), asked);
}

#[tokio::test(start_paused = true)]
async fn where_many_clients_read_nothing_a_beginning_asks_for_little() {
    // All that is shared is with those who do not read, and of the memory a beginning has its floor; or much is free.
    for (memory, piece) in [(Settings::default().memory, 2 * BLOCK), (1 << 30, 4 * BLOCK)] {
        beginnings_ask_for(memory, piece).await;
    }
}

async fn beginnings_ask_for(memory: u64, piece: usize) {
    let script = Script::default();
    let (read, expected) = script.needle(1, 13 * MIB);
    let (engine, _) = script.engine(Settings { memory, ..Settings::default() });
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(engine.download(plan([read.clone()])).await.unwrap());
    }
    sleep(Duration::from_millis(100)).await;
    let whole = |requests: &[String]| requests.iter().filter(|request| request.ends_with(" whole")).count();
    let asked = script.requests();
    assert_eq!(
        whole(&asked),
        33,
        "of so many bodies nothing is read, and nobody asks for more than they hold after that"
    );

    assert_eq!(collect(engine.download(plan([read.clone()])).await.unwrap()).await.unwrap(), expected);
    let [pieces @ .., rest] = &script.requests()[asked.len()..] else { panic!() };
    let expected = (0..MIB / piece).map(|at| format!("a:1 3,0100000001 bytes={}-{}", at * piece, (at + 1) * piece - 1));
    assert_eq!(pieces, expected.collect::<Vec<_>>());
    assert_eq!(*rest, format!("a:1 3,0100000001 bytes={MIB}-{}", 13 * MIB - 1), "who has read a megabyte reads on");

    // Their bodies are closed: nothing tells any longer that they do not read.
    sleep(Duration::from_secs(2)).await;
    let asked = script.requests().len();
    drop(collect(engine.download(plan([read])).await.unwrap()).await.unwrap());
    assert_eq!(whole(&script.requests()[asked..]), 1);
}

/// Whether a download was cut.
#[derive(Default)]
struct Cut(AtomicBool);

impl CutHandle for Cut {
    fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waited_for_bytes_and_then_reads_none_of_them_is_slow() {
    let script = Script::default();
    script.latency(Duration::from_millis(20));
    let (engine, _) = script.engine(Settings { memory: 80 * BLOCK as u64, ..Settings::default() });
    let _all_that_is_shared = taken(&engine, 40).await;
    let cut = Arc::new(Cut::default());
    let share = Share { cut: Some(Arc::clone(&cut) as Arc<dyn CutHandle>), ..Share::default() };
    let mut download = engine.download_for(&share, plan([script.needle(1, 2 * MIB).0])).await.unwrap();
    let mut floor = Vec::new();
    for _ in 0..2 {
        floor.push(download.next().await.unwrap().unwrap());
    }
    // So it is where the end of a fetch comes a moment after its last bytes.
    download.account.client_waits();
    assert!(timeout(Duration::from_secs(1), download.next()).await.is_err());
    let mut others = Vec::new();
    while let Some(other) = engine.shared.budget.admit(&Share::default()).now_or_never() {
        others.push(other);
    }
    sleep(Duration::from_secs(10)).await;
    let waits = tokio::spawn({
        let budget = Arc::clone(&engine.shared.budget);
        async move { budget.admit(&Share::default()).await }
    });
    sleep(Duration::from_secs(3)).await;
    engine.shared.budget.relieve();
    assert!(cut.0.load(Ordering::Relaxed), "somebody waits for its floor");
    waits.abort();
    drop(floor);
}
