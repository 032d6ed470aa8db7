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
