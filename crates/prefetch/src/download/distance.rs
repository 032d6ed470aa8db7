//! Downloads over a distance, where each connection and each request takes a round trip and all bodies come through one pipe.
//! The clock is paused.
//!
//! `cargo test -p prefetch distance -- --nocapture` prints the table that stands in `docs/performance.md`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, header};
use prometheus::Registry;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    Answer, Engine, Locate, LocationsFuture, Metrics, NeedleRead, Piece, Plan, Settings, Upstream, testing::body_of,
};

const CHUNK: usize = 4 << 20;
/// What comes through the pipe at once, in a millisecond: the clock is no finer.
const PIECE: usize = 1 << 20;

/// A server that is far away.
#[derive(Clone)]
struct Far {
    round_trip: Duration,
    pipe: Arc<Mutex<Pipe>>,
}

struct Pipe {
    /// Connections on which nothing is asked.
    resting: usize,
    /// When all that was sent is through.
    free: Instant,
}

impl Far {
    fn new(round_trip: Duration) -> Self {
        Self { round_trip, pipe: Arc::new(Mutex::new(Pipe { resting: 0, free: Instant::now() })) }
    }

    fn rests(&self) -> bool {
        let mut pipe = self.pipe.lock().unwrap();
        let rests = pipe.resting > 0;
        pipe.resting -= usize::from(rests);
        rests
    }

    /// When so many bytes more are through.
    fn through(&self, bytes: usize) -> Instant {
        let mut pipe = self.pipe.lock().unwrap();
        pipe.free = pipe.free.max(Instant::now()) + pipe_takes(bytes);
        pipe.free
    }
}

impl Upstream for Far {
    fn send(&self, _: Request<()>) -> Answer<'_> {
        Box::pin(async move {
            if !self.rests() {
                sleep(self.round_trip).await;
            }
            sleep(self.round_trip).await;
            let far = self.clone();
            let pieces = stream::iter(std::iter::repeat_n(PIECE, CHUNK / PIECE)).then(move |bytes| {
                let far = far.clone();
                async move {
                    sleep_until(far.through(bytes)).await;
                    Ok(Bytes::from(vec![7; bytes]))
                }
            });
            let far = self.clone();
            let end = stream::once(async move { far.pipe.lock().unwrap().resting += 1 });
            let body = pieces.chain(end.filter_map(|()| async { None }));
            Ok(Response::builder().header(header::CONTENT_LENGTH, CHUNK).body(body_of(body)).unwrap())
        })
    }
}

impl Locate for Far {
    fn locate(&self, _: u32, _: bool) -> LocationsFuture<'_> {
        Box::pin(async { Ok([Arc::from("far:1")].into_iter().collect()) })
    }
}

/// How long so many bytes are on their way through the pipe.
fn pipe_takes(bytes: usize) -> Duration {
    Duration::from_micros((bytes * 1_000 / PIECE) as u64)
}

/// How long a download of so many chunks takes.
async fn download(engine: &Engine, chunks: usize) -> Duration {
    let begin = Instant::now();
    let needle = |key| Piece::Needle(NeedleRead::of(3, format!("3,{key:02x}00000001"), CHUNK as u64));
    let mut download = engine.download((1..=chunks).map(needle).collect::<Plan>()).await.unwrap();
    let mut got = 0;
    while let Some(bytes) = download.next().await {
        got += bytes.unwrap().len();
    }
    assert_eq!(got, chunks * CHUNK);
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn the_first_download_over_a_distance_costs_one_round_trip_more_than_those_after_it() {
    let chunks = 32;
    let pipe = pipe_takes(chunks * CHUNK);
    println!("| round trip | first | second | third |\n|---|---|---|---|");
    for milliseconds in [2, 10, 40, 100] {
        let round_trip = Duration::from_millis(milliseconds);
        let far = Far::new(round_trip);
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let settings = Settings { memory: 512 << 20, per_server: 64, ..Settings::default() };
        let engine = Engine::new(settings, Arc::new(far.clone()), None, Arc::new(far), metrics);
        let mut took = Vec::new();
        for _ in 0..3 {
            took.push(download(&engine, chunks).await);
        }
        println!("| {milliseconds} ms | {:?} | {:?} | {:?} |", took[0], took[1], took[2]);
        let later = took[2];
        assert!(took[0] <= later + round_trip + Duration::from_millis(5), "{round_trip:?}: {took:?}");
        assert!(later <= (pipe + round_trip).mul_f64(1.1) + Duration::from_millis(5), "{round_trip:?}: {took:?}");
    }
}
