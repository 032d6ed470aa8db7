use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::*;
use crate::{
    Cause, Engine, Metrics, NeedleRead, Piece, Plan, Settings, Start, Transform, Verify, WindowSetting,
    testing::{Fault, Positional, Script, collect},
};

struct Setup {
    script: Script,
    engine: Engine,
    metrics: Metrics,
    hits: Arc<AtomicUsize>,
}

fn setup(settings: Settings) -> Setup {
    let script = Script::default();
    let hits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hits);
    let on_lookup = Box::new(move |hit| {
        count.fetch_add(usize::from(hit), Ordering::Relaxed);
    });
    let (engine, metrics) = script.engine_with(settings, ChunkCache::new(64 << 20, on_lookup));
    Setup { script, engine, metrics, hits }
}

impl Setup {
    fn cache(&self) -> &ChunkCache {
        self.engine.shared.fetch.cache.as_ref().unwrap()
    }

    async fn read(&self, read: &NeedleRead) -> Result<Vec<u8>, FetchError> {
        let download = self.engine.download(Plan::from_iter([Piece::Needle(read.clone())])).await?;
        collect(download).await.map_err(|(_, error)| error)
    }

    async fn all_at_once(&self, read: &NeedleRead, clients: usize) -> Vec<Result<Vec<u8>, FetchError>> {
        futures_util::future::join_all((0..clients).map(|_| self.read(read))).await
    }
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_wait_for_one_fetch() {
    let setup = setup(Settings::default());
    let (read, bytes) = setup.script.needle(1, 5000);
    setup.script.latency(Duration::from_millis(10));
    for got in setup.all_at_once(&read, 20).await {
        assert_eq!(got.unwrap(), bytes);
    }
    assert_eq!((setup.script.requests().len(), setup.hits.load(Ordering::Relaxed)), (1, 19));
    assert_eq!((setup.metrics.ok.get(), setup.cache().flying()), (1, 0));
    assert_eq!(setup.read(&read).await.unwrap(), bytes);
    assert_eq!((setup.script.requests().len(), setup.metrics.ok.get()), (1, 1), "a hit is no fetch");
}

/// Counts how often something is to be decoded.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Transform for Counted {
    fn start(&self, offset: u64) -> Start<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Positional.start(offset)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_as_it_is_stored_and_nobody_is_asked_for_a_key_for_it() {
    let setup = setup(Settings::default());
    let (mut read, bytes) = setup.script.needle(1, 5000);
    let counted = Arc::<Counted>::default();
    read.transform = Some(Arc::clone(&counted) as Arc<dyn Transform>);
    for got in setup.all_at_once(&read, 3).await {
        assert_eq!(got.unwrap(), bytes);
    }
    assert_eq!(counted.0.load(Ordering::Relaxed), 3, "once for each who reads it");
}

#[tokio::test(start_paused = true)]
async fn one_reset_under_five_who_wait_is_one_failure_and_not_five() {
    let setup = setup(Settings::default());
    let (read, bytes) = setup.script.needle(1, 50_000);
    setup.script.latency(Duration::from_millis(10));
    setup.script.fault("a:1", [Fault::BreakAfter(20_000)]);
    for got in setup.all_at_once(&read, 5).await {
        assert_eq!(got.unwrap(), bytes);
    }
    assert_eq!(setup.script.requests(), ["a:1 3,0100000001 whole", "a:1 3,0100000001 bytes=20000-49999"]);
    assert_eq!(setup.metrics.retries.with_label_values(&["broken"]).get(), 1);
    assert_eq!(setup.metrics.ejections.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_that_of_all_who_waited_for_it() {
    let setup = setup(Settings::default());
    let (read, _) = setup.script.needle(1, 5000);
    setup.script.latency(Duration::from_millis(10));
    setup.script.0.lock().unwrap().needles.clear();
    for got in setup.all_at_once(&read, 5).await {
        assert!(matches!(got, Err(FetchError::Exhausted { cause: Cause::NotFound, .. })));
    }
    assert_eq!((setup.metrics.failed.get(), setup.metrics.in_flight.get(), setup.cache().flying()), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn first_byte_timeout_is_for_the_first_byte_and_not_for_the_whole_chunk() {
    let setup = setup(Settings { first_byte_timeout: Duration::from_millis(500), ..Settings::default() });
    let (read, bytes) = setup.script.needle(1, 1 << 20);
    setup.script.fault("a:1", [Fault::Trickle(Duration::from_millis(10))]);
    let begin = Instant::now();
    assert_eq!(setup.read(&read).await.unwrap(), bytes);
    assert!(begin.elapsed() > Duration::from_secs(1));
    assert_eq!(setup.script.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_ends_the_fetch_only_where_nobody_else_waits() {
    let setup = setup(Settings::default());
    let (read, bytes) = setup.script.needle(1, 5000);
    setup.script.latency(Duration::from_secs(5));
    let leave = Duration::from_secs(1);
    let (left, stays) = futures_util::join!(tokio::time::timeout(leave, setup.read(&read)), setup.read(&read));
    assert!(left.is_err());
    assert_eq!(stays.unwrap(), bytes);
    assert_eq!(setup.script.requests().len(), 1);

    let (read, _) = setup.script.needle(2, 5000);
    let (one, two) = (setup.read(&read), setup.read(&read));
    let both = futures_util::join!(tokio::time::timeout(leave, one), tokio::time::timeout(leave, two));
    assert!(both.0.is_err() && both.1.is_err());
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!((setup.script.0.lock().unwrap().open, setup.cache().flying()), (0, 0));
    assert_eq!((setup.metrics.in_flight.get(), setup.metrics.canceled.get()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn ranges_and_large_needles_pass_by() {
    let setup = setup(Settings::default());
    let (read, bytes) = setup.script.needle(1, 5000);
    let range = NeedleRead { start: 10, end: 20, ..read };
    assert_eq!(setup.read(&range).await.unwrap(), bytes[10..20]);
    assert!(!setup.cache().contains(&range.fid));
    let (read, bytes) = setup.script.needle(2, LARGEST as usize + 1);
    assert_eq!(setup.read(&read).await.unwrap(), bytes);
    assert!(!setup.cache().contains(&read.fid));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_what_the_server_named_is_not_kept() {
    let setup = setup(Settings { verify: Verify::Off, ..Settings::default() });
    let (read, bytes) = setup.script.needle(1, 5000);
    for fault in [Fault::Flip(7), Fault::Inflated] {
        setup.script.fault("a:1", [fault]);
        assert_eq!(setup.read(&read).await.unwrap().len(), bytes.len());
        assert!(!setup.cache().contains(&read.fid));
    }
    let cut = NeedleRead { size: 4000, end: 4000, ..read.clone() };
    assert_eq!(setup.read(&cut).await.unwrap(), bytes[..4000], "of a needle that is longer than its chunk");
    assert!(!setup.cache().contains(&read.fid));
    assert_eq!(setup.read(&read).await.unwrap(), bytes);
    assert!(setup.cache().contains(&read.fid));
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_takes_an_eighth_of_the_memory_and_more_passes_by() {
    let setup = setup(Settings { per_server: 100, ..Settings::default() });
    setup.script.latency(Duration::from_millis(10));
    let needles: Vec<_> = (1..=12).map(|key| setup.script.needle(key, LARGEST as usize)).collect();
    let all = futures_util::future::join_all(needles.iter().map(|(read, _)| setup.read(read)));
    let look = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        (setup.script.requests().len(), setup.cache().flying(), setup.cache().taken())
    };
    let (all, seen) = futures_util::join!(all, look);
    assert_eq!(seen, (12, 8, 8 << 20), "of 64 MiB");
    for (got, (_, bytes)) in all.into_iter().zip(&needles) {
        assert!(got.unwrap() == *bytes);
    }
    assert_eq!((setup.cache().flying(), setup.cache().taken()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_lies_ahead_leaves_half_of_the_room_to_what_is_waited_for() {
    let setup = setup(Settings { per_server: 100, window: WindowSetting::Fixed(12), ..Settings::default() });
    setup.script.latency(Duration::from_millis(10));
    let (large, bytes) = setup.script.needles(12, LARGEST as usize);
    let (small, head) = setup.script.needle(20, 5000);
    let large = async { collect(setup.engine.download(large).await.unwrap()).await.unwrap() };
    let small = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let ahead = setup.cache().flying();
        let (got, with_it) = futures_util::join!(setup.read(&small), async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            setup.cache().flying()
        });
        (got.unwrap(), ahead, with_it)
    };
    let (large, (small, ahead, with_it)) = futures_util::join!(large, small);
    assert!(large == bytes && small == head);
    assert_eq!((ahead, with_it), (4, 5));
    assert_eq!(setup.cache().taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_smaller_than_two_of_the_largest_keeps_half_of_it() {
    for (bytes, room) in [(1 << 20, 512 << 10), (4 << 20, 1 << 20), (80 << 20, 10 << 20)] {
        let cache = ChunkCache::new(bytes, Box::new(|_| ()));
        assert_eq!(cache.room, room, "of {bytes}");
        assert_eq!(cache.kept.policy().max_capacity(), Some(bytes - room));
    }
}

/// The cache by itself, and a needle that is fetched for as long as nobody says that it has come.
fn alone(bytes: u64) -> Arc<ChunkCache> {
    Arc::new(ChunkCache::new(bytes, Box::new(|_| ())))
}

fn priority(urgency: Urgency) -> Arc<Priority> {
    Arc::new(Priority::new(urgency))
}

#[test]
fn what_it_holds_is_told_with_what_comes_on_top_of_the_bytes() {
    let cache = alone(64 << 20);
    assert_eq!(cache.held(), (0, 0));
    cache.keep(&"3,01".into(), Bytes::from_static(&[7; 1000]));
    cache.keep(&"3,02".into(), Bytes::from_static(&[7; 2000]));
    assert_eq!(cache.held(), (2, 3000 + 2 * (4 + OVERHEAD) as u64));
}

#[tokio::test]
async fn a_fetch_ahead_is_a_heads_from_when_one_who_waits_for_it_is() {
    let cache = alone(64 << 20);
    let (ahead, fid) = (priority(Urgency::Ahead), Arc::from("3,01"));
    let mut fetched_as = None;
    let mut waiting = Box::pin(cache.get(&fid, 1000, &ahead, |priority| {
        fetched_as = Some(priority);
        std::future::pending()
    }));
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    ahead.reach();
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    drop(waiting);
    assert_eq!(fetched_as.unwrap().urgency(), Urgency::Head);
}

#[tokio::test]
async fn one_needle_alone_may_take_all_the_room_and_what_lies_ahead_half_of_it_beside_others() {
    // An eighth of the cache, but for one large needle at least.
    for (room, size) in [(LARGEST, LARGEST), (LARGEST, LARGEST / 2 + 1)] {
        let cache = alone(2 * room);
        let (ahead, head) = (priority(Urgency::Ahead), priority(Urgency::Head));
        let (one, two, three) = (Arc::from("3,01"), Arc::from("3,02"), Arc::from("3,03"));
        let never = |_| std::future::pending();
        let mut first = Box::pin(cache.get(&one, size, &ahead, never));
        assert!(futures_util::poll!(first.as_mut()).is_pending(), "it has room");
        assert_eq!(cache.taken(), size);
        assert!(cache.get(&two, 1, &ahead, never).await.is_none(), "what lies ahead has none any more");
        let rest = room - size;
        assert!(cache.get(&two, rest + 1, &head, never).await.is_none());
        let mut second = Box::pin(cache.get(&two, rest, &head, never));
        assert!(futures_util::poll!(second.as_mut()).is_pending(), "a head has what is left");
        assert_eq!(cache.taken(), room);
        drop(first);
        assert_eq!(cache.taken(), rest, "and the others' room is theirs");
        drop(second);
        let mut third = Box::pin(cache.get(&three, room, &ahead, never));
        assert!(futures_util::poll!(third.as_mut()).is_pending());
    }
}

/// A fetch that nobody waits for any more, at the end of which another one begins.
struct Successor(Arc<ChunkCache>, Arc<std::sync::Mutex<Option<futures_util::future::BoxFuture<'static, ()>>>>);

impl Drop for Successor {
    fn drop(&mut self) {
        let cache = Arc::clone(&self.0);
        let mut next: futures_util::future::BoxFuture<'static, ()> = Box::pin(async move {
            let never = |_| std::future::pending();
            cache.get(&"3,01".into(), 1000, &priority(Urgency::Head), never).await;
        });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(next.as_mut().poll(&mut context).is_pending());
        *self.1.lock().unwrap() = Some(next);
    }
}

#[tokio::test]
async fn a_fetch_that_is_given_up_does_not_take_the_next_one_off_the_list() {
    let (cache, next) = (alone(64 << 20), Arc::default());
    let successor = Successor(Arc::clone(&cache), Arc::clone(&next));
    let (head, fid) = (priority(Urgency::Head), Arc::from("3,01"));
    let mut first = Box::pin(cache.get(&fid, 1000, &head, |_| async move {
        let _successor = successor;
        std::future::pending().await
    }));
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    drop(first);
    assert_eq!(cache.flying(), 1, "whoever comes now waits with the one that began");
    *next.lock().unwrap() = None;
    assert_eq!((cache.flying(), cache.taken()), (0, 0));
}
