//! How many bytes go out in a second: of one answer, of all answers to one client, and of all.

mod body;
mod meter;
mod rates;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{Request, Response};
use prefetch::Brake;

use self::body::ThroughputBody;
pub(crate) use self::rates::{BytesPerSecond, Rates};
use crate::{
    metrics::LimitsHit,
    wire::{Front, Layer, Peer, RequestBody},
};

/// Has the bodies of the front inside go no faster than they may. The front is told by a [`Brake`] among the request's
/// extensions when one does not.
pub(crate) struct Throughput<F> {
    front: F,
    rates: Rates,
    hit: Arc<LimitsHit>,
}

impl<F> Throughput<F> {
    /// The fronts that share `rates` have them together. Those that change count for bodies that are on their way as well.
    pub(crate) fn new(front: F, rates: Rates, hit: Arc<LimitsHit>) -> Self {
        Self { front, rates, hit }
    }
}

impl<F: Front> Layer for Throughput<F> {
    type Inner = F;
    type Body = ThroughputBody<F::Body>;

    fn inner(&self) -> &F {
        &self.front
    }

    async fn pass(&self, mut request: Request<RequestBody>, peer: Peer) -> Response<Self::Body> {
        let (client, brake) = (peer.client, Brake::default());
        // Also where nothing is metered: that may change before the body has gone.
        request.extensions_mut().insert(brake.clone());
        let response = self.front.handle(request, peer).await;
        response.map(|body| ThroughputBody::new(body, client, self.rates.subscribe(), brake, &self.hit))
    }
}
