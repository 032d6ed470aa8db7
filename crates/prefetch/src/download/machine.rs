//! Many downloads over volume servers that are late, break, lie and vanish, with clients that read slowly or leave: whatever
//! happens, the bytes are right and in order or the download fails, memory stays within the budget, and nothing is left over.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use proptest::{collection::vec, prelude::*, sample::select};
use tokio::runtime::Builder;

use super::*;
use crate::{
    ChunkCache, Engine, Piece, Settings, Verify, WindowSetting,
    testing::{AsItIs, Fault, Script},
};

/// One piece of a plan, before there are needles.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Zeros(u64),
    Inline(usize),
    /// Which one, if there were so many, and which part of it in thousandths.
    Needle(usize, u64, u64),
}

/// How a needle is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Plain,
    /// As gzip.
    Text,
    /// Read in full, and opened first.
    Sealed,
}

/// One client.
#[derive(Clone, Debug)]
struct Client {
    parts: Vec<Part>,
    /// Between two reads.
    pause: Duration,
    /// Leaves after so many reads.
    patience: usize,
}

#[derive(Clone, Debug)]
struct Case {
    window: WindowSetting,
    memory: u64,
    per_server: usize,
    verify: Verify,
    /// Whether there is memory for hot chunks.
    keeps: bool,
    latency: Duration,
    faults: [Vec<Option<Fault>>; 2],
    /// All that there are, for all clients.
    needles: Vec<(Kind, usize)>,
    clients: Vec<Client>,
}

pub(super) fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        1 => (1u64..200_000).prop_map(Part::Zeros),
        1 => (1usize..5_000).prop_map(Part::Inline),
        6 => (any::<usize>(), 0u64..1000, 0u64..1000)
            .prop_map(|(which, a, b)| Part::Needle(which, a.min(b), a.max(b) + 1)),
        2 => any::<usize>().prop_map(|which| Part::Needle(which, 0, 1000)),
    ]
}

pub(super) fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![6 => Just(Kind::Plain), 1 => Just(Kind::Text), 1 => Just(Kind::Sealed)]
}

fn needle() -> impl Strategy<Value = (Kind, usize)> {
    (kind(), prop_oneof![1usize..300, 60_000usize..70_000, 1usize..900_000, 1usize..1_200_000])
}

fn client() -> impl Strategy<Value = Client> {
    let patience = prop_oneof![3 => Just(usize::MAX), 1 => 0usize..20];
    (vec(part(), 1..8), select(vec![0u64, 0, 1, 40, 700]), patience).prop_map(|(parts, pause, patience)| Client {
        parts,
        pause: Duration::from_millis(pause),
        patience,
    })
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(Fault::Refuse)),
        1 => Just(Some(Fault::Hang)),
        1 => select(vec![404u16, 500, 503, 429, 401]).prop_map(|status| Some(Fault::Status(status))),
        1 => (0usize..300_000).prop_map(|at| Some(Fault::BreakAfter(at))),
        1 => (0usize..300_000).prop_map(|at| Some(Fault::EndAfter(at))),
        1 => (0usize..300_000).prop_map(|at| Some(Fault::StallAfter(at))),
        1 => (0usize..300_000).prop_map(|at| Some(Fault::FlipWhole(at))),
        1 => (1u64..40_000).prop_map(|late| Some(Fault::Late(Duration::from_millis(late)))),
        1 => Just(Some(Fault::OtherNeedle)),
    ]
}

pub(super) fn window() -> impl Strategy<Value = WindowSetting> {
    prop_oneof![Just(WindowSetting::Auto), (1usize..6).prop_map(WindowSetting::Fixed)]
}

pub(super) fn verify() -> impl Strategy<Value = Verify> {
    prop_oneof![3 => Just(Verify::Whole), 1 => Just(Verify::Always)]
}

fn case() -> impl Strategy<Value = Case> {
    let faults = [vec(fault(), 0..30), vec(fault(), 0..30)];
    let settings = (window(), 4u64..40, 1usize..5, verify(), any::<bool>());
    (settings, 0u64..30, faults, vec(needle(), 1..12), vec(client(), 1..5)).prop_map(
        |((window, blocks, per_server, verify, keeps), latency, faults, needles, clients)| Case {
            window,
            memory: blocks * BLOCK as u64,
            per_server,
            verify,
            keeps,
            latency: Duration::from_millis(latency),
            faults,
            needles,
            clients,
        },
    )
}

/// A needle, and its bytes.
pub(super) type Needle = (NeedleRead, Vec<u8>);

pub(super) fn stored(script: &Script, needles: &[(Kind, usize)]) -> Vec<Needle> {
    let needle = |(key, &(kind, size)): (usize, &(Kind, usize))| match kind {
        Kind::Plain => script.needle(key as u32, size),
        Kind::Text => script.text(key as u32, size),
        Kind::Sealed => {
            let (read, bytes) = script.needle(key as u32, size);
            (NeedleRead { opener: Some(Arc::new(AsItIs)), ..read }, bytes)
        }
    };
    needles.iter().enumerate().map(needle).collect()
}

/// The plan of a client, and its bytes.
pub(super) fn plan(needles: &[Needle], parts: &[Part]) -> (Plan, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut pieces = Vec::new();
    for part in parts {
        match *part {
            Part::Zeros(len) => {
                bytes.resize(bytes.len() + len as usize, 0);
                pieces.push(Piece::Zeros(len));
            }
            Part::Inline(len) => {
                bytes.resize(bytes.len() + len, 7);
                pieces.push(Piece::Inline(Bytes::from(vec![7; len])));
            }
            Part::Needle(which, from, to) => {
                let (read, plain) = &needles[which % needles.len()];
                let (start, end) = (read.size * from / 1000, read.size * to / 1000);
                bytes.extend_from_slice(&plain[start as usize..end as usize]);
                pieces.push(Piece::Needle(NeedleRead { start, end, ..read.clone() }));
            }
        }
    }
    (Plan::from_iter(pieces), bytes)
}

/// Reads as the client does. A clean end must come after all the bytes and no sooner. Where a chunk cannot be held until its
/// checksum is known, wrong bytes of it may be out before, but then there is no clean end.
async fn read(engine: Engine, client: Client, all_are_held: bool, plan: Plan, expected: Vec<u8>) {
    let Ok(mut download) = engine.download(plan).await else { return };
    let (mut at, mut wrong) = (0, None);
    for _ in 0..client.patience {
        match download.next().await {
            Some(Ok(bytes)) => {
                if !expected[at..].starts_with(&bytes) {
                    assert!(!all_are_held, "wrong bytes after {at}");
                    wrong = Some(at);
                }
                at += bytes.len();
                tokio::time::sleep(client.pause).await;
            }
            Some(Err(_)) => return,
            None => return assert_eq!((at, wrong), (expected.len(), None), "a clean end"),
        }
    }
}

async fn run(case: Case) {
    let script = Script::default();
    script.locations([vec!["a:1", "b:1"]]);
    script.latency(case.latency);
    for (server, faults) in ["a:1", "b:1"].into_iter().zip(case.faults) {
        script.fault(server, faults.into_iter().map(|fault| fault.unwrap_or(Fault::Late(Duration::ZERO))));
    }
    let (window, memory, per_server) = (case.window, case.memory, case.per_server);
    let settings = Settings { window, memory, per_server, verify: case.verify, ..Settings::default() };
    let (engine, metrics) = match case.keeps {
        true => script.engine_with(settings, ChunkCache::new(2 << 20, Box::new(|_| ()))),
        false => script.engine(settings),
    };
    let needles = stored(&script, &case.needles);
    let is_held = |(kind, size): &(Kind, usize)| {
        *kind != Kind::Plain || *size <= 1 << 20 && size.div_ceil(BLOCK) <= engine.shared.budget.blocks()
    };
    let all_are_held = case.needles.iter().all(is_held);
    let watched = metrics.clone();
    let watch = tokio::spawn(async move {
        loop {
            assert!(watched.buffered.get() <= memory as i64, "{} bytes of {memory}", watched.buffered.get());
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    });
    let clients = case.clients.into_iter().map(|client| {
        let (plan, expected) = plan(&needles, &client.parts);
        tokio::spawn(read(engine.clone(), client, all_are_held, plan, expected))
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(!watch.is_finished(), "the budget was exceeded");
    watch.abort();
    assert_eq!((metrics.in_flight.get(), metrics.buffered.get()), (0, 0));
    let world = script.0.lock().unwrap();
    assert_eq!(world.open, 0, "a request was left open");
    // As many again may stand between two spans.
    assert!(world.most_open <= 2 * 2 * per_server);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_bytes_are_right_or_the_download_fails(case in case()) {
        Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(run(case));
    }
}
