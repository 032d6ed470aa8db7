//! The chunk of one fetch, wherever it is: under another file id where its file was given other chunks meanwhile.

use std::sync::Arc;

use prometheus::IntCounter;

use crate::{FetchError, NeedleRead};

/// How often one fetch looks for its chunk under another file id.
const MOVES: u32 = 4;

/// A chunk, and where it is sought.
pub(crate) struct ChunkSearch {
    pub(crate) read: NeedleRead,
    moves: u32,
}

impl ChunkSearch {
    /// Where it is by now.
    pub(crate) fn new(mut read: NeedleRead) -> Self {
        if let Some(now) = read.moved.as_ref().and_then(|moved| moved.by_now()) {
            (read.volume, read.fid) = (now.volume, now.fid);
        }
        Self { read, moves: 0 }
    }

    /// Goes on under another file id after `error`; counts it in `moved`.
    ///
    /// # Errors
    /// `error`, if the chunk is nowhere else, or not missing at all.
    pub(crate) async fn elsewhere(&mut self, moved: &IntCounter, error: FetchError) -> Result<(), FetchError> {
        let asked = self.read.moved.as_ref().filter(|_| error.is_missing() && self.moves < MOVES);
        let Some(asked) = asked.map(Arc::clone) else { return Err(error) };
        let Some(now) = asked.elsewhere(&self.read.fid).await.filter(|now| now.fid != self.read.fid) else {
            return Err(error);
        };
        tracing::debug!(request = self.read.request(), from = &*self.read.fid, to = &*now.fid, "the chunk has moved");
        moved.inc();
        self.moves += 1;
        (self.read.volume, self.read.fid) = (now.volume, now.fid);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::StreamExt;

    use super::*;
    use crate::{
        ChunkLocation, ChunkTracker, Opener, Piece, Plan, RelocationFuture, Settings, WindowSetting,
        testing::{AsItIs, Fault, Script, collect},
    };

    /// Says one place after the other, and notes for which fid it was asked.
    #[derive(Default)]
    struct Moves {
        places: Mutex<Vec<&'static str>>,
        asked: Mutex<Vec<String>>,
    }

    impl ChunkTracker for Moves {
        fn elsewhere<'a>(&'a self, fid: &'a str) -> RelocationFuture<'a> {
            self.asked.lock().unwrap().push(fid.to_owned());
            let next = self.places.lock().unwrap().pop();
            Box::pin(async move { next.map(|fid| ChunkLocation { volume: 4, fid: fid.into() }) })
        }
    }

    fn moves(read: &mut NeedleRead, places: &[&'static str]) -> Arc<Moves> {
        let moves = Arc::new(Moves { places: Mutex::new(places.to_vec()), ..Moves::default() });
        read.moved = Some(Arc::clone(&moves) as Arc<_>);
        moves
    }

    /// Takes a needle away, and puts it under another fid if there is one.
    fn rename(script: &Script, from: &str, to: Option<&str>) {
        let needles = &mut script.0.lock().unwrap().needles;
        let needle = needles.remove(from).unwrap();
        to.map(|to| needles.insert(to.to_owned(), needle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_download_goes_on_where_its_chunk_has_got_another_fid() {
        for opener in [None, Some(Arc::new(AsItIs) as Arc<dyn Opener>)] {
            let script = Script::default();
            let (mut read, bytes) = script.needle(1, 3_000_000);
            let (first, head) = script.needle(2, 1_000_000);
            read.opener = opener;
            let moves = moves(&mut read, &["4,0200000009"]);
            let (engine, metrics) = script.engine(Settings { window: WindowSetting::Fixed(1), ..Settings::default() });
            let plan = Plan::from_iter([Piece::Needle(first), Piece::Needle(read)]);
            let mut download = engine.download(plan).await.unwrap();
            let begin = download.next().await.unwrap().unwrap().to_vec();
            rename(&script, "3,0100000001", Some("4,0200000009"));
            let rest = collect(download).await.unwrap();
            assert!([begin, rest].concat() == [head, bytes].concat());
            assert_eq!(*moves.asked.lock().unwrap(), ["3,0100000001"]);
            assert_eq!((metrics.moved.get(), metrics.in_flight.get(), metrics.buffered.get()), (1, 0, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_chunk_that_moves_inside_a_fetch_goes_on_at_its_byte() {
        let script = Script::default();
        let (mut read, bytes) = script.needle(1, 300_000);
        moves(&mut read, &["4,0200000009"]);
        script.fault("a:1", [Fault::BreakAfter(100_000), Fault::Status(404), Fault::Status(404)]);
        let (engine, metrics) = script.engine(Settings::default());
        rename(&script, "3,0100000001", Some("4,0200000009"));
        let needle = script.0.lock().unwrap().needles["4,0200000009"].clone();
        script.0.lock().unwrap().needles.insert("3,0100000001".to_owned(), needle);
        let download = engine.download(Plan::from_iter([Piece::Needle(read)])).await.unwrap();
        assert!(collect(download).await.unwrap() == bytes);
        assert_eq!((metrics.moved.get(), metrics.resumed_bytes.get()), (1, 100_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_chunk_that_is_nowhere_cuts_the_download() {
        let cases: [(&[&str], usize); 3] = [(&[], 1), (&["3,0100000001"], 1), (&["4,07"; 9], 4)];
        for (places, asked) in cases {
            let script = Script::default();
            let (mut read, _) = script.needle(1, 3000);
            rename(&script, "3,0100000001", None);
            let mut places = places.to_vec();
            for (index, place) in places.iter_mut().enumerate().filter(|(_, place)| **place == "4,07") {
                *place = ["4,0700000001", "4,0800000001"][index % 2];
            }
            let moves = moves(&mut read, &places);
            let (engine, _) = script.engine(Settings::default());
            let error = engine.download(Plan::from_iter([Piece::Needle(read)])).await.err().unwrap();
            assert!(error.is_missing(), "{error}");
            assert_eq!(moves.asked.lock().unwrap().len(), asked);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_chunk_whose_server_fails_is_not_looked_for_elsewhere() {
        let script = Script::default();
        let (mut read, _) = script.needle(1, 3000);
        let moves = moves(&mut read, &["4,0200000009"]);
        script.fault("a:1", vec![Fault::Refuse; 1000]);
        let (engine, _) = script.engine(Settings::default());
        let error = engine.download(Plan::from_iter([Piece::Needle(read)])).await.err().unwrap();
        assert!(!error.is_missing(), "{error}");
        assert!(moves.asked.lock().unwrap().is_empty());
    }
}
