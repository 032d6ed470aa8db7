//! The table of SeaweedFS's change #8917, for this engine: chunks of 64 KiB from a server in the same process that holds
//! every answer back, fetched one after the other, four ahead, and with the automatic window.
//!
//! `cargo bench -p prefetch --bench overlap`

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark fails loudly and has no callers")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use prefetch::{
    Engine, HttpUpstream, Locate, Locations, LocationsFuture, Metrics, NeedleRead, Piece, Plan, Settings, WindowSetting,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const CHUNK: usize = 64 << 10;
/// MB/s that #8917 reports, by latency: one after the other and four ahead.
const REFERENCE: [(u64, f64, f64); 4] = [(0, 1058.0, 2362.0), (5, 11.0, 41.7), (10, 5.9, 23.3), (20, 3.1, 12.1)];

/// How often everything is measured. A machine that does other things makes a download slower, never faster: the best one
/// counts, and the rounds lie apart, so that what else happens for some seconds does not meet all of them.
const ROUNDS: usize = 5;

fn main() {
    let server = Server::start();
    let rows = (0..ROUNDS).map(|_| REFERENCE.map(|(latency, ..)| Row::measure(&server, latency)));
    let best = rows.reduce(|one, other| std::array::from_fn(|row| one[row].best(&other[row]))).unwrap();
    println!(
        "chunks of 64 KiB, one server in the same process, latency per request; MB/s (x sequential), best of {ROUNDS}\n"
    );
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
    for ((latency, reference, reference_ahead), Row { sequential, four, auto, wide }) in REFERENCE.into_iter().zip(best)
    {
        // What four requests at once can give when each takes as long as it really took.
        let bound = 4.0 * CHUNK as f64 / four.latency.as_secs_f64() / 1e6;
        let of_bound = if latency == 0 { "-".to_owned() } else { format!("{:.1}%", 100.0 * four.rate / bound) };
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
    println!(
        "\nbound: window x chunk / latency, from the request in the server's hands to its answer in the system's, in that run"
    );
}

/// One latency.
#[derive(Clone, Copy)]
struct Row {
    sequential: Run,
    four: Run,
    auto: Run,
    wide: Run,
}

impl Row {
    fn measure(server: &Server, latency: u64) -> Self {
        server.latency(latency);
        Self {
            sequential: server.run(WindowSetting::Fixed(1), 16, latency, 1),
            four: server.run(WindowSetting::Fixed(4), 16, latency, 4),
            auto: server.run(WindowSetting::Auto, 16, latency, 16),
            wide: server.run(WindowSetting::Auto, 256, latency, 128),
        }
    }

    fn best(&self, other: &Self) -> Self {
        let faster = |one: Run, other: Run| if one.rate > other.rate { one } else { other };
        Self {
            sequential: faster(self.sequential, other.sequential),
            four: faster(self.four, other.four),
            auto: faster(self.auto, other.auto),
            wide: faster(self.wide, other.wide),
        }
    }
}

#[derive(Clone, Copy)]
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
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {CHUNK}\r\n\r\n").into_bytes();
                let answer: Arc<[u8]> = [head, vec![7; CHUNK]].concat().into();
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    tokio::spawn(serve(socket, Arc::clone(&answer), Arc::clone(&shared)));
                }
            });
        });
        Self { address: address.recv().unwrap(), state }
    }

    fn latency(&self, milliseconds: u64) {
        self.state.latency.store(milliseconds * 1000, Ordering::Relaxed);
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
            let engine = Engine::new(settings, Arc::new(upstream), None, locate, metrics);
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

/// Gives the same answer to every request of one connection. What it counts as latency begins when it has read the request
/// and ends when the system has taken the answer over, or as much of it as it takes at once: not when the client reads.
async fn serve(mut socket: TcpStream, answer: Arc<[u8]>, state: Arc<State>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut request = Vec::new();
    while socket.read_buf(&mut request).await? > 0 {
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        request.clear();
        let begin = Instant::now();
        let latency = state.latency.load(Ordering::Relaxed);
        if latency > 0 {
            tokio::time::sleep(Duration::from_micros(latency)).await;
        }
        let taken = socket.try_write(&answer)?;
        state.requests.fetch_add(1, Ordering::Relaxed);
        state.held.fetch_add(begin.elapsed().as_nanos() as u64, Ordering::Relaxed);
        socket.write_all(&answer[taken..]).await?;
    }
    Ok(())
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
    NeedleRead::of(1, format!("1,{key:02x}00000001"), CHUNK as u64)
}

struct Here(Locations);

impl Locate for Here {
    fn locate(&self, _volume: u32, _fresh: bool) -> LocationsFuture<'_> {
        Box::pin(std::future::ready(Ok(Arc::clone(&self.0))))
    }
}
