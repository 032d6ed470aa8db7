//! A span for each request, from its head to the end of its body.

use http::{Request, Response};

use super::watched::{End, Watch, WatchedBody};
use crate::{
    spans::RequestSpan,
    wire::{Front, Layer, Peer, RequestBody},
};

/// Records the requests of the front inside that are to be.
pub(crate) struct RequestSpans<F>(F);

impl<F> RequestSpans<F> {
    pub(crate) fn new(front: F) -> Self {
        Self(front)
    }
}

impl<F: Front> Layer for RequestSpans<F> {
    type Inner = F;
    type Body = WatchedBody<F::Body, SpanWatch>;

    fn inner(&self) -> &F {
        &self.0
    }

    async fn pass(&self, request: Request<RequestBody>, peer: Peer) -> Response<Self::Body> {
        let method = request.method().clone();
        let mut span = RequestSpan::begin(&method);
        let response = self.0.handle(request, peer).await;
        if let Some(span) = &mut span {
            span.answered(response.status());
        }
        WatchedBody::of(response, &method, SpanWatch(span))
    }
}

/// The span of one request, if it is recorded.
pub(crate) struct SpanWatch(Option<RequestSpan>);

impl Watch for SpanWatch {
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
