//! A needle that somebody writes anew under its id, in the middle of a download: bytes of both are never mixed, wherever they
//! come from.

use super::*;
use crate::Plan;

const SIZE: usize = 500_000;

struct Setup {
    script: Script,
    engine: Engine,
    read: NeedleRead,
    bytes: Vec<u8>,
}

/// Where the needle is when the download begins.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Cache,
    Server,
}

impl Setup {
    fn new(place: Place, settings: Settings) -> Self {
        let script = Script::default();
        let (engine, _) = script.engine_with(settings, ChunkCache::new(8 << 20, Box::new(|_| ())));
        let (read, bytes) = script.needle(1, SIZE);
        let setup = Self { script, engine, read, bytes };
        if place == Place::Cache {
            setup.keep();
        }
        setup
    }

    fn cache(&self) -> &ChunkCache {
        self.engine.shared.fetch.cache.as_ref().unwrap()
    }

    fn keep(&self) {
        self.cache().keep(&self.read.fid, self.script.0.lock().unwrap().needles[&*self.read.fid].clone());
    }

    /// Another needle under the same id, at the server, or in memory alone.
    fn replace(&self, place: Place) {
        let needle = self.script.0.lock().unwrap().needles[&*self.read.fid].clone();
        let another: Bytes = needle.iter().map(|byte| byte ^ 1).collect();
        match place {
            Place::Cache => self.cache().keep(&self.read.fid, another),
            Place::Server => {
                self.cache().forget();
                self.script.0.lock().unwrap().needles.insert(self.read.fid.to_string(), another);
            }
        }
    }

    fn part(&self, start: usize, end: usize) -> Piece {
        Piece::Needle(NeedleRead { start: start as u64, end: end as u64, ..self.read.clone() })
    }

    /// Reads these pieces, and does something when the first bytes are here.
    async fn read(
        &self,
        pieces: impl IntoIterator<Item = Piece>,
        meanwhile: impl FnOnce(),
    ) -> Result<Vec<u8>, FetchError> {
        let mut download = self.engine.download(Plan::from_iter(pieces)).await?;
        let mut got = download.next().await.unwrap()?.to_vec();
        meanwhile();
        got.extend(collect(download).await.map_err(|(_, error)| error)?);
        Ok(got)
    }
}

fn assert_changed(got: Result<Vec<u8>, FetchError>, case: &str) {
    let got = got.map(|got| got.len());
    assert!(matches!(got, Err(FetchError::Exhausted { cause: Cause::Changed, .. })), "{case}: {got:?}");
}

#[tokio::test(start_paused = true)]
async fn a_needle_in_memory_that_is_replaced_and_gone_is_not_read_on() {
    for verify in [Verify::Off, Verify::Whole, Verify::Always] {
        for end in [SIZE, SIZE - 1] {
            let setup = Setup::new(Place::Cache, Settings { verify, ..Settings::default() });
            let got = setup.read([setup.part(0, end)], || setup.replace(Place::Server)).await;
            assert_changed(got, &format!("{verify:?} {end}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_needle_in_memory_that_another_one_takes_the_place_of_is_fetched() {
    for end in [SIZE, SIZE - 1] {
        let setup = Setup::new(Place::Cache, Settings::default());
        let got = setup.read([setup.part(0, end)], || setup.replace(Place::Cache)).await;
        assert!(got.unwrap() == setup.bytes[..end]);
        assert_eq!(setup.script.requests(), [format!("a:1 {} bytes={BLOCK}-{}", setup.read.fid, end - 1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_was_fetched_is_followed_by_what_is_in_memory_of_the_same_needle_alone() {
    for (place, requests) in [(None, 1), (Some(Place::Cache), 2)] {
        let setup = Setup::new(Place::Server, fixed(1));
        let keep_it = || place.map_or_else(|| setup.keep(), |place| setup.replace(place));
        let got = setup.read([setup.part(0, 9), Piece::Zeros(1), setup.part(100_000, SIZE)], keep_it).await;
        assert!(got.unwrap() == [&setup.bytes[..9], &[0], &setup.bytes[100_000..]].concat());
        assert_eq!(setup.script.requests().len(), requests);
    }
}

#[tokio::test(start_paused = true)]
async fn a_needle_that_is_replaced_while_another_one_is_read_between_two_parts_of_it_is_not_mixed() {
    for place in [Place::Server, Place::Cache] {
        for verify in [Verify::Whole, Verify::Always] {
            for [first, last] in [[0..9, 100_000..SIZE], [100_000..SIZE, 0..9]] {
                let setup = Setup::new(place, Settings { verify, ..fixed(1) });
                let between = Piece::Needle(setup.script.needle(2, 2 << 20).0);
                let case = format!("{place:?} {verify:?} {first:?}");
                let pieces = [setup.part(first.start, first.end), between, setup.part(last.start, last.end)];
                assert_changed(setup.read(pieces, || setup.replace(Place::Server)).await, &case);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_that_is_replaced_while_another_one_is_read_between_two_parts_of_it_is_not_mixed() {
    let script = Script::default();
    let (engine, _) = script.engine(fixed(1));
    let ((read, _), (between, _)) = (script.text(1, SIZE), script.needle(2, 2 << 20));
    let part = |start: u64, end: u64| Piece::Needle(NeedleRead { start, end, ..read.clone() });
    let plan = Plan::from_iter([part(0, 9), Piece::Needle(between), part(100, 200)]);
    let mut download = engine.download(plan).await.unwrap();
    download.next().await.unwrap().unwrap();
    let (another, _) = script.text(3, SIZE);
    {
        let mut world = script.0.lock().unwrap();
        let (needle, text) = (world.needles[&*another.fid].clone(), world.texts[&*another.fid].clone());
        world.needles.insert(read.fid.to_string(), needle);
        world.texts.insert(read.fid.to_string(), text);
    }
    let got = collect(download).await.map_err(|(_, error)| error);
    assert_changed(got, "another text");
}

#[tokio::test(start_paused = true)]
async fn a_needle_that_an_answer_gives_twice_is_the_same_both_times() {
    for place in [Place::Server, Place::Cache] {
        for replaced in [Place::Server, Place::Cache] {
            let setup = Setup::new(place, fixed(1));
            let text = Piece::Inline(Bytes::from_static(b"--"));
            let between = Piece::Needle(setup.script.needle(2, 2 << 20).0);
            let pieces = [setup.part(0, SIZE), text, between, setup.part(0, SIZE)];
            let got = setup.read(pieces, || setup.replace(replaced)).await;
            match replaced {
                Place::Server => assert_changed(got, &format!("{place:?}")),
                // It is fetched.
                Place::Cache => {
                    let got = got.unwrap();
                    assert!(got.starts_with(&setup.bytes) && got.ends_with(&setup.bytes), "{place:?}");
                }
            }
        }
    }
}
