//! The whole engine in the orders in which threads can meet: downloads and their fetches, places, memory, the handover
//! between them, servers that fail, and clients that leave.
//!
//! Time is Tokio's, and stands still. Where nothing needs it, nobody lets it pass: whoever is not woken then waits for ever,
//! which shuttle reports. Where something does, a task of its own lets it pass, now and then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use shuttle::{
    Config, Runner,
    future::{self, block_on},
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler},
};
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::{
    NeedleRead, Piece, WindowSetting,
    budget::BLOCK,
    testing::{AsItIs, Fault, Script},
};

/// Runs of each test with each scheduler.
const RUNS: usize = 100;
/// Blocks of memory: floors for four downloads, and as much that is shared.
const MEMORY: usize = 16;

/// Where every needle has a sound replica, every client gets what it reads in order and to its end, whoever leaves takes its
/// fetches along, and places and memory come back; without a moment's wait.
#[test]
fn shuttle_the_engine_needs_no_time_where_one_replica_is_sound() {
    explore(|_, clients| {
        let faults = [Fault::Refuse, Fault::Status(404), Fault::Status(500), Fault::BreakAfter(70_000)];
        let script = clients.script();
        script.locations([vec!["a:1", "b:1"]]);
        script.fault("a:1", some_of(&faults));
        meet(&script, clients, true);
    });
}

/// Where servers are late, busy, silent or gone, a client gets right bytes or an error, and places and memory come back.
#[test]
fn shuttle_the_engine_gets_over_servers_that_take_time() {
    explore(|clock, clients| {
        let late = Fault::Late(Duration::from_millis(700));
        let trickle = Fault::Trickle(Duration::from_millis(30));
        let faults = [Fault::Refuse, Fault::Hang, Fault::StallAfter(70_000), Fault::Status(429), late, trickle];
        let script = clients.script();
        script.locations([vec!["a:1", "b:1"], vec!["b:1", "a:1"]]);
        script.latency(Duration::from_millis(2));
        for server in ["a:1", "b:1"] {
            script.fault(server, some_of(&faults));
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let passes = future::spawn(pass(Arc::clone(clock), Arc::clone(&is_over)));
        meet(&script, clients, false);
        is_over.store(true, Ordering::SeqCst);
        block_on(passes).unwrap();
    });
}

/// Runs `meeting` in many orders, with a clock that stands still.
fn explore(meeting: impl Fn(&Arc<Runtime>, &Arc<Clients>) + Copy + Send + Sync + 'static) {
    let clients = Arc::new(Clients::new());
    let clock = Arc::new(Builder::new_current_thread().enable_time().start_paused(true).build().unwrap());
    let _entered = clock.enter();
    let config = || {
        let mut config = Config::default();
        config.stack_size = 512 << 10;
        config
    };
    for is_random in [true, false] {
        let (clock, clients) = (Arc::clone(&clock), Arc::clone(&clients));
        let meeting = move || meeting(&clock, &clients);
        match is_random {
            true => Runner::new(RandomScheduler::new(RUNS), config()).run(meeting),
            false => Runner::new(PctScheduler::new(3, RUNS), config()).run(meeting),
        };
    }
}

fn some_of(faults: &[Fault]) -> Vec<Fault> {
    (0..thread_rng().gen_range(0..6)).map(|_| faults[thread_rng().gen_range(0..faults.len())].clone()).collect()
}

/// Lets time pass until it `is_over`.
async fn pass(clock: Arc<Runtime>, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::SeqCst) {
        clock.block_on(tokio::time::advance(Duration::from_millis([1, 20, 300][thread_rng().gen_range(0..3)])));
        future::yield_now().await;
    }
}

/// Clients at one engine, with little memory and few places.
fn meet(script: &Script, clients: &Arc<Clients>, is_sound: bool) {
    let settings = Settings {
        window: [WindowSetting::Auto, WindowSetting::Fixed(2)][thread_rng().gen_range(0..2)],
        memory: (MEMORY * BLOCK) as u64,
        per_server: thread_rng().gen_range(1..3),
        verify: Verify::Whole,
        ..Settings::default()
    };
    let cache = thread_rng().gen_bool(0.3).then(|| ChunkCache::new(1 << 20, Box::new(|_| {})));
    let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
    let engine = Engine::new(settings, Arc::new(script.clone()), cache, Arc::new(script.clone()), metrics.clone());
    let shared = engine.shared.budget.free();
    let clients: Vec<_> = (0..clients.wants.len())
        .map(|client| future::spawn(read(engine.clone(), Arc::clone(clients), client, is_sound)))
        .collect();
    block_on(async {
        for client in clients {
            client.await.unwrap();
        }
        // Fetches whose client has left end when it is their turn, and give their memory back last of all.
        let run = || Arc::strong_count(&engine.shared) + Arc::strong_count(&engine.shared.fetch) > 2;
        while run() || engine.shared.budget.free() < shared {
            future::yield_now().await;
        }
    });
    assert_eq!((metrics.buffered.get(), metrics.in_flight.get(), engine.shared.budget.free()), (0, 0, shared));
    assert_eq!(script.0.lock().unwrap().open, 0);
    for server in ["a:1", "b:1"] {
        assert_eq!(engine.shared.fetch.servers.get(&server.into()).load(), 0);
    }
}

/// What clients want, and the needles that it is in.
struct Clients {
    stored: Script,
    wants: Vec<Vec<(Piece, Vec<u8>)>>,
}

impl Clients {
    /// Three that want chunks that are held, streamed, cut out, opened and inflated, with a hole between them; some of them the
    /// same ones.
    fn new() -> Self {
        let stored = Script::default();
        let needle = |(read, bytes): (NeedleRead, Vec<u8>)| (Piece::Needle(read), bytes);
        let (part, bytes) = stored.needle(1, 200_000);
        let part = (Piece::Needle(NeedleRead { start: 40_000, end: 180_000, ..part }), bytes[40_000..180_000].to_vec());
        let (sealed, bytes) = stored.needle(2, 90_000);
        let sealed = (Piece::Needle(NeedleRead { opener: Some(Arc::new(AsItIs)), ..sealed }), bytes);
        let pieces = [
            needle(stored.needle(3, 150_000)),
            part,
            (Piece::Zeros(70_000), vec![0; 70_000]),
            sealed,
            needle(stored.text(4, 100_000)),
            // More than can be held.
            needle(stored.needle(5, 600_000)),
        ];
        let wants =
            [[0, 2, 1, 4], [5, 0, 3, 2], [4, 1, 5, 0]].map(|wants| wants.map(|at: usize| pieces[at].clone()).into());
        Self { stored, wants: wants.into() }
    }

    /// Volume servers that have the needles.
    fn script(&self) -> Script {
        let stored = self.stored.0.lock().unwrap();
        let script = Script::default();
        {
            let mut world = script.0.lock().unwrap();
            (world.needles, world.texts) = (stored.needles.clone(), stored.texts.clone());
        }
        script
    }
}

async fn read(engine: Engine, clients: Arc<Clients>, client: usize, is_sound: bool) {
    let (pieces, bytes): (Vec<_>, Vec<_>) = clients.wants[client].iter().cloned().unzip();
    let expected = bytes.concat();
    let leaves_after = if thread_rng().gen_bool(0.3) { thread_rng().gen_range(0..8) } else { usize::MAX };
    let mut download = match engine.download(Plan::from_iter(pieces)).await {
        Ok(download) => download,
        Err(error) => {
            assert!(!is_sound, "{error}");
            return;
        }
    };
    let mut got = 0;
    for _ in 0..leaves_after {
        match download.next().await {
            Some(Ok(bytes)) => {
                assert!(bytes == expected[got..got + bytes.len()]);
                got += bytes.len();
                assert!(engine.shared.metrics.buffered.get() <= (MEMORY * BLOCK) as i64);
            }
            Some(Err(error)) => {
                assert!(!is_sound, "{error}");
                return;
            }
            None => {
                assert_eq!(got, expected.len());
                return;
            }
        }
    }
}
