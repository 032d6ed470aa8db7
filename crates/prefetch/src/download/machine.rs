//! Many downloads over volume servers that are late, break, lie and vanish, with clients that read slowly or leave: whatever
//! happens, the bytes are right and in order or the download fails, memory stays within the budget, and nothing is left over.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use proptest::{collection::vec, prelude::*, sample::select};
use tokio::runtime::Builder;

use super::*;
use crate::{
    Engine, Piece, Settings, WindowSetting,
    testing::{Fault, Script},
};

/// One piece of a plan, before there are needles.
#[derive(Clone, Debug)]
enum Part {
    Zeros(u64),
    Inline(usize),
    /// Size, and which part of it in thousandths.
    Needle(usize, u64, u64),
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
    latency: Duration,
    faults: [Vec<Option<Fault>>; 2],
    clients: Vec<Client>,
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        1 => (1u64..200_000).prop_map(Part::Zeros),
        1 => (1usize..5_000).prop_map(Part::Inline),
        6 => (prop_oneof![1usize..300, 60_000usize..70_000, 1usize..900_000], 0u64..1000, 0u64..1000)
            .prop_map(|(size, a, b)| Part::Needle(size, a.min(b), a.max(b) + 1)),
        2 => (1usize..1_200_000).prop_map(|size| Part::Needle(size, 0, 1000)),
    ]
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

fn case() -> impl Strategy<Value = Case> {
    let window = prop_oneof![Just(WindowSetting::Auto), (1usize..6).prop_map(WindowSetting::Fixed)];
    let faults = [vec(fault(), 0..30), vec(fault(), 0..30)];
    (window, 4u64..40, 1usize..5, 0u64..30, faults, vec(client(), 1..5)).prop_map(
        |(window, blocks, per_server, latency, faults, clients)| Case {
            window,
            memory: blocks * BLOCK as u64,
            per_server,
            latency: Duration::from_millis(latency),
            faults,
            clients,
        },
    )
}

/// The plan of a client, and its bytes.
fn plan(script: &Script, client: usize, parts: &[Part]) -> (Plan, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut pieces = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        match *part {
            Part::Zeros(len) => {
                bytes.resize(bytes.len() + len as usize, 0);
                pieces.push(Piece::Zeros(len));
            }
            Part::Inline(len) => {
                bytes.resize(bytes.len() + len, 7);
                pieces.push(Piece::Inline(Bytes::from(vec![7; len])));
            }
            Part::Needle(size, from, to) => {
                let (mut read, plain) = script.needle((client * 100 + index) as u32, size);
                read.start = size as u64 * from / 1000;
                read.end = size as u64 * to / 1000;
                bytes.extend_from_slice(&plain[read.start as usize..read.end as usize]);
                pieces.push(Piece::Needle(read));
            }
        }
    }
    (Plan::from_iter(pieces), bytes)
}

/// Reads as the client does. A clean end must come after all the bytes and no sooner. Where a chunk cannot be held until its
/// checksum is known, wrong bytes of it may be out before, but then there is no clean end.
async fn read(engine: Engine, client: Client, plan: Plan, expected: Vec<u8>) {
    let is_held = |part: &Part| match part {
        Part::Needle(size, ..) => *size <= 1 << 20 && size.div_ceil(BLOCK) <= engine.shared.budget.blocks(),
        Part::Zeros(_) | Part::Inline(_) => true,
    };
    let all_are_held = client.parts.iter().all(is_held);
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
    let (engine, metrics) = script.engine(Settings { window, memory, per_server, ..Settings::default() });
    let watched = metrics.clone();
    let watch = tokio::spawn(async move {
        loop {
            assert!(watched.buffered.get() <= memory as i64, "{} bytes of {memory}", watched.buffered.get());
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    });
    let clients = case.clients.into_iter().enumerate().map(|(index, client)| {
        let (plan, expected) = plan(&script, index, &client.parts);
        tokio::spawn(read(engine.clone(), client, plan, expected))
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
