//! Counts the connections to a filer: who answers over a new one may be another process than before, under other rules.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use http::Uri;
use tower_service::Service;

/// Connects as `inner` does, and counts each before it is made, so that no answer comes over one that is not counted.
pub(super) struct CountingConnector<C> {
    inner: C,
    begun: Arc<AtomicU64>,
}

impl<C> CountingConnector<C> {
    pub(super) fn new(inner: C, begun: Arc<AtomicU64>) -> Self {
        Self { inner, begun }
    }
}

impl<C: Service<Uri>> Service<Uri> for CountingConnector<C> {
    type Response = C::Response;
    type Error = C::Error;
    type Future = C::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> C::Future {
        self.begun.fetch_add(1, Ordering::Release);
        self.inner.call(to)
    }
}
