//! What no client notices: faults of all replicas but one, and an only server that restarts. As [`machine`](super::machine), but
//! here no download may fail, or take for ever.

use std::{io, time::Duration};

use futures_util::{StreamExt, future::join_all, stream};
use http::Request;
use prometheus::Registry;
use proptest::{collection::vec, prelude::*, sample::select};
use tokio::{
    runtime::Builder,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_util::io::ReaderStream;

use super::{
    machine::{Kind, Part, kind, part, plan, stored, verify, window},
    *,
};
use crate::{
    Answer, ChunkCache, Engine, Metrics, Settings, Upstream, Verify, WindowSetting,
    testing::{Fault, Script, body_of, collect, refused},
};

/// Needles are read by several clients at once, so that one finds out about a server what others wait for.
const CLIENTS: usize = 6;

#[derive(Clone, Debug)]
struct Reads {
    window: WindowSetting,
    per_server: usize,
    verify: Verify,
    /// Whether there is memory for hot chunks.
    keeps: bool,
    /// All that there are. Short enough to be held until their checksum is known.
    needles: Vec<(Kind, usize)>,
    /// Of each client, and when it comes, in milliseconds.
    clients: Vec<(u64, Vec<Part>)>,
}

fn reads() -> impl Strategy<Value = Reads> {
    let needle = (kind(), prop_oneof![1usize..300, 60_000usize..70_000, 1usize..900_000]);
    let client = (0u64..12_000, vec(part(), 1..8));
    (window(), 1usize..9, verify(), any::<bool>(), vec(needle, 1..12), vec(client, 1..CLIENTS)).prop_map(
        |(window, per_server, verify, keeps, needles, clients)| Reads {
            window,
            per_server,
            verify,
            keeps,
            needles,
            clients,
        },
    )
}

impl Reads {
    /// All clients read all that they want. Gives the longest time that one took.
    async fn longest(self, script: &Script, upstream: Arc<dyn Upstream>) -> Duration {
        let settings =
            Settings { window: self.window, per_server: self.per_server, verify: self.verify, ..Settings::default() };
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let cache = self.keeps.then(|| ChunkCache::new(2 << 20, Box::new(|_| ())));
        let engine = Engine::new(settings, upstream, cache, Arc::new(script.clone()), metrics);
        let needles = stored(script, &self.needles);
        let clients = self.clients.into_iter().map(|(comes, parts)| {
            let ((plan, expected), engine) = (plan(&needles, &parts), engine.clone());
            tokio::spawn(async move {
                sleep(Duration::from_millis(comes)).await;
                let begin = Instant::now();
                let download = engine.download(plan).await.unwrap_or_else(|error| panic!("refused: {error}"));
                let bytes = collect(download).await.unwrap_or_else(|(at, error)| panic!("cut after {at}: {error}"));
                assert!(bytes == expected);
                begin.elapsed()
            })
        });
        let took = join_all(clients.collect::<Vec<_>>()).await;
        took.into_iter().map(|took| took.unwrap()).max().unwrap()
    }
}

/// One of a server that is not the sound one.
fn fault() -> impl Strategy<Value = Fault> {
    let at = || 0usize..300_000;
    prop_oneof![
        Just(Fault::Refuse),
        Just(Fault::Hang),
        Just(Fault::OverLimit),
        select(vec![404u16, 500, 503, 429, 499, 401, 301, 416]).prop_map(Fault::Status),
        at().prop_map(Fault::BreakAfter),
        at().prop_map(Fault::EndAfter),
        at().prop_map(Fault::StallAfter),
        at().prop_map(Fault::FlipWhole),
        (1u64..40_000).prop_map(|late| Fault::Late(Duration::from_millis(late))),
        Just(Fault::Late(Duration::ZERO)),
    ]
}

/// A server that is gone now and then: for how long it is there first, and for how long it is gone, in milliseconds.
#[derive(Clone)]
struct Restarting {
    script: Script,
    outages: Vec<(u64, u64)>,
    begin: Instant,
    /// Between two pieces of a body.
    pace: Duration,
}

impl Restarting {
    /// When it goes away, while it is there.
    fn goes(&self) -> Option<Instant> {
        let mut at = self.begin;
        for (there, gone) in &self.outages {
            let goes = at + Duration::from_millis(*there);
            at = goes + Duration::from_millis(*gone);
            if Instant::now() < goes {
                return Some(goes);
            }
            if Instant::now() < at {
                return None;
            }
        }
        Some(Instant::now() + Duration::from_secs(86_400))
    }
}

impl Upstream for Restarting {
    fn send(&self, request: Request<()>) -> Answer<'_> {
        Box::pin(async move {
            let goes = self.goes().ok_or_else(refused)?;
            let answer = tokio::select! {
                answer = self.script.send(request) => answer?,
                () = sleep_until(goes) => return Err(refused()),
            };
            let pace = self.pace;
            Ok(answer.map(|body| {
                let pieces = ReaderStream::with_capacity(body, 10_000);
                body_of(stream::try_unfold(pieces, move |mut pieces| async move {
                    let next = async {
                        sleep(pace).await;
                        pieces.next().await.transpose()
                    };
                    let piece = timeout_at(goes, next).await.map_err(|_| io::ErrorKind::ConnectionReset)??;
                    Ok(piece.map(|piece| (piece, pieces)))
                }))
            }))
        })
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn while_one_replica_is_sound_nobody_fails_whatever_the_others_do(
        reads in reads(),
        faults in [vec(fault(), 0..60), vec(fault(), 0..60)],
    ) {
        let longest = run(async {
            let script = Script::default();
            script.locations([vec!["a:1", "b:1", "sound:1"]]);
            script.latency(Duration::from_millis(2));
            for (server, faults) in ["a:1", "b:1"].into_iter().zip(faults) {
                script.fault(server, faults);
            }
            reads.longest(&script, Arc::new(script.clone())).await
        });
        prop_assert!(longest < Duration::from_secs(60), "{longest:?}");
    }

    #[test]
    fn an_only_server_that_restarts_within_two_seconds_fails_nobody(
        reads in reads(),
        outages in vec((0u64..5000, 0u64..2000), 0..4),
        pace in 0u64..100,
    ) {
        let longest = run(async {
            let script = Script::default();
            script.latency(Duration::from_millis(2));
            let outages = outages.into_iter().map(|(there, gone)| (8000 + there, gone)).collect();
            let (begin, pace) = (Instant::now(), Duration::from_millis(pace));
            let upstream = Restarting { script: script.clone(), outages, begin, pace };
            reads.longest(&script, Arc::new(upstream)).await
        });
        prop_assert!(longest < Duration::from_secs(300), "{longest:?}");
    }
}
