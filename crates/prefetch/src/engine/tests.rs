use std::time::Duration;

use futures_util::future::join_all;

use super::*;
use crate::{
    Piece, WindowSetting,
    testing::{Script, collect},
};

fn as_before(script: &Script) -> Renewal {
    Renewal { upstream: Arc::new(script.clone()), cache: None, locate: Arc::new(script.clone()) }
}

fn megabytes(memory: u64) -> Settings {
    Settings { memory: memory << 20, per_server: 100, ..Settings::default() }
}

#[tokio::test(start_paused = true)]
async fn memory_that_grows_and_shrinks_under_load_changes_no_byte() {
    let script = Script::default();
    script.latency(Duration::from_millis(10));
    let (mut engine, metrics) = script.engine(megabytes(8));
    let (needles, bytes) = script.needles(12, 3 << 20);
    let mut downloads = Vec::new();
    for memory in [64, 8, 256, 9, 64, 8] {
        for _ in 0..3 {
            let (engine, needles) = (engine.clone(), needles.clone());
            downloads.push(tokio::spawn(async move { collect(engine.download(needles).await.unwrap()).await }));
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
        let renewed = engine.renewed(megabytes(memory), as_before(&script));
        renewed.take_over(&engine);
        engine = renewed;
    }
    for got in join_all(downloads).await {
        assert!(got.unwrap().unwrap() == bytes);
    }
    assert_eq!(metrics.buffered.get(), 0);
    let (least, _) = Script::default().engine(megabytes(8));
    let [now, fresh] = [&engine, &least].map(|engine| {
        let budget = &engine.shared.budget;
        (budget.free(), budget.blocks())
    });
    assert_eq!(now, fresh, "it is one of 8 MiB again");
}

#[tokio::test(start_paused = true)]
async fn a_download_that_runs_keeps_its_window_and_the_next_has_the_new_one() {
    let script = Script::default();
    script.latency(Duration::from_millis(10));
    let one_by_one = Settings { window: WindowSetting::Fixed(1), ..megabytes(64) };
    let (engine, _) = script.engine(one_by_one.clone());
    let (needles, bytes) = script.needles(8, 1 << 20);
    let most_open = || std::mem::take(&mut script.0.lock().unwrap().most_open);
    let running = engine.download(needles.clone()).await.unwrap();
    let renewed = engine.renewed(Settings { window: WindowSetting::Fixed(4), ..one_by_one }, as_before(&script));
    renewed.take_over(&engine);
    assert!(collect(running).await.unwrap() == bytes);
    assert_eq!(most_open(), 1);
    assert!(collect(renewed.download(needles).await.unwrap()).await.unwrap() == bytes);
    assert_eq!(most_open(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_replaced_is_emptied_and_stays_empty() {
    let script = Script::default();
    let (engine, _) = script.engine_with(megabytes(64), ChunkCache::new(8 << 20, Box::new(|_| ())));
    let (read, bytes) = script.needle(1, 5000);
    let (fid, small) = (Arc::clone(&read.fid), Plan::from_iter([Piece::Needle(read)]));
    let reads = async |engine: &Engine| collect(engine.download(small.clone()).await.unwrap()).await.unwrap() == bytes;
    assert!(reads(&engine).await && engine.shared.is_cached(&fid));
    let kept = engine.renewed(megabytes(32), as_before(&script));
    kept.take_over(&engine);
    assert!(kept.shared.is_cached(&fid), "another size of the memory is not one of the cache");
    let other = Some(Some(ChunkCache::new(4 << 20, Box::new(|_| ()))));
    let renewed = kept.renewed(megabytes(32), Renewal { cache: other, ..as_before(&script) });
    renewed.take_over(&kept);
    assert!(reads(&engine).await && !engine.shared.is_cached(&fid), "a download of before keeps nothing");
    assert!(reads(&renewed).await && renewed.shared.is_cached(&fid));
    let off = renewed.renewed(megabytes(32), Renewal { cache: Some(None), ..as_before(&script) });
    off.take_over(&renewed);
    assert!(reads(&off).await && !off.shared.is_cached(&fid) && !renewed.shared.is_cached(&fid));
}

#[tokio::test(start_paused = true)]
async fn it_tells_of_its_chunks_its_servers_and_its_memory() {
    let script = Script::default();
    let (engine, _) = script.engine_with(megabytes(64), ChunkCache::new(8 << 20, Box::new(|_| ())));
    assert_eq!((engine.cached(), engine.servers().len()), ((0, 0), 0));
    let (read, _) = script.needle(1, 5000);
    let plan = Plan::from_iter([Piece::Needle(read)]);
    collect(engine.download(plan.clone()).await.unwrap()).await.unwrap();
    let (chunks, bytes) = engine.cached();
    assert!(chunks == 1 && bytes > 5000, "{chunks} {bytes}");
    assert_eq!(engine.servers().iter().map(|server| &*server.authority).collect::<Vec<_>>(), ["a:1"]);
    let without = engine.renewed(megabytes(64), Renewal { cache: Some(None), ..as_before(&script) });
    assert_eq!(without.cached(), (0, 0));
    assert!(engine.memory().holders.is_empty());
    let _download = engine.download(plan).await.unwrap();
    let memory = engine.memory();
    assert_eq!((memory.limit, memory.holders.len(), memory.holders[0].downloads), (64 << 20, 1, 1));
}

/// What is known of them would be lost, and requests that run not be counted.
#[test]
fn servers_stay_as_long_as_their_limits_do() {
    let script = Script::default();
    let (engine, _) = script.engine(megabytes(64));
    let keeps = |settings| {
        let renewed = engine.renewed(settings, as_before(&script));
        Arc::ptr_eq(&engine.shared.fetch.servers, &renewed.shared.fetch.servers)
    };
    assert!(keeps(Settings { window: WindowSetting::Fixed(4), ..megabytes(64) }));
    assert!(!keeps(Settings { per_server: 99, ..megabytes(64) }));
    assert!(!keeps(megabytes(640)), "more may wait for a server");
}

#[tokio::test(start_paused = true)]
async fn a_needle_that_turns_out_longer_is_read_whole_up_to_the_limit() {
    let script = Script::default();
    let (engine, _) = script.engine(megabytes(64));
    let (read, _) = script.needle(1, 3 << 20);
    let stored = script.0.lock().unwrap().needles[&*read.fid].clone();
    let limits = [3 << 20, 64 << 20].map(|limit| engine.read_needle(read.clone(), limit));
    for got in join_all(limits).await {
        assert!(got.unwrap() == stored);
    }
    let error = engine.read_needle(read, (3 << 20) - 1).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { size: 0x0030_0000, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_question_for_a_length_is_no_fetch() {
    let script = Script::default();
    let (engine, metrics) = script.engine(megabytes(64));
    let (read, _) = script.needle(1, 1000);
    assert_eq!(engine.stored_length(&read).await.unwrap(), 1000);
    assert_eq!(metrics.ok.get() + metrics.failed.get() + metrics.canceled.get(), 0);
    engine.read_needle(read, 1000).await.unwrap();
    assert_eq!((metrics.ok.get(), metrics.canceled.get()), (1, 0));
}

#[test]
fn a_quarter_of_all_downloads_wait_for_servers_to_come_back_and_one_where_there_are_fewer() {
    assert_eq!([64, 8].map(|memory| patient(&megabytes(memory))), [64, 8]);
    assert_eq!(patient(&Settings { memory: 1, ..Settings::default() }), 1);
}
