//! What holds for every request of every front: layers around it, each of which does one thing.
//!
//! Knows requests, answers and their bodies by what stands on them. Must not know what is served, or by which front.
//!
//! A layer is a [`Front`] around a front, written as a [`Layer`](crate::wire::Layer). What has to be told about an answer from further in goes with the answer, as an
//! extension; what has to be seen to its end is a thin wrapper around the body. To add one, write its file and its line
//! in [`around`].
//!
//! The first of all is not here: the connection has each request named ([`Front::request_id`]) and answers for a front that
//! panics, so that even such an answer has a name.

mod access_log;
mod accounting;
mod client_address;
mod correlation;
mod error_log;
mod in_flight;
mod request_rate;
#[cfg(feature = "otlp")]
mod request_spans;
mod running;
mod shares;
mod throughput;
mod watched;

use std::sync::Arc;

pub(crate) use self::{
    access_log::AccessLines,
    running::{Exchange, RunningRequests},
    throughput::{BytesPerSecond, Rates},
};
use self::{
    access_log::AccessLog, accounting::Accounting, client_address::ClientAddress, correlation::CorrelationLayer,
    error_log::ErrorLog, in_flight::InFlight, request_rate::RequestRate, running::ListingLayer, shares::Shares,
    throughput::Throughput,
};
use crate::{
    metrics::{FrontLabel, LimitsHit, Requests},
    peers::{Buckets, Networks, Slots},
    wire::Front,
};

/// What the layers share between fronts.
#[derive(Clone)]
pub(crate) struct LayerState {
    /// The counters of requests.
    pub(crate) requests: Arc<Requests>,
    /// Who is believed to say where clients are.
    pub(crate) trusted_proxies: Arc<Networks>,
    /// How often a limit was come to.
    pub(crate) hit: Arc<LimitsHit>,
    /// Room for requests.
    pub(crate) places: Slots,
    /// How often one client may ask; `None`: as often as it likes.
    pub(crate) request_rate: Option<Arc<Buckets>>,
    /// The access log; `None`: there is none.
    pub(crate) access: Option<Arc<AccessLines>>,
    /// The list of those that run.
    pub(crate) running: RunningRequests,
    /// How fast bodies may go.
    pub(crate) bytes_per_second: Rates,
}

/// `front` with all layers around it; the lowest line is the first that a request meets.
pub(crate) fn around<F: Front>(front: F, label: FrontLabel, shared: &LayerState) -> impl Front + use<F> {
    let front = Shares::new(front);
    let hit = || Arc::clone(&shared.hit);
    let front = Throughput::new(front, Arc::clone(&shared.bytes_per_second), hit());
    let front = InFlight::new(front, shared.places.clone(), hit());
    let front = RequestRate::new(front, shared.request_rate.clone(), hit());
    let front = Accounting::new(front, Arc::clone(&shared.requests));
    let front = ListingLayer::new(front, label, shared.running.clone());
    let front = ErrorLog::new(front);
    let front = AccessLog::new(front, shared.access.clone());
    let front = ClientAddress::new(front, Arc::clone(&shared.trusted_proxies));
    #[cfg(feature = "otlp")]
    let front = request_spans::RequestSpans::new(front);
    CorrelationLayer::new(front, Arc::clone(&shared.trusted_proxies))
}
