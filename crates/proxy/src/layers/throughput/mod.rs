//! How many bytes go out in a second: of one answer, of all answers to one client, and of all.

mod body;
mod meter;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use prefetch::Brake;
use tokio::time::Instant;

use self::{
    body::ThroughputBody,
    meter::{Meter, Tokens},
};
use crate::{
    metrics::{Limit, LimitsHit},
    peers::{Bucket, Buckets, Rate},
    wire::{Front, Layer, Peer, Received},
};

/// Of how long a time the bytes may go at once that may go in it.
const AT_ONCE: Duration = Duration::from_millis(250);

/// The rates at which bodies go, and what all bodies have taken of them. A token is a byte.
#[derive(Clone)]
pub(crate) struct BytesPerSecond {
    in_all: Option<(Rate, Arc<Mutex<Bucket>>)>,
    per_peer: Option<Arc<Buckets>>,
    per_download: Option<Rate>,
}

impl BytesPerSecond {
    /// Bytes per second; `None`: no limit.
    pub(crate) fn new(in_all: Option<u64>, per_peer: Option<u64>, per_download: Option<u64>) -> Self {
        let rate = |bytes: u64| Rate::new(bytes, AT_ONCE);
        Self {
            in_all: in_all.map(|bytes| (rate(bytes), Arc::new(Mutex::new(Bucket::full(Instant::now()))))),
            per_peer: per_peer.map(|bytes| Arc::new(Buckets::new(rate(bytes)))),
            per_download: per_download.map(rate),
        }
    }

    /// What the body of an answer to a client at `address` is measured by.
    fn meters(&self, address: IpAddr) -> Vec<Meter> {
        let in_all = self
            .in_all
            .as_ref()
            .map(|(rate, bucket)| Meter::new(Limit::BytesPerSecond, *rate, Tokens::All(Arc::clone(bucket))));
        let per_peer = self.per_peer.as_ref().map(|buckets| {
            Meter::new(Limit::BytesPerSecondPerPeer, buckets.rate(), Tokens::Peer(Arc::clone(buckets), address))
        });
        let per_download = self
            .per_download
            .map(|rate| Meter::new(Limit::BytesPerSecondPerDownload, rate, Tokens::One(Bucket::full(Instant::now()))));
        [in_all, per_peer, per_download].into_iter().flatten().collect()
    }
}

/// Has the bodies of the front inside go no faster than they may. The front is told by a [`Brake`] among the request's
/// extensions when one does not.
pub(crate) struct Throughput<F> {
    front: F,
    rates: BytesPerSecond,
    hit: Arc<LimitsHit>,
}

impl<F> Throughput<F> {
    /// The fronts that share `rates` have them together.
    pub(crate) fn new(front: F, rates: BytesPerSecond, hit: Arc<LimitsHit>) -> Self {
        Self { front, rates, hit }
    }
}

impl<F: Front> Layer for Throughput<F> {
    type Inner = F;
    type Body = ThroughputBody<F::Body>;

    fn inner(&self) -> &F {
        &self.front
    }

    async fn pass(&self, mut request: Request<Received>, peer: Peer) -> Response<Self::Body> {
        let (meters, brake) = (self.rates.meters(peer.client), Brake::default());
        if !meters.is_empty() {
            request.extensions_mut().insert(brake.clone());
        }
        let response = self.front.handle(request, peer).await;
        response.map(|body| ThroughputBody::new(body, meters, brake, &self.hit))
    }
}
