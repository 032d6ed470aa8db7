//! The rates that bodies are held to.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::meter::{Meter, Tokens};
use crate::{
    metrics::Limit,
    peers::{Bucket, Buckets, Rate},
};

/// Of how long a time the bytes may go at once that may go in it.
const AT_ONCE: Duration = Duration::from_millis(250);

/// The rates that hold at the moment, for the bodies of all fronts.
pub(crate) type Rates = Arc<watch::Sender<BytesPerSecond>>;

/// The rates at which bodies go, and what all bodies have taken of them. A token is a byte.
#[derive(Clone)]
pub(crate) struct BytesPerSecond {
    set: [Option<u64>; 3],
    in_all: Option<(Rate, Arc<Mutex<Bucket>>)>,
    per_peer: Option<Arc<Buckets>>,
    per_download: Option<Rate>,
}

impl BytesPerSecond {
    /// Bytes per second; `None`: no limit.
    pub(crate) fn new(in_all: Option<u64>, per_peer: Option<u64>, per_download: Option<u64>) -> Self {
        let rate = |bytes: u64| Rate::new(bytes, AT_ONCE);
        Self {
            set: [in_all, per_peer, per_download],
            in_all: in_all.map(|bytes| (rate(bytes), Arc::new(Mutex::new(Bucket::full(Instant::now()))))),
            per_peer: per_peer.map(|bytes| Arc::new(Buckets::new(rate(bytes)))),
            per_download: per_download.map(rate),
        }
    }

    /// Whether these are the same rates.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.set == other.set
    }

    /// What the body of an answer to a client at `address` is measured by.
    pub(super) fn meters(&self, address: IpAddr) -> Vec<Meter> {
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
