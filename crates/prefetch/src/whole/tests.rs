//! Needles that must be opened before a byte of them is known.

use std::{io, ops::Range, pin::Pin, time::Duration};

use futures_util::StreamExt as _;
use http::{Request, header};
use prometheus::Registry;
use tokio::time::Instant;

use super::*;
use crate::{
    Answer, Cause, Engine, Metrics, Opener, Piece, Plan, Settings, SharedError, Upstream, Verify, WindowSetting,
    servers::Attempt,
    testing::{Fault, Script, collect},
};

struct Reversed;

impl Opener for Reversed {
    fn open(&self, stored: &mut [u8]) -> Result<Range<usize>, SharedError> {
        let [sealed @ .., b'!'] = stored else { return Err(Arc::new(io::Error::other("not sealed"))) };
        sealed.reverse();
        Ok(0..sealed.len())
    }
}

/// The bytes that a chunk opens to, and those that it was to have.
fn lengths(error: &FetchError) -> Option<(u64, u64)> {
    match error {
        FetchError::Open { reason: ContentError::Length { found, expected }, .. } => Some((*found, *expected)),
        _ => None,
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
    let two = NeedleRead { chunk: 2, opener: Some(Arc::new(Reversed)), ..one.clone() };
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
async fn a_sealed_needle_that_is_longer_than_its_chunk_gives_the_bytes_of_the_chunk() {
    for (stored, size) in [(1000, 600), (3 << 20, 600), (200_000, 199_999)] {
        for with_transform in [false, true] {
            let script = Script::default();
            let (mut read, bytes) = sealed(&script, 1, stored);
            (read.size, read.end) = (size, size);
            let mut expected = bytes[..size as usize].to_vec();
            if !with_transform {
                read.transform = None;
                expected.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= at as u8);
            }
            let (engine, metrics) = script.engine(Settings::default());
            let plan = Plan::from_iter([Piece::Needle(read.clone()), part(&read, 7..9)]);
            let got = collect(engine.download(plan).await.unwrap()).await.unwrap();
            assert!(got == [&expected, &expected[7..9]].concat(), "{size} of {stored} bytes");
            assert_eq!((metrics.in_flight.get(), metrics.buffered.get()), (0, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sealed_needle_that_is_shorter_than_its_chunk_is_refused() {
    let script = Script::default();
    let (mut read, _) = sealed(&script, 1, 1000);
    read.size = 1002;
    let (engine, _) = script.engine(Settings::default());
    let error = engine.download(Plan::from_iter([part(&read, 0..10)])).await.err().unwrap();
    assert_eq!(lengths(&error), Some((1000, 1002)), "{error}");
    // The size of what is stored, of which the bytes are there all the same.
    read.size = 1001;
    let got = engine.download(Plan::from_iter([part(&read, 990..1000)])).await.unwrap();
    assert_eq!(collect(got).await.unwrap().len(), 10);
    let error = engine.download(Plan::from_iter([part(&read, 990..1001)])).await.err().unwrap();
    assert_eq!(lengths(&error), Some((1000, 1001)), "{error}");
}

#[test]
fn a_sealed_chunk_that_just_fits_the_memory_needs_not_be_asked_for_its_length() {
    let stored = 9 * BLOCK as u64;
    let opener: Option<Arc<dyn Opener>> = Some(Arc::new(Reversed));
    let read = NeedleRead { opener, ..NeedleRead::of(3, "3,01".to_owned(), stored - SEAL) };
    assert_eq!(blocks_to_begin(&read, 9), 9, "what is not worked out in pieces takes no memory for any");
    assert_eq!(blocks_to_begin(&read, 8), 1);
    let text = NeedleRead { compressed: true, ..read };
    assert_eq!(blocks_to_begin(&text, 18), 18);
}

/// Volume servers on which every needle is twice as long each time it is asked for.
struct Growing(Script);

impl Upstream for Growing {
    fn send(&self, request: Request<()>) -> Answer<'_> {
        for needle in self.0.0.lock().unwrap().needles.values_mut() {
            *needle = needle.repeat(2).into();
        }
        self.0.send(request)
    }
}

/// Of the only server, whose answers begin late enough and break off so often: whether it is read, and how often it was asked for.
async fn broken_off(times: usize) -> (bool, usize) {
    let script = Script::default();
    script.latency(Duration::from_secs(4));
    let (read, bytes) = sealed(&script, 1, 200_000);
    script.fault("a:1", vec![Fault::BreakAfter(150_000); times]);
    let (engine, _) = script.engine(Settings::default());
    let read = match engine.download(Plan::from_iter([Piece::Needle(read)])).await {
        Ok(download) => collect(download).await.is_ok_and(|read| read == bytes),
        Err(_) => false,
    };
    (read, script.requests().len())
}

/// Ten seconds after the first time it was given up, though each body took four.
#[tokio::test(start_paused = true)]
async fn a_sealed_needle_that_breaks_off_slowly_is_begun_anew_and_not_for_ever() {
    assert_eq!(broken_off(6).await, (true, 7));
    let (read, asked) = broken_off(1000).await;
    assert!(!read && (8..16).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_needle_that_is_longer_than_it_was_said_to_be_is_not_asked_for_again_and_again() {
    let script = Script::default();
    let (mut read, _) = sealed(&script, 1, 100_000);
    (read.size, read.end) = (600, 600);
    let (upstream, metrics) = (Arc::new(Growing(script.clone())), Metrics::register(&Registry::new()).unwrap());
    let engine = Engine::new(Settings::default(), upstream, None, Arc::new(script.clone()), metrics);
    let error = engine.download(Plan::from_iter([Piece::Needle(read)])).await.err().unwrap();
    assert!(matches!(error, FetchError::Open { reason: ContentError::Unmeasured, .. }), "{error}");
    assert_eq!(script.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_needle_that_is_longer_than_all_memory_is_refused_for_that() {
    let script = Script::default();
    let (mut read, _) = sealed(&script, 1, 5 << 20);
    (read.size, read.end) = (600, 600);
    let wanted = read.clone();
    let (engine, metrics) = script.engine(Settings { memory: 8 << 20, ..Settings::default() });
    let error = engine.download(Plan::from_iter([Piece::Needle(read)])).await.err().unwrap();
    let FetchError::MemoryTooSmall { memory, .. } = error else { panic!("{error}") };
    assert_eq!(metrics.buffered.get(), 0);
    let (engine, _) = script.engine(Settings { memory, ..Settings::default() });
    assert_eq!(
        collect(engine.download(Plan::from_iter([Piece::Needle(wanted)])).await.unwrap()).await.unwrap().len(),
        600
    );
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_says_to_be_larger_than_all_memory_and_is_not_is_no_matter_of_memory() {
    let script = Script::default();
    let (mut read, _) = sealed(&script, 1, 1000);
    (read.size, read.end) = (1 << 40, 1 << 40);
    let (engine, metrics) = script.engine(Settings { memory: 8 << 20, ..Settings::default() });
    let error = engine.download(Plan::from_iter([part(&read, 0..10)])).await.err().unwrap();
    assert_eq!(lengths(&error), Some((1000, 1 << 40)), "{error}");
    assert_eq!(metrics.buffered.get(), 0);
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

/// What each request of the script asked for, without the server.
fn asked(script: &Script) -> Vec<String> {
    let requests = std::mem::take(&mut script.0.lock().unwrap().requests);
    requests.iter().map(|request| request.split_once(' ').unwrap().1.to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_text_is_fetched_once_and_not_inflated_anew_for_each_of_its_spans() {
    for window in [WindowSetting::Auto, WindowSetting::Fixed(1), WindowSetting::Fixed(8)] {
        let script = Script::default();
        let ((one, a), (two, b)) = (script.text(1, 10_000_000), script.text(2, 70_000));
        let (engine, metrics) = script.engine(Settings { window, ..Settings::default() });
        let plan = Plan::from_iter([&one, &two].map(|read| Piece::Needle(read.clone())));
        assert!(collect(engine.download(plan).await.unwrap()).await.unwrap() == [&a[..], &b].concat());
        assert_eq!(asked(&script), ["3,0100000001 gzip", "3,0200000001 gzip"]);

        let ranges = [9_000_000..9_000_010, 5..6_000_000, 7..8];
        let pieces = ranges.clone().map(|range| part(&one, range));
        let plan = Plan::from_iter(pieces.into_iter().flat_map(|piece| [Piece::Inline("-".into()), piece]));
        let expected = ranges.map(|range| [b"-", &a[range.start as usize..range.end as usize]].concat()).concat();
        assert!(collect(engine.download(plan).await.unwrap()).await.unwrap() == expected);
        assert_eq!(asked(&script), ["3,0100000001 gzip"]);
        assert_eq!((metrics.in_flight.get(), metrics.buffered.get()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn texts_are_fetched_once_when_memory_is_short() {
    let script = Script::default();
    script.latency(Duration::from_millis(2));
    let (engine, metrics) = script.engine(Settings { memory: 10 << 20, ..Settings::default() });
    let downloads: Vec<_> = (0..8u32)
        .map(|file| {
            let (pieces, bytes): (Vec<_>, Vec<_>) = (1..=4)
                .map(|chunk| script.text(8 * chunk + file, 1 << 20))
                .map(|(read, bytes)| (Piece::Needle(read), bytes))
                .unzip();
            let engine = engine.clone();
            tokio::spawn(async move {
                let got = collect(engine.download(pieces.into_iter().collect()).await.unwrap()).await.unwrap();
                assert!(got == bytes.concat());
            })
        })
        .collect();
    for download in downloads {
        download.await.unwrap();
    }
    assert_eq!(asked(&script).len(), 32);
    assert_eq!((metrics.in_flight.get(), metrics.buffered.get()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_text_that_is_larger_than_all_memory_is_served_all_the_same() {
    let script = Script::default();
    let (engine, metrics) = script.engine(Settings { memory: 16 << 20, ..Settings::default() });
    let (read, bytes) = script.text(1, 20 << 20);
    let got = collect(engine.download(Plan::from_iter([Piece::Needle(read)])).await.unwrap()).await.unwrap();
    assert!(got == bytes);
    assert_eq!(asked(&script), ["3,0100000001 head", "3,0100000001 gzip"]);
    assert_eq!(metrics.buffered.get(), 0);

    // One whose gzip does not fit either: the server inflates it, part by part, each in the memory of one.
    let (read, bytes) = script.text(2, 3 << 20);
    script.0.lock().unwrap().needles.insert(read.fid.to_string(), vec![7; 5 << 20].into());
    let mut download = engine.download(Plan::from_iter([Piece::Needle(read)])).await.unwrap();
    let (mut got, budget) = (Vec::new(), &engine.shared.budget);
    while let Some(part) = download.next().await {
        let part = part.unwrap();
        assert_eq!(budget.blocks() - budget.free(), blocks(part.len() as u64));
        got.extend_from_slice(&part);
    }
    drop(download);
    assert!(got == bytes);
    let requests = asked(&script);
    assert_eq!((requests.len(), &*requests[0]), (4, "3,0200000001 head"));
    assert!(requests[1..].iter().all(|request| request.contains("bytes=")), "{requests:?}");
    assert_eq!((metrics.in_flight.get(), metrics.buffered.get()), (0, 0));
}

/// The parts were read as if each were a file of its own.
#[tokio::test(start_paused = true)]
async fn a_text_that_is_replaced_between_two_of_its_parts_is_not_mixed() {
    let nothing = Fault::Late(Duration::ZERO);
    // The length is asked for first. What breaks before anything is out may begin anew with what is there now.
    for (faults, is_read) in [
        (vec![nothing.clone(), nothing.clone(), Fault::OtherNeedle], false),
        (vec![nothing.clone(), Fault::BreakAfter(1000), Fault::OtherNeedle], true),
    ] {
        let script = Script::default();
        let (read, bytes) = script.text(2, 3 << 20);
        script.0.lock().unwrap().needles.insert(read.fid.to_string(), vec![7; 5 << 20].into());
        script.fault("a:1", faults.into_iter().chain(vec![Fault::OtherNeedle; 100]));
        let (engine, _) = script.engine(Settings { memory: 16 << 20, ..Settings::default() });
        let got = collect(engine.download(Plan::from_iter([Piece::Needle(read)])).await.unwrap()).await;
        match got {
            Ok(got) => assert!(is_read && got == bytes),
            Err((given, error)) => {
                assert!(!is_read && given < bytes.len(), "{given}");
                assert!(matches!(error, FetchError::Exhausted { cause: Cause::Changed, .. }), "{error}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_whose_gzip_takes_a_quarter_of_the_memory_is_fetched_as_gzip() {
    let script = Script::default();
    let (read, _) = script.text(1, 8 << 20);
    let stored = script.0.lock().unwrap().needles[&*read.fid].len() as u64;
    let quarter = blocks_for(&read, stored);
    for (quarter, is_gzip) in [(quarter, true), (quarter - 1, false)] {
        // Half of all memory is shared.
        let (engine, _) = script.engine(Settings { memory: (8 * quarter * BLOCK) as u64, ..Settings::default() });
        let plan = Plan::from_iter([part(&read, 0..10)]);
        collect(engine.download(plan).await.unwrap()).await.unwrap();
        let requests = asked(&script);
        assert_eq!((requests.len(), requests[1].ends_with(" gzip")), (2, is_gzip), "{requests:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_server_does_not_send_as_gzip_is_taken_as_it_is() {
    let script = Script::default();
    let (mut read, bytes) = script.needle(1, 300_000);
    read.compressed = true;
    // The checksum is that of the gzip, which says nothing about what was inflated on the way.
    script.fault("a:1", [Fault::OtherNeedle]);
    let (engine, _) = script.engine(Settings::default());
    let plan = Plan::from_iter([part(&read, 7..9), Piece::Needle(read)]);
    assert!(collect(engine.download(plan).await.unwrap()).await.unwrap() == [&bytes[7..9], &bytes].concat());
    assert_eq!(script.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_gzip_is_noticed_before_a_byte_of_it_is_out_and_had_from_another_replica() {
    let script = Script::default();
    script.locations([vec!["a:1", "b:1"]]);
    let (read, bytes) = script.text(1, 3_000_000);
    script.fault("a:1", [Fault::Flip(1000)]);
    script.fault("b:1", [Fault::Flip(1000)]);
    script.fault("a:1", [Fault::BreakAfter(1000)]);
    let (engine, metrics) = script.engine(Settings::default());
    for _ in 0..3 {
        let download = engine.download(Plan::from_iter([Piece::Needle(read.clone())])).await.unwrap();
        assert!(collect(download).await.unwrap() == bytes);
    }
    assert_eq!(metrics.crc_failures.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_text_that_was_cut_short_in_place_gives_the_bytes_of_the_file() {
    let script = Script::default();
    for (key, whole) in [(1, 5 << 20), (2, 3000)] {
        let (mut read, bytes) = script.text(key, whole);
        (read.size, read.end) = (2000, 2000);
        let (engine, _) = script.engine(Settings::default());
        let got = collect(engine.download(Plan::from_iter([Piece::Needle(read)])).await.unwrap()).await.unwrap();
        assert_eq!(got, bytes[..2000]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_a_text_leaves_nothing_behind() {
    let script = Script::default();
    let (read, _) = script.text(1, 30 << 20);
    let (engine, metrics) = script.engine(Settings::default());
    let plan = Plan::from_iter([Piece::Needle(read.clone()), Piece::Needle(read)]);
    let mut download = engine.download(plan).await.unwrap();
    let first = download.next().await.unwrap().unwrap();
    assert!(first.len() as u64 <= PIECE);
    drop(download);
    assert!(metrics.buffered.get() > 0, "the client has a piece still");
    drop(first);
    // What the pool works at ends by itself.
    while metrics.buffered.get() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(metrics.in_flight.get(), 0);
}

fn always() -> Settings {
    Settings { verify: Verify::Always, ..Settings::default() }
}

#[tokio::test(start_paused = true)]
async fn a_range_over_a_rotten_byte_is_had_from_the_sound_replica() {
    let size = 4 << 20;
    for transformed in [false, true] {
        let script = Script::default();
        script.locations([vec!["a:1", "b:1"]]);
        let (mut read, mut bytes) = script.needle(1, size);
        if !transformed {
            read.transform = None;
            bytes = script.0.lock().unwrap().needles[&*read.fid].to_vec();
        }
        script.fault("a:1", (0..60).map(|_| Fault::Flip(1_000_000)));
        let (engine, metrics) = script.engine(always());
        let around = 999_990..1_000_010;
        for _ in 0..60 {
            let plan = Plan::from_iter([part(&read, around.clone())]);
            let got = collect(engine.download(plan).await.unwrap()).await.unwrap();
            assert_eq!(got, bytes[around.start as usize..around.end as usize]);
        }
        assert_eq!(metrics.crc_failures.get(), 1, "it is asked last from then on");
        assert!(script.requests().iter().all(|request| request.ends_with(" whole")));
        assert_eq!((metrics.in_flight.get(), metrics.buffered.get()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn no_byte_of_a_large_chunk_is_out_before_it_is_checked() {
    let script = Script::default();
    let (read, _) = script.needle(1, 4 << 20);
    script.fault("a:1", (0..9).map(|_| Fault::Flip(4_000_000)));
    let (engine, _) = script.engine(always());
    let error = engine.download(Plan::from_iter([Piece::Needle(read)])).await.err().unwrap();
    assert!(matches!(error, FetchError::Exhausted { cause: Cause::Corrupt, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn ranges_of_one_chunk_share_its_check() {
    let script = Script::default();
    let ((one, a), (two, b)) = (script.needle(1, 3 << 20), script.needle(2, 1 << 20));
    let (engine, _) = script.engine(always());
    let text = || Piece::Inline(Bytes::from_static(b"-"));
    let plan = Plan::from_iter([
        part(&one, 5..2_000_000),
        part(&one, 2_000_000..2_000_001),
        text(),
        part(&one, 0..1),
        text(),
        part(&two, 7..9),
        Piece::Needle(two.clone()),
        part(&two, 3..4),
    ]);
    let expected = [&a[5..2_000_001], b"-", &a[..1], b"-", &b[7..9], &b, &b[3..4]].concat();
    assert!(collect(engine.download(plan).await.unwrap()).await.unwrap() == expected);
    assert_eq!(script.requests(), ["a:1 3,0100000001 whole", "a:1 3,0200000001 whole"]);
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_does_not_fit_the_memory_is_refused_and_not_given_unchecked() {
    let script = Script::default();
    let (engine, metrics) = script.engine(Settings { memory: 8 << 20, ..always() });
    let (plain, _) = script.needle(1, 9 << 20);
    let (text, _) = script.text(2, 9 << 20);
    script.0.lock().unwrap().needles.insert(text.fid.to_string(), vec![7; 9 << 20].into());
    for read in [plain, text] {
        let error = engine.download(Plan::from_iter([part(&read, 0..10)])).await.err().unwrap();
        assert!(matches!(error, FetchError::MemoryTooSmall { .. }), "{error}");
    }
    assert_eq!(metrics.buffered.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_keeps_as_gzip_unasked_is_checked_as_gzip() {
    let script = Script::default();
    let (mut read, bytes) = script.text(1, 3 << 20);
    read.compressed = false;
    let (engine, metrics) = script.engine(always());
    let plan = Plan::from_iter([part(&read, 2_000_000..2_000_010)]);
    assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), bytes[2_000_000..2_000_010]);
    assert_eq!(asked(&script), ["3,0100000001 gzip"]);
    assert_eq!(metrics.buffered.get(), 0);
}

/// Volume servers that do not say how long an answer is.
struct Unannounced(Script);

impl Upstream for Unannounced {
    fn send(&self, request: Request<()>) -> Answer<'_> {
        Box::pin(async move {
            let mut answer = self.0.send(request).await?;
            answer.headers_mut().remove(header::CONTENT_LENGTH);
            Ok(answer)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_manifest_whose_length_is_not_said_is_read_up_to_its_limit_and_to_what_memory_there_is() {
    const MIB: u64 = 1 << 20;
    // Memory for all downloads, of which half is shared; the size; the limit; the requests that it takes, or what is too much
    // of what there may be.
    for (memory, size, limit, requests) in [
        (64 * MIB, 1000, 4 * MIB, Ok(1)),
        (64 * MIB, 3 * MIB, 4 * MIB, Ok(2)),
        (64 * MIB, 3 * MIB, 3 * MIB, Ok(2)),
        (64 * MIB, 3 * MIB, 3 * MIB - 1, Err((3 * MIB, 3 * MIB - 1))),
        (64 * MIB, MIB, MIB - 1, Err((MIB, MIB - 1))),
        (8 * MIB, 3 * MIB, 40 * MIB, Ok(2)),
        (8 * MIB, 5 * MIB, 40 * MIB, Err((40 * MIB, 80 * MIB))),
    ] {
        let script = Script::default();
        let (read, _) = script.needle(1, size as usize);
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let settings = Settings { memory, ..Settings::default() };
        let engine =
            Engine::new(settings, Arc::new(Unannounced(script.clone())), None, Arc::new(script.clone()), metrics);
        match (engine.read_needle(read.clone(), limit).await, requests) {
            (Ok(bytes), Ok(requests)) => {
                assert_eq!((bytes.len() as u64, script.requests().len()), (size, requests), "{size} of {limit}");
            }
            (Err(FetchError::TooLarge { size, limit: at_most, .. }), Err(expected)) => {
                assert_eq!((size, at_most), expected);
            }
            (Err(FetchError::MemoryTooSmall { size, memory, .. }), Err(expected)) => {
                assert_eq!((size, memory), expected);
            }
            (got, _) => panic!("{size} of {limit}: {got:?}"),
        }
        let unsaid = engine.stored_length(&read).await.unwrap_err();
        assert!(matches!(unsaid, FetchError::Open { reason: ContentError::Unmeasured, .. }), "{unsaid}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_stored_length_is_that_of_the_gzip() {
    let script = Script::default();
    let (plain, _) = script.needle(1, 3000);
    let (text, _) = script.text(2, 100_000);
    let (engine, _) = script.engine(Settings::default());
    assert_eq!(engine.stored_length(&plain).await.unwrap(), 3000);
    let gzip = script.0.lock().unwrap().needles[&*text.fid].len() as u64;
    assert_eq!(engine.stored_length(&text).await.unwrap(), gzip);
}

/// One read, to its end.
type Reading<'a> = Pin<Box<dyn Future<Output = Result<(), FetchError>> + 'a>>;

/// How long each kind of needle that is read whole takes where the server that is asked first has `fault`, and another is
/// sound.
async fn where_one_stands_still(kinds: &[&'static str], fault: Fault) -> Vec<(&'static str, Duration)> {
    let mut took = Vec::new();
    for kind in kinds.iter().copied() {
        let script = Script::default();
        script.locations([vec!["a:1", "b:1"]]);
        let size = 200_000;
        let (read, verify) = match kind {
            "text" => (script.text(1, size).0, Verify::Whole),
            "sealed" => (sealed(&script, 1, size).0, Verify::Whole),
            "checked" => (script.needle(1, 4 << 20).0, Verify::Always),
            _ => (script.needle(1, size).0, Verify::Whole),
        };
        script.fault("a:1", [fault.clone()]);
        let (engine, metrics) = script.engine(Settings { verify, ..Settings::default() });
        // It has more to do, so that the other is asked first.
        let _load = loaded(&engine, "b:1");
        let begin = Instant::now();
        let reading: Reading<'_> = match kind {
            "manifest" => Box::pin(async { engine.read_needle(read, size as u64).await.map(drop) }),
            "length" => Box::pin(async { engine.stored_length(&read).await.map(drop) }),
            _ => Box::pin(async {
                let download = engine.download(Plan::from_iter([part(&read, 7..90_000)])).await?;
                assert_eq!(collect(download).await.unwrap().len(), 90_000 - 7);
                Ok(())
            }),
        };
        reading.await.unwrap();
        took.push((kind, begin.elapsed()));
        assert_eq!(metrics.ejections.get(), 1, "{kind}: nobody watched it");
    }
    took
}

/// Places that are taken at a server.
fn loaded(engine: &Engine, server: &str) -> [Attempt; 3] {
    [(); 3].map(|()| {
        let mut attempt = engine.shared.fetch.servers.attempt_at(&server.into());
        assert!(attempt.try_place(&Priority::new(Urgency::Head), 1));
        attempt
    })
}

/// They were waited for as long as a first byte may take, 30 s.
#[tokio::test(start_paused = true)]
async fn what_is_read_whole_waits_no_longer_than_a_second_or_two_for_a_server_that_stands_still() {
    for (kind, took) in where_one_stands_still(&["text", "sealed", "checked", "manifest", "length"], Fault::Hang).await
    {
        assert!(took < Duration::from_secs(3), "{kind}: {took:?}");
    }
}

/// In the middle of a body it was the longest pause of one, 30 s.
#[tokio::test(start_paused = true)]
async fn what_is_read_whole_is_left_in_a_second_where_its_body_stands_still() {
    let kinds = ["text", "sealed", "checked", "manifest"];
    for (kind, took) in where_one_stands_still(&kinds, Fault::StallAfter(100)).await {
        assert!(took < Duration::from_secs(2), "{kind}: {took:?}");
    }
}
