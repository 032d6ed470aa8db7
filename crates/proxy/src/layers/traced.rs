//! A span for each request, from its head to the end of its body.

use http::{Request, Response};

use super::watched::{End, Watch, WatchedBody};
use crate::{
    spans::RequestSpan,
    wire::{Front, Layer, Peer, Received},
};

/// Records the requests of the front inside that are to be.
pub(crate) struct Traced<F>(F);

impl<F> Traced<F> {
    pub(crate) fn new(front: F) -> Self {
        Self(front)
    }
}

impl<F: Front> Layer for Traced<F> {
    type Inner = F;
    type Body = WatchedBody<F::Body, Recorded>;

    fn inner(&self) -> &F {
        &self.0
    }

    async fn pass(&self, request: Request<Received>, peer: Peer) -> Response<Self::Body> {
        let method = request.method().clone();
        let mut span = RequestSpan::begin(&method);
        let response = self.0.handle(request, peer).await;
        if let Some(span) = &mut span {
            span.answered(response.status());
        }
        WatchedBody::of(response, &method, Recorded(span))
    }
}

/// The span of one request, if it is recorded.
pub(crate) struct Recorded(Option<RequestSpan>);

impl Watch for Recorded {
    fn sent(&mut self, bytes: u64) {
        if let Some(span) = &mut self.0 {
            span.sent(bytes);
        }
    }

    fn ended(&mut self, end: End) {
        if let Some(mut span) = self.0.take() {
            span.ended(end == End::Complete);
        }
    }
}
