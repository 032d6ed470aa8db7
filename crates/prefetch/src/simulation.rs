//! Two hundred clients of mixed size over two replicas, of which one is slow, stands still, lacks needles, is over its
//! limits, breaks off or restarts: what the clients notice of it. The clock is paused, so a run takes what it computes.
//!
//! `cargo test -p prefetch simulation -- --nocapture` prints the table that stands in `docs/performance.md`.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, StatusCode, header};
use prometheus::Registry;
use tokio::time::{Instant, sleep};

use crate::{
    Answer, Engine, Locate, LocationsFuture, Metrics, NeedleRead, Piece, Plan, Settings, Upstream, UpstreamBody,
    testing::{body_of, collect, refused},
};

const CLIENTS: u64 = 200;
const RUN: Duration = Duration::from_secs(5);
/// Between two reads of one client.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes per second of one connection.
const PACE: u64 = 100_000_000;
const FAST: Duration = Duration::from_millis(2);
const FROM: Duration = Duration::from_secs(2);

/// How a server behaves.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Answers after 2 ms.
    Fast,
    /// Answers after 20 ms.
    Slow,
    /// From the second second on, nothing comes from it.
    Hung,
    /// Lacks every other needle.
    Lacking,
    /// Says 429 to more than four requests at once.
    Limited,
    /// Breaks off one body in ten.
    Resetting,
    /// Refuses connections from the second second on, for two seconds.
    Restarting,
}

#[derive(Clone)]
struct Cluster {
    kinds: Arc<BTreeMap<&'static str, Kind>>,
    begin: Instant,
    seen: Arc<Mutex<BTreeMap<String, Seen>>>,
}

/// What one server has seen.
#[derive(Clone, Copy, Default)]
struct Seen {
    requests: u64,
    bytes: u64,
    open: u64,
}

/// One request at a server.
struct Open(Cluster, String);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.seen.lock().unwrap().get_mut(&self.1).unwrap().open -= 1;
    }
}

impl Cluster {
    fn enter(&self, server: &str) -> (Open, Seen) {
        let mut all = self.seen.lock().unwrap();
        let seen = all.entry(server.to_owned()).or_default();
        seen.requests += 1;
        seen.open += 1;
        (Open(self.clone(), server.to_owned()), *seen)
    }
}

impl Upstream for Cluster {
    fn send(&self, request: Request<()>) -> Answer<'_> {
        Box::pin(async move {
            let server = request.uri().authority().unwrap().to_string();
            let (open, seen) = self.enter(&server);
            let since = self.begin.elapsed();
            let kind = self.kinds[&*server];
            let (key, size) = request.uri().path().trim_start_matches("/3,").split_once('-').unwrap();
            let (key, size): (u64, u64) = (key.parse().unwrap(), size.parse().unwrap());
            let range = request.headers().get(header::RANGE).map(|range| {
                let (from, to) = range.to_str().unwrap().trim_start_matches("bytes=").split_once('-').unwrap();
                (from.parse::<u64>().unwrap(), to.parse::<u64>().unwrap() + 1)
            });
            match kind {
                Kind::Restarting if (FROM..2 * FROM).contains(&since) => {
                    return Err(refused());
                }
                Kind::Hung if since >= FROM => std::future::pending().await,
                Kind::Limited if seen.open > 4 => return Ok(status(429)),
                Kind::Lacking if key % 2 == 0 => {
                    sleep(FAST / 4).await;
                    return Ok(status(404));
                }
                Kind::Slow => sleep(10 * FAST).await,
                _ => sleep(FAST).await,
            }
            let (from, to) = range.unwrap_or((0, size));
            let breaks = matches!(kind, Kind::Resetting) && seen.requests % 10 == 0;
            let mut answer = Response::builder().header(header::CONTENT_LENGTH, to - from);
            if range.is_some() {
                answer = answer.status(206).header(header::CONTENT_RANGE, format!("bytes {from}-{}/{size}", to - 1));
            }
            let len = if breaks { (to - from) / 2 } else { to - from };
            self.seen.lock().unwrap().get_mut(&server).unwrap().bytes += len;
            let pieces = (0..len).step_by(256 << 10).map(move |at| (len - at).min(256 << 10));
            let frames = stream::iter(pieces.collect::<Vec<_>>()).then(|len| async move {
                sleep(Duration::from_micros(len * 1_000_000 / PACE)).await;
                Ok(Bytes::from(vec![7; len as usize]))
            });
            let end = stream::once(async move {
                let _open = open;
                breaks.then(|| Err(io::Error::from(io::ErrorKind::ConnectionReset)))
            });
            Ok(answer.body(body_of(frames.chain(end.filter_map(|end| async { end })))).unwrap())
        })
    }
}

fn status(status: u16) -> Response<UpstreamBody> {
    Response::builder().status(StatusCode::from_u16(status).unwrap()).body(body_of(stream::empty())).unwrap()
}

impl Locate for Cluster {
    fn locate(&self, _volume: u32, _fresh: bool) -> LocationsFuture<'_> {
        Box::pin(async { Ok(self.kinds.keys().map(|server| Arc::from(*server)).collect()) })
    }
}

/// What the clients saw.
struct Row {
    /// How long each read took, sorted.
    took: Vec<Duration>,
    failures: usize,
    /// Of all bytes, those that the second server gave.
    share: f64,
}

impl Row {
    fn percentile(&self, percent: usize) -> Duration {
        self.took[(self.took.len() - 1) * percent / 100]
    }

    fn print(&self, name: &str) {
        let [half, most, all] = [50, 99, 100].map(|percent| self.percentile(percent).as_secs_f64() * 1e3);
        let (reads, failures, share) = (self.took.len(), self.failures, self.share * 100.0);
        println!("| {name} | {reads} | {half:.1} ms | {most:.1} ms | {all:.0} ms | {failures} | {share:.0} % |");
    }
}

/// Of ten reads six are of 4 KiB, three of 64 KiB and one of 2 MiB.
fn size(number: u64) -> u64 {
    match number % 10 {
        0..6 => 4 << 10,
        6..9 => 64 << 10,
        _ => 2 << 20,
    }
}

async fn client(engine: Engine, client: u64, begin: Instant) -> Vec<(Duration, bool)> {
    let mut reads = Vec::new();
    sleep(PAUSE * client as u32 / CLIENTS as u32).await;
    for read in 0.. {
        if begin.elapsed() > RUN {
            break;
        }
        let (key, size) = ((client * 31 + read) % 500, size(client + read));
        let read = NeedleRead::of(3, format!("3,{key}-{size}"), size);
        let asked = Instant::now();
        let got = match engine.download(Plan::from_iter([Piece::Needle(read)])).await {
            Ok(download) => collect(download).await.is_ok_and(|bytes| bytes.len() as u64 == size),
            Err(_) => false,
        };
        reads.push((asked.elapsed(), got));
        sleep(PAUSE).await;
    }
    reads
}

async fn run(servers: &[(&'static str, Kind)]) -> Row {
    let begin = Instant::now();
    let cluster = Cluster { kinds: Arc::new(servers.iter().copied().collect()), begin, seen: Arc::default() };
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let engine = Engine::new(Settings::default(), Arc::new(cluster.clone()), None, Arc::new(cluster.clone()), metrics);
    let clients: Vec<_> = (0..CLIENTS).map(|at| tokio::spawn(client(engine.clone(), at, begin))).collect();
    let (mut took, mut failures) = (Vec::new(), 0);
    for client in clients {
        for (time, got) in client.await.unwrap() {
            took.push(time);
            failures += usize::from(!got);
        }
    }
    took.sort_unstable();
    let seen = cluster.seen.lock().unwrap();
    let bytes = |server: &str| seen.get(server).map_or(0.0, |seen| seen.bytes as f64);
    let share = bytes("b:1") / (bytes("a:1") + bytes("b:1"));
    Row { took, failures, share }
}

#[tokio::test(start_paused = true)]
async fn one_bad_replica_costs_nobody_a_read() {
    let cases: [(&str, Kind, u64, u64, std::ops::Range<f64>); 7] = [
        // The other server; the 99th percentile and the longest read in ms at most; its share.
        ("fast", Kind::Fast, 60, 1_000, 0.3..0.7),
        ("slow, 20 ms", Kind::Slow, 60, 1_000, 0.0..0.45),
        ("stands still from 2 s on", Kind::Hung, 1_300, 5_000, 0.02..0.3),
        ("lacks half of the needles", Kind::Lacking, 60, 1_000, 0.1..0.9),
        ("429 beyond 4 at once", Kind::Limited, 100, 1_000, 0.02..0.6),
        ("breaks off one body in ten", Kind::Resetting, 100, 1_000, 0.1..0.6),
        ("refuses from 2 s to 4 s", Kind::Restarting, 100, 1_000, 0.1..0.6),
    ];
    println!(
        "| the other replica | reads | p50 | p99 | longest | failures | its share |\n|---|---|---|---|---|---|---|"
    );
    for (name, kind, percentile, longest, share) in cases {
        let row = run(&[("a:1", Kind::Fast), ("b:1", kind)]).await;
        row.print(name);
        assert_eq!(row.failures, 0, "{name}");
        assert!(row.percentile(99) < Duration::from_millis(percentile), "{name}: p99 {:?}", row.percentile(99));
        assert!(row.percentile(100) < Duration::from_millis(longest), "{name}: longest {:?}", row.percentile(100));
        assert!(share.contains(&row.share), "{name}: {}", row.share);
    }
    let row = run(&[("b:1", Kind::Restarting)]).await;
    row.print("none: the only server refuses from 2 s to 4 s");
    assert_eq!(row.failures, 0);
    assert!(row.percentile(100) < Duration::from_millis(5_500), "{:?}", row.percentile(100));
}
