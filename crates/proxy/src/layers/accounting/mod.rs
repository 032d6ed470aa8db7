//! Every request is counted, exactly once, when its answer is out or its client has left.

mod body;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use tokio::time::Instant;

pub(crate) use self::body::AccountingBody;
use self::body::Record;
use crate::{
    Error,
    metrics::{CLIENT_LEFT, MethodLabel, Requests, SseLabel},
    wire::{self, Front, Peer, Received, RequestId},
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

impl<F: Front> Front for Accounting<F> {
    type Body = AccountingBody<F::Body>;

    async fn handle(&self, request: Request<Received>, peer: Peer) -> Response<Self::Body> {
        let started = Instant::now();
        let mut unanswered =
            PendingRequest { requests: &self.requests, method: request.method().into(), started: Some(started) };
        let without_body = request.method() == Method::HEAD;
        let response = self.front.handle(request, peer).await;
        unanswered.started = None;
        measure(response, without_body, self.requests.clone(), unanswered.method, started)
    }

    fn refusal(&self, error: &Error, method: &Method, path: &str, id: RequestId) -> Response<wire::Body> {
        self.front.refusal(error, method, path, id)
    }
}

fn measure<B: http_body::Body>(
    response: Response<B>,
    without_body: bool,
    requests: Arc<Requests>,
    method: MethodLabel,
    started: Instant,
) -> Response<AccountingBody<B>> {
    let (parts, body) = response.into_parts();
    let without_body = without_body || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let sse = parts.extensions.get::<SseLabel>().copied().unwrap_or_default();
    let record = Record::new(requests, method, parts.status, sse, started);
    let body = AccountingBody::new(body, &parts.headers, without_body, record);
    Response::from_parts(parts, body)
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
        // A front that panics is answered 500 by the listener.
        let code = if std::thread::panicking() { 500 } else { CLIENT_LEFT };
        if let Ok(status) = StatusCode::from_u16(code) {
            self.requests.count(self.method, status, SseLabel::None);
            self.requests.by_sse(SseLabel::None).duration.observe(started.elapsed().as_secs_f64());
        }
    }
}
