//! Every request is counted, exactly once, when its answer is out or its client has left.

mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use tokio::time::Instant;

use self::record::Record;
use super::watched::WatchedBody;
use crate::{
    metrics::{CLIENT_LEFT, MethodLabel, Requests, SseLabel},
    wire::{Front, Layer, Peer, RelayedAnswer, RequestBody},
};

/// Counts every request of the front inside, exactly once, when its answer is out or its client has left.
///
/// The `sse` label is the [`SseLabel`] in the response's extensions.
pub(crate) struct Accounting<F> {
    front: F,
    requests: Arc<Requests>,
}

impl<F> Accounting<F> {
    /// Counts the requests of `front` in `requests`.
    pub(crate) fn new(front: F, requests: Arc<Requests>) -> Self {
        Self { front, requests }
    }
}

impl<F: Front> Layer for Accounting<F> {
    type Inner = F;
    type Body = WatchedBody<F::Body, Record>;

    fn inner(&self) -> &F {
        &self.front
    }

    async fn pass(&self, request: Request<RequestBody>, peer: Peer) -> Response<Self::Body> {
        let started = Instant::now();
        self.requests.begun();
        let mut unanswered =
            PendingRequest { requests: &self.requests, method: request.method().into(), started: Some(started) };
        let method = request.method().clone();
        let response = self.front.handle(request, peer).await;
        unanswered.started = None;
        measure(response, &method, self.requests.clone(), started)
    }
}

fn measure<B: Body>(
    response: Response<B>,
    method: &Method,
    requests: Arc<Requests>,
    started: Instant,
) -> Response<WatchedBody<B, Record>> {
    requests.answered(response.extensions().get::<RelayedAnswer>().is_some());
    let (status, sse) = (response.status(), response.extensions().get().copied().unwrap_or_default());
    let record = Record { requests, method: method.into(), status, sse, started, begun: false };
    WatchedBody::of(response, method, record)
}

/// Counts a request that is dropped before it has an answer.
struct PendingRequest<'a> {
    requests: &'a Requests,
    method: MethodLabel,
    /// `None` once there is an answer.
    started: Option<Instant>,
}

impl Drop for PendingRequest<'_> {
    fn drop(&mut self) {
        let Some(started) = self.started else { return };
        self.requests.over();
        // A front that panics is answered 500 by the listener.
        let code = if std::thread::panicking() { 500 } else { CLIENT_LEFT };
        if let Ok(status) = StatusCode::from_u16(code) {
            self.requests.count(self.method, status, SseLabel::None);
            self.requests.by_sse(SseLabel::None).duration.observe(started.elapsed().as_secs_f64());
        }
    }
}
