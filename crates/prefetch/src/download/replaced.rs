//! Downloads of needles that somebody writes anew under their ids, at any moment, over servers that fail, with memory for hot
//! chunks in which they come and go: of each needle all that a download gives is of one version, whatever happens.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use proptest::{collection::vec, prelude::*, sample::select};
use tokio::{runtime::Builder, time::sleep};

use super::*;
use crate::{
    ChunkCache, Piece, Settings, Verify, WindowSetting,
    testing::{Fault, Script},
};

/// Sizes of the needles.
const SIZES: [usize; 4] = [70_000, 300_000, 1_500_000, 400_000];
/// Which of them is stored as gzip.
const TEXT: usize = 3;

/// One piece of the plan.
#[derive(Clone, Debug)]
enum Part {
    /// Bytes that are here.
    Inline,
    /// Which needle, and which part of it in thousandths.
    Needle(usize, usize, usize),
}

/// What happens meanwhile.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Another needle is written under the id.
    Replaced(usize),
    /// It is in memory as it is now.
    Kept(usize),
    /// Nothing is in memory any more.
    Forgotten,
}

#[derive(Clone, Debug)]
struct Case {
    settings: Settings,
    parts: Vec<Part>,
    events: Vec<(Duration, Event)>,
    faults: [Vec<Fault>; 2],
    /// Between two reads of the client.
    pause: Duration,
}

fn part() -> impl Strategy<Value = Part> {
    let needle = 0..SIZES.len();
    prop_oneof![
        1 => Just(Part::Inline),
        6 => (needle.clone(), 0usize..1000, 0usize..1000)
            .prop_map(|(needle, a, b)| Part::Needle(needle, a.min(b), a.max(b) + 1)),
        2 => needle.prop_map(|needle| Part::Needle(needle, 0, 1000)),
    ]
}

fn event() -> impl Strategy<Value = (Duration, Event)> {
    let needle = 0..SIZES.len();
    let event = prop_oneof![
        3 => needle.clone().prop_map(Event::Replaced),
        2 => needle.prop_map(Event::Kept),
        2 => Just(Event::Forgotten),
    ];
    ((0u64..30).prop_map(Duration::from_millis), event)
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        5 => Just(Fault::Late(Duration::ZERO)),
        1 => Just(Fault::Refuse),
        1 => select(vec![404u16, 500, 429]).prop_map(Fault::Status),
        2 => (0usize..300_000).prop_map(Fault::BreakAfter),
        1 => (0usize..300_000).prop_map(Fault::EndAfter),
        1 => (0usize..300_000).prop_map(Fault::StallAfter),
        2 => (1u64..40).prop_map(|late| Fault::Late(Duration::from_millis(late))),
        1 => (1u64..4).prop_map(|pause| Fault::Trickle(Duration::from_millis(pause))),
        2 => Just(Fault::Inflated),
        1 => (0usize..300_000).prop_map(Fault::InflatedBreakAfter),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let window = prop_oneof![Just(WindowSetting::Auto), (1usize..4).prop_map(WindowSetting::Fixed)];
    let verify = select(vec![Verify::Off, Verify::Whole, Verify::Always]);
    (window, select(vec![8u64, 20, 64, 400]), verify).prop_map(|(window, blocks, verify)| Settings {
        window,
        memory: blocks * BLOCK as u64,
        verify,
        ..Settings::default()
    })
}

fn case() -> impl Strategy<Value = Case> {
    let faults = [vec(fault(), 0..12), vec(fault(), 0..12)];
    (settings(), parts(), vec(event(), 0..12), faults, 0u64..12).prop_map(|(settings, parts, events, faults, pause)| {
        Case { settings, parts, events, faults, pause: Duration::from_millis(pause) }
    })
}

/// No file has more of a chunk that it has in full. An answer may, if it has several parts.
fn parts() -> impl Strategy<Value = Vec<Part>> {
    vec(part(), 1..7).prop_map(|mut parts| {
        let times = |of| parts.iter().filter(|part| matches!(part, Part::Needle(needle, ..) if *needle == of)).count();
        if parts.iter().any(|part| matches!(*part, Part::Needle(needle, 0, 1000) if times(needle) > 1)) {
            parts.insert(0, Part::Inline);
        }
        parts
    })
}

/// The needles, and what has become of them.
struct Needles {
    script: Script,
    reads: Vec<NeedleRead>,
    /// What is written in the first version; in the next all bits of each byte are turned that the version has.
    first: Vec<Vec<u8>>,
}

impl Needles {
    fn new() -> Self {
        let script = Script::default();
        let needle = |(key, &size): (usize, &usize)| match key {
            TEXT => script.text(key as u32, size),
            _ => script.needle(key as u32, size),
        };
        let (reads, first) = SIZES.iter().enumerate().map(needle).unzip();
        Self { script, reads, first }
    }

    /// The next version of a needle.
    fn replace(&self, needle: usize, version: u8) {
        let written: Bytes =
            self.first[needle].iter().enumerate().map(|(at, byte)| byte ^ at as u8 ^ version).collect();
        self.script.store(&self.reads[needle].fid, &written, needle == TEXT);
    }

    /// The plan, and which byte of which needle each of its bytes is.
    fn plan(&self, parts: &[Part]) -> (Plan, Vec<Option<(usize, usize)>>) {
        let (mut pieces, mut origins) = (Vec::new(), Vec::new());
        for part in parts {
            match *part {
                Part::Inline => {
                    pieces.push(Piece::Inline(Bytes::from_static(b"--")));
                    origins.extend([None; 2]);
                }
                Part::Needle(needle, from, to) => {
                    let (start, end) = (SIZES[needle] * from / 1000, SIZES[needle] * to / 1000);
                    let read = self.reads[needle].clone();
                    pieces.push(Piece::Needle(NeedleRead { start: start as u64, end: end as u64, ..read }));
                    origins.extend((start..end).map(|at| Some((needle, at))));
                }
            }
        }
        (Plan::from_iter(pieces), origins)
    }
}

async fn run(case: Case) {
    let needles = Needles::new();
    let script = &needles.script;
    script.locations([vec!["a:1", "b:1"]]);
    script.latency(Duration::from_millis(5));
    for (server, faults) in ["a:1", "b:1"].into_iter().zip(case.faults) {
        script.fault(server, faults);
    }
    let (engine, metrics) = script.engine_with(case.settings, ChunkCache::new(8 << 20, Box::new(|_| ())));
    let (plan, origins) = needles.plan(&case.parts);
    let cache = engine.shared.fetch.cache.as_ref().unwrap();
    let happens = async {
        let mut versions = [0; SIZES.len()];
        for (after, event) in case.events {
            sleep(after).await;
            match event {
                Event::Replaced(needle) => {
                    versions[needle] += 1;
                    needles.replace(needle, versions[needle]);
                }
                Event::Kept(TEXT) => {}
                Event::Kept(needle) => {
                    let fid = &needles.reads[needle].fid;
                    cache.keep(fid, script.0.lock().unwrap().needles[&**fid].clone());
                }
                Event::Forgotten => cache.forget(),
            }
        }
    };
    let reads = async {
        let Ok(mut download) = engine.download(plan).await else { return };
        let (mut at, mut read) = (0, HashMap::new());
        while let Some(Ok(bytes)) = download.next().await {
            for byte in bytes {
                if let Some((needle, position)) = origins[at] {
                    let version = byte ^ needles.first[needle][position];
                    let of = *read.entry(needle).or_insert(version);
                    assert_eq!(version, of, "byte {at}, of needle {needle}");
                }
                at += 1;
            }
            sleep(case.pause).await;
        }
    };
    futures_util::join!(happens, reads);
    sleep(Duration::from_millis(10)).await;
    assert_eq!((metrics.in_flight.get(), metrics.buffered.get()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn all_that_a_download_gives_of_a_needle_is_of_one_version(case in case()) {
        Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(run(case));
    }
}
