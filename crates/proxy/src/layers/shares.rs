//! Whom a request's downloads are for, as far as memory is shared fairly: its client, whoever passes it on.

use std::sync::Arc;

use http::{Method, Request, Response};
use prefetch::Share;

use crate::{
    Error,
    peers::PeerId,
    wire::{self, Cutter, Front, Peer, Received, RequestId},
};

/// Tells the front inside whose share a request takes, as a [`Share`] among the request's extensions.
pub(crate) struct Shares<F>(F);

impl<F> Shares<F> {
    pub(crate) fn new(front: F) -> Self {
        Self(front)
    }
}

impl<F: Front> Front for Shares<F> {
    type Body = F::Body;

    async fn handle(&self, mut request: Request<Received>, peer: Peer) -> Response<F::Body> {
        if let Some(cutter) = request.extensions_mut().remove::<Cutter>() {
            let share = Share::of(PeerId::at(peer.client).address(), Arc::new(cutter));
            request.extensions_mut().insert(share);
        }
        self.0.handle(request, peer).await
    }

    fn refusal(&self, error: &Error, method: &Method, path: &str, id: RequestId) -> Response<wire::Body> {
        self.0.refusal(error, method, path, id)
    }
}
