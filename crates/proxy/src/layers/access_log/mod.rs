//! The access log: one line for every request, or for every one about an encrypted object, when its answer is out or its
//! client has left.
//!
//! Knows what the head of a request, its answer and the end of its body say, and counts what volume servers are asked for it.
//! Must not know a query, or any header of a request but `Range` and `User-Agent`: there may be secrets in all of them.

mod line;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use http::{Request, Response, StatusCode};

pub(crate) use self::line::Line;
use super::watched::WatchedBody;
use crate::{
    metrics::CLIENT_LEFT,
    outlet::Form,
    spool::Spool,
    wire::{Front, Layer, Peer, RequestBody},
};

/// Where the lines go, and which.
pub(crate) struct AccessLines {
    /// Takes them.
    pub(crate) spool: Spool,
    /// Only those of encrypted objects.
    pub(crate) encrypted_only: bool,
    /// What they look like.
    pub(crate) form: Form,
    /// One of so many has a line, of those that went well; 1: all.
    pub(crate) one_of: u32,
}

impl AccessLines {
    /// Waits until the last line is written, for `patience` at most.
    pub(crate) fn flush(&self, patience: Duration) {
        self.spool.flush(patience);
    }
}

/// Writes a line for each request of the front inside.
pub(crate) struct AccessLog<F> {
    front: F,
    lines: Option<Arc<AccessLines>>,
}

impl<F> AccessLog<F> {
    /// `lines`: `None` if nobody is to know.
    pub(crate) fn new(front: F, lines: Option<Arc<AccessLines>>) -> Self {
        Self { front, lines }
    }
}

impl<F: Front> Layer for AccessLog<F> {
    type Inner = F;
    type Body = WatchedBody<F::Body, Line>;

    fn inner(&self) -> &F {
        &self.front
    }

    async fn pass(&self, request: Request<RequestBody>, peer: Peer) -> Response<Self::Body> {
        let method = request.method().clone();
        let (mut parts, body) = request.into_parts();
        let line = Line(self.lines.as_ref().map(|lines| Line::begin(&parts, &peer, Arc::clone(lines))));
        if let Some(tally) = line.tally() {
            parts.extensions.insert(tally);
        }
        let mut unanswered = UnansweredGuard(line);
        let response = self.front.handle(Request::from_parts(parts, body), peer).await;
        let mut line = std::mem::replace(&mut unanswered.0, Line(None));
        line.answered(&response);
        WatchedBody::of(response, &method, line)
    }
}

/// Tells of a request that is dropped before it has an answer.
struct UnansweredGuard(Line);

impl Drop for UnansweredGuard {
    fn drop(&mut self) {
        // A front that panics is answered 500 by the listener.
        let code = if std::thread::panicking() { 500 } else { CLIENT_LEFT };
        if let Ok(status) = StatusCode::from_u16(code) {
            self.0.unanswered(status);
        }
    }
}
