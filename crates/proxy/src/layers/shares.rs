//! Whom a request's downloads are for, as far as memory is shared fairly: its client, whoever passes it on.

use std::sync::Arc;

use http::{Request, Response};
use prefetch::{Brake, Share};

use crate::{
    peers::PeerId,
    wire::{Cutter, Front, Layer, Peer, RequestBody},
};

/// Tells the front inside whose share a request takes, as a [`Share`] among the request's extensions.
pub(crate) struct Shares<F>(F);

impl<F> Shares<F> {
    pub(crate) fn new(front: F) -> Self {
        Self(front)
    }
}

impl<F: Front> Layer for Shares<F> {
    type Inner = F;
    type Body = F::Body;

    fn inner(&self) -> &F {
        &self.0
    }

    async fn pass(&self, mut request: Request<RequestBody>, peer: Peer) -> Response<F::Body> {
        if let Some(cutter) = request.extensions_mut().remove::<Cutter>() {
            let share = Share::of(PeerId::at(peer.client).address(), Arc::new(cutter));
            let share = match request.extensions_mut().remove::<Brake>() {
                Some(brake) => share.braked(brake),
                None => share,
            };
            request.extensions_mut().insert(share);
        }
        self.0.handle(request, peer).await
    }
}
