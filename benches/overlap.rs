//! The table of SeaweedFS's change #8917, for this engine: chunks of 64 KiB from a server in the same process that holds
//! every answer back, fetched one after the other, four ahead, and with the automatic window.
//!
//! `cargo bench -p prefetch --bench overlap`

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark fails loudly and has no callers")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::Response;
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prefetch::{
    Engine, HttpUpstream, Locate, Located, Locations, Metrics, NeedleRead, Piece, Plan, Settings, WindowSetting,
};

const CHUNK: usize = 64 << 10;
/// MB/s that #8917 reports, by latency: one after the other and four ahead.
const REFERENCE: [(u64, f64, f64); 4] = [(0, 1058.0, 2362.0), (5, 11.0, 41.7), (10, 5.9, 23.3), (20, 3.1, 12.1)];

fn main() {
    let server = Server::start();
    println!("chunks of 64 KiB, one server in the same process, latency per request; MB/s (x sequential), best of 3\n");
    println!(
        "{:>7} {:>9} | {:>10} {:>16} {:>8} | {:>16} {:>17} | {:>22}",
        "latency",
        "measured",
        "sequential",
        "window 4",
        "of bound",
        "auto, 16/server",
        "auto, 256/server",
        "#8917: seq, window 4"
    );
    for (latency, reference, reference_ahead) in REFERENCE {
        server.latency(latency);
        let sequential = server.best(WindowSetting::Fixed(1), 16, latency, 1);
        let four = server.best(WindowSetting::Fixed(4), 16, latency, 4);
        let auto = server.best(WindowSetting::Auto, 16, latency, 16);
        let wide = server.best(WindowSetting::Auto, 256, latency, 128);
        // What four requests at once can give when each takes as long as it really took.
        let bound = 4.0 * CHUNK as f64 / four.latency.as_secs_f64() / 1e6;
        let of_bound = if latency == 0 { "-".to_owned() } else { format!("{:.0}%", 100.0 * four.rate / bound) };
        let times = |run: &Run| format!("{:.1} ({:.1}x)", run.rate, run.rate / sequential.rate);
        println!(
            "{:>4} ms {:>6.2} ms | {:>10.1} {:>16} {:>8} | {:>16} {:>17} | {:>7.1} {:>7.1} ({:.1}x)",
            latency,
            four.latency.as_secs_f64() * 1e3,
            sequential.rate,
            times(&four),
            of_bound,
            times(&auto),
            times(&wide),
            reference,
            reference_ahead,
            reference_ahead / reference,
        );
    }
    println!("\nbound: window x chunk / latency as the server gave it, sleeping and answering, in that run");
}

struct Run {
    /// MB/s.
    rate: f64,
    /// What the server held each request back, on average.
    latency: Duration,
}

struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Microseconds.
    latency: AtomicU64,
    requests: AtomicU64,
    /// Nanoseconds, of all requests.
    held: AtomicU64,
}

impl Server {
    fn start() -> Self {
        let state = Arc::<State>::default();
        let (sender, address) = std::sync::mpsc::channel();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    socket.set_nodelay(true).unwrap();
                    let state = Arc::clone(&shared);
                    let service = service_fn(move |_| answer(Arc::clone(&state)));
                    let mut builder = http1::Builder::new();
                    builder.timer(TokioTimer::new());
                    tokio::spawn(builder.serve_connection(TokioIo::new(socket), service));
                }
            });
        });
        Self { address: address.recv().unwrap(), state }
    }

    fn latency(&self, milliseconds: u64) {
        self.state.latency.store(milliseconds * 1000, Ordering::Relaxed);
    }

    /// The best of three downloads: a machine that does other things makes them slower, never faster.
    fn best(&self, window: WindowSetting, per_server: usize, latency: u64, expected: u64) -> Run {
        let runs = (0..3).map(|_| self.run(window, per_server, latency, expected));
        runs.max_by(|one, other| one.rate.total_cmp(&other.rate)).unwrap()
    }

    /// Downloads for about two seconds' worth of `expected` requests at once.
    fn run(&self, window: WindowSetting, per_server: usize, latency: u64, expected: u64) -> Run {
        let chunks = 2000u64.checked_div(latency).map_or(16_384, |rounds| (rounds * expected).min(16_384));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let settings = Settings { window, per_server, ..Settings::default() };
            let upstream = HttpUpstream::new(per_server, settings.connect_timeout, None);
            let locate = Arc::new(Here([Arc::from(self.address.to_string())].into()));
            let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
            let engine = Engine::new(settings, upstream, locate, metrics);
            // Connections are warm, as they are in a daemon that has served before.
            drain(engine.clone(), per_server.min(chunks as usize) * 2).await;
            self.state.requests.store(0, Ordering::Relaxed);
            self.state.held.store(0, Ordering::Relaxed);
            let begin = Instant::now();
            // On a worker, as the connections of a daemon are.
            let bytes = tokio::spawn(drain(engine, chunks as usize)).await.unwrap();
            let rate = bytes as f64 / begin.elapsed().as_secs_f64() / 1e6;
            let held = self.state.held.load(Ordering::Relaxed) / self.state.requests.load(Ordering::Relaxed).max(1);
            Run { rate, latency: Duration::from_nanos(held) }
        })
    }
}

async fn answer(state: Arc<State>) -> Result<Response<Full<Bytes>>, Infallible> {
    static BYTES: [u8; CHUNK] = [7; CHUNK];
    let begin = Instant::now();
    let latency = state.latency.load(Ordering::Relaxed);
    if latency > 0 {
        tokio::time::sleep(Duration::from_micros(latency)).await;
    }
    state.requests.fetch_add(1, Ordering::Relaxed);
    state.held.fetch_add(begin.elapsed().as_nanos() as u64, Ordering::Relaxed);
    Ok(Response::new(Full::new(Bytes::from_static(&BYTES))))
}

async fn drain(engine: Engine, chunks: usize) -> usize {
    let plan: Plan = (0..chunks).map(|key| Piece::Needle(needle(key))).collect();
    let mut download = engine.download(plan).await.unwrap();
    let mut bytes = 0;
    while let Some(piece) = download.next().await {
        bytes += piece.unwrap().len();
    }
    bytes
}

fn needle(key: usize) -> NeedleRead {
    let size = CHUNK as u64;
    let fid = format!("1,{key:02x}00000001").into();
    NeedleRead { volume: 1, fid, size, start: 0, end: size, compressed: false, transform: None, opener: None }
}

struct Here(Locations);

impl Locate for Here {
    fn locate(&self, _volume: u32, _fresh: bool) -> Located<'_> {
        Box::pin(std::future::ready(Ok(Arc::clone(&self.0))))
    }
}
