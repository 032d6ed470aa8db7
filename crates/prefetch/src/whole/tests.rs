//! Needles that must be opened before a byte of them is known.

use std::{ops::Range, time::Duration};

use super::*;
use crate::{
    Opener, Piece, Plan, Settings, WindowSetting,
    testing::{Fault, Script, collect},
};

struct Reversed;

impl Opener for Reversed {
    fn open(&self, mut stored: Vec<u8>) -> Result<Vec<u8>, String> {
        if stored.pop() != Some(b'!') {
            return Err("not sealed".to_owned());
        }
        stored.reverse();
        Ok(stored)
    }
}

/// A needle that must be opened, and what it gives.
fn sealed(script: &Script, key: u32, size: usize) -> (NeedleRead, Vec<u8>) {
    let (mut read, bytes) = script.needle(key, size);
    let mut stored = script.0.lock().unwrap().needles[&*read.fid].to_vec();
    stored.reverse();
    stored.push(b'!');
    script.0.lock().unwrap().needles.insert(read.fid.to_string(), stored.into());
    read.opener = Some(Arc::new(Reversed));
    (read, bytes)
}

fn part(of: &NeedleRead, range: Range<u64>) -> Piece {
    Piece::Needle(NeedleRead { start: range.start, end: range.end, ..of.clone() })
}

#[tokio::test(start_paused = true)]
async fn a_sealed_needle_is_fetched_once_for_all_that_is_cut_out_of_it() {
    let script = Script::default();
    let ((one, a), (two, b)) = (sealed(&script, 1, 200_000), sealed(&script, 2, 200_000));
    let text = Bytes::from_static(b"between");
    let pieces = [
        Piece::Inline(text.clone()),
        part(&one, 150_000..150_010),
        Piece::Inline(text.clone()),
        part(&one, 7..20_000),
        part(&one, 8..9),
        Piece::Inline(text.clone()),
        part(&two, 0..1),
        Piece::Inline(text.clone()),
        Piece::Inline(text.clone()),
        part(&two, 1..2),
    ];
    let expected: [&[u8]; 10] =
        [&text, &a[150_000..150_010], &text, &a[7..20_000], &a[8..9], &text, &b[..1], &text, &text, &b[1..2]];
    for window in [WindowSetting::Auto, WindowSetting::Fixed(1)] {
        let (engine, metrics) = script.engine(Settings { window, ..Settings::default() });
        let plan = Plan::from_iter(pieces.clone());
        assert_eq!(plan.len(), expected.concat().len() as u64);
        assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), expected.concat());
        assert_eq!((metrics.in_flight.get(), metrics.buffered.get()), (0, 0));
        let requests = std::mem::take(&mut script.0.lock().unwrap().requests);
        // Two texts in a row are none of ours: the plan has one between two parts.
        assert_eq!(requests, ["a:1 3,0100000001 whole", "a:1 3,0200000001 whole", "a:1 3,0200000001 whole"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_out_of_one_opening_fits_its_memory() {
    let script = Script::default();
    let (read, bytes) = sealed(&script, 1, 1 << 20);
    let pieces = (0..9).map(|_| part(&read, 0..1 << 20));
    let settings = Settings { memory: 5 << 20, ..Settings::default() };
    let (engine, metrics) = script.engine(settings);
    assert_eq!(collect(engine.download(pieces.collect()).await.unwrap()).await.unwrap(), bytes.repeat(9));
    assert_eq!(script.requests().len(), 5, "two of them fit one opening");
    assert_eq!(metrics.buffered.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn sealed_needles_of_two_files_are_opened_apart() {
    let script = Script::default();
    let (one, bytes) = sealed(&script, 1, 1000);
    let two = NeedleRead { opener: Some(Arc::new(Reversed)), ..one.clone() };
    let (engine, _) = script.engine(Settings::default());
    let plan = Plan::from_iter([part(&one, 0..10), part(&two, 10..20)]);
    assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), bytes[..20]);
    assert_eq!(script.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn sealed_needles_are_opened_whole_and_then_cut_and_decoded() {
    let script = Script::default();
    let (mut read, bytes) = sealed(&script, 1, 200_000);
    (read.start, read.end) = (99, 150_000);
    let (engine, metrics) = script.engine(Settings::default());
    let plan = Plan::from_iter([Piece::Needle(read.clone()), Piece::Needle(read.clone())]);
    let got = collect(engine.download(plan).await.unwrap()).await.unwrap();
    assert_eq!(got, [&bytes[99..150_000], &bytes[99..150_000]].concat());
    assert_eq!(metrics.buffered.get(), 0);
    script.needle(1, 200_000);
    let error = engine.download(Plan::from_iter([Piece::Needle(read.clone())])).await.err().unwrap();
    assert!(matches!(error, FetchError::Open { .. }), "{error}");
    let whole = engine.read_needle(read.clone(), 200_000).await.unwrap();
    assert_eq!(whole.len(), 200_000);
    assert!(matches!(engine.read_needle(read, 199_999).await, Err(FetchError::TooLarge { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_needle_does_not_wait_for_the_place_that_it_has() {
    let script = Script::default();
    script.locations([vec!["a:1", "b:1"]]);
    let (read, _) = sealed(&script, 1, 1000);
    script.fault("a:1", [Fault::Flip(3)]);
    let (engine, metrics) = script.engine(Settings { per_server: 1, ..Settings::default() });
    // Whichever is asked first, each has its turn.
    for _ in 0..20 {
        let read = engine.read_needle(read.clone(), 2000);
        let stored = tokio::time::timeout(Duration::from_secs(60), read).await.expect("it ends").unwrap();
        assert_eq!(stored, script.0.lock().unwrap().needles["3,0100000001"]);
    }
    assert_eq!(metrics.crc_failures.get(), 1);
}
