//! A front in whose place another can be put while it serves.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response};
use tokio::sync::watch;

use crate::{
    Error,
    wire::{Body, Front, Peer, RequestBody, RequestId},
};

/// Has each request answered by the front that is in place when it comes. Those that are on their way stay with theirs.
pub(super) struct Replaceable<F>(watch::Sender<Arc<F>>);

impl<F: Front> Replaceable<F> {
    pub(super) fn new(front: F) -> Self {
        Self(watch::Sender::new(Arc::new(front)))
    }

    /// Requests from now on are for `front`.
    pub(super) fn replace(&self, front: F) {
        self.0.send_replace(Arc::new(front));
    }

    fn in_place(&self) -> Arc<F> {
        Arc::clone(&self.0.borrow())
    }
}

impl<F: Front> Front for Replaceable<F> {
    type Body = F::Body;

    fn request_id(&self, headers: &HeaderMap, peer: &Peer) -> RequestId {
        self.in_place().request_id(headers, peer)
    }

    async fn handle(&self, request: Request<RequestBody>, peer: Peer) -> Response<F::Body> {
        let front = self.in_place();
        front.handle(request, peer).await
    }

    fn refusal(&self, error: &Error, method: &Method, path: &str, id: &RequestId) -> Response<Body> {
        self.in_place().refusal(error, method, path, id)
    }
}
