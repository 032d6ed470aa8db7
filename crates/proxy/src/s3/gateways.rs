//! The S3 gateways: which answers, how it reads hosts, and how it is asked.
//!
//! Knows their addresses and what they say of themselves. Must not know what a request means.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use http::{HeaderMap, Request, Response, StatusCode, header::SERVER};
use moka::future::Cache;
use tokio::{
    sync::Semaphore,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    probe::Probe,
    target::{Host, without_port},
};
use crate::{
    Blame, Error, Result,
    relay::Relay,
    wire::{Body, Peer, RequestBody},
};

/// How often each is asked how it is.
const EVERY: Duration = Duration::from_secs(3);
/// How long it may take to say so. One that hangs is asked last from then on.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long is believed what they said of a host.
const BELIEVED: Duration = Duration::from_secs(10);
/// How many hosts that is kept of.
const HOSTS: u64 = 4096;
/// How many hosts they are asked about at once. Whoever makes names up is relayed, and does not multiply his requests.
const ASKED: usize = 16;

/// The gateways in the order of the configuration.
pub(crate) struct Gateways {
    relay: Relay,
    list: Vec<Gateway>,
    /// `s3.domains`.
    domains: Vec<String>,
    /// How all gateways read hosts that have to do with a domain. `None`: not as we could.
    hosts: Cache<String, Option<Host>>,
    /// Whoever holds one of them may ask about a host.
    asking: Semaphore,
}

struct Gateway {
    authority: String,
    /// By the last probe.
    answers: AtomicBool,
}

impl Gateways {
    /// Gateways (`host:port` each) that nobody has asked yet: they count as answering, and no domain as confirmed.
    pub(crate) fn new(relay: Relay, authorities: Vec<String>, domains: Vec<String>) -> Self {
        let gateway = |authority| Gateway { authority, answers: AtomicBool::new(true) };
        let list = authorities.into_iter().map(gateway).collect();
        let hosts = Cache::builder().max_capacity(HOSTS).time_to_live(BELIEVED).build();
        Self { relay, list, domains, hosts, asking: Semaphore::new(ASKED) }
    }

    /// How the gateways read the host of a request (with or without a port), said by themselves. `None`: only they can tell.
    pub(crate) async fn reading(&self, host: &str) -> Option<Host> {
        let name = without_port(host)?;
        if let Some(reading) = Host::of_address(name) {
            return Some(reading);
        }
        let candidates = Host::candidates(name, self.domains.iter().map(String::as_str));
        if candidates.is_empty() {
            return None;
        }
        if let Some(known) = self.hosts.get(name).await {
            return known;
        }
        let _one = self.asking.try_acquire().ok()?;
        self.hosts.get_with_by_ref(name, self.confirmed(name, candidates)).await
    }

    /// Passes a request on and the answer back. See [`Relay::forward_to_any`].
    ///
    /// # Errors
    /// The same.
    pub(crate) async fn relay(&self, request: Request<RequestBody>, peer: &Peer) -> Result<Response<Body>> {
        self.relay.forward_to_any(request, || self.authorities(), peer).await
    }

    /// Those that answer first, the others after them.
    fn authorities(&self) -> impl Iterator<Item = &str> {
        let those = |answering| {
            let gateways = self.list.iter().filter(move |gateway| gateway.answers.load(Ordering::Relaxed) == answering);
            gateways.map(|gateway| gateway.authority.as_str())
        };
        those(true).chain(those(false))
    }

    /// # Errors
    /// 503 when none answers.
    pub(crate) async fn check(&self) -> Result<()> {
        // One that hangs is not waited for.
        let mut asked: FuturesUnordered<_> = self.list.iter().map(|gateway| self.is_well(gateway)).collect();
        while let Some(is_well) = asked.next().await {
            if is_well {
                return Ok(());
            }
        }
        let text = "no S3 gateway answers; is one running, and is s3.gateway right?";
        Err(Error::new(Blame::Gateway, StatusCode::SERVICE_UNAVAILABLE, text).retry_after(EVERY))
    }

    /// Watches the gateways for as long as the daemon runs.
    pub(crate) async fn watch(&self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unconfirmed: Vec<_> = self.domains.iter().collect();
        loop {
            ticks.tick().await;
            let wells = join_all(self.list.iter().map(|gateway| self.is_well(gateway))).await;
            // Once all answer, each domain is tried, by a bucket that nobody has.
            if !unconfirmed.is_empty() && !wells.contains(&false) {
                for domain in unconfirmed.drain(..) {
                    let name = format!("tidegate-probe.{domain}");
                    if self.reading(&name).await.is_none() {
                        tracing::warn!(
                            domain,
                            "s3.domains: a gateway does not take names below this one for buckets, so requests for them are relayed; is it in the -domainName of all?"
                        );
                    }
                }
            }
        }
    }

    async fn is_well(&self, gateway: &Gateway) -> bool {
        let answer = timeout(PATIENCE, self.relay.probe(&gateway.authority, "/healthz", None)).await;
        let is_well = matches!(answer, Ok(Ok(answer)) if answer.status().is_success());
        if gateway.answers.swap(is_well, Ordering::Relaxed) != is_well {
            // It may come back with other domains.
            self.hosts.invalidate_all();
            match is_well {
                true => tracing::info!(gateway = gateway.authority, "the S3 gateway answers again"),
                false => tracing::warn!(
                    gateway = gateway.authority,
                    "the S3 gateway does not answer; others are asked first"
                ),
            }
        }
        is_well
    }

    /// The reading of a host that all gateways that answer confirm, if they do.
    async fn confirmed(&self, name: &str, candidates: Vec<Host>) -> Option<Host> {
        let probe = Probe::new(rand::random());
        let path = probe.path();
        let answering = self.list.iter().filter(|gateway| gateway.answers.load(Ordering::Relaxed));
        let asked = answering.map(|gateway| timeout(PATIENCE, self.relay.probe(&gateway.authority, &path, Some(name))));
        let answers = join_all(asked).await;
        let said = answers.into_iter().map(|answer| Some(answer.ok()?.ok()?.into_body()));
        let documents: Vec<_> = said.collect::<Option<_>>()?;
        let all_confirm = |reading: &Host| {
            let confirms = |document: &Bytes| probe.confirms(reading, &String::from_utf8_lossy(document));
            !documents.is_empty() && documents.iter().all(confirms)
        };
        candidates.into_iter().find(all_confirm)
    }
}

/// The versions whose 304 was tried: it proves all but conditions on tags.
const TRIED: [&str; 1] = ["4.48"];

/// Whether the gateway that answered with these headers is of a version whose 304 was tried.
pub(super) fn is_tried(answer: &HeaderMap) -> bool {
    // `SeaweedFS 8000GB 4.48`
    let server = answer.get(SERVER).and_then(|server| server.to_str().ok());
    let version = server.filter(|server| server.starts_with("SeaweedFS ")).and_then(|server| server.rsplit(' ').next());
    version.is_some_and(|version| TRIED.contains(&version))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_versions_that_were_tried_are_believed() {
        let tried =
            |server: &'static str| is_tried(&HeaderMap::from_iter([(SERVER, HeaderValue::from_static(server))]));
        assert!(tried("SeaweedFS 8000GB 4.48") && tried("SeaweedFS 30GB 4.48"));
        for server in ["SeaweedFS 8000GB 4.47", "SeaweedFS 8000GB 4.480", "SeaweedFS", "4.48", "nginx 4.48", ""] {
            assert!(!tried(server), "{server}");
        }
        assert!(!is_tried(&HeaderMap::new()));
    }
}
