//! What a request is called: as trusted proxies call it, who bring their log and ours together, or else as it is named here.

use std::sync::Arc;

use http::{HeaderMap, Request, Response};

use crate::{
    correlation::{Correlation, TraceParent},
    peers::Networks,
    spans,
    wire::{Front, Layer, Peer, RequestBody, RequestId},
};

/// Has whatever the front inside does known as done for the request.
pub(crate) struct CorrelationLayer<F> {
    front: F,
    trusted: Arc<Networks>,
}

impl<F> CorrelationLayer<F> {
    /// Takes the names that the proxies in `trusted` tell, and nobody else's.
    pub(crate) fn new(front: F, trusted: Arc<Networks>) -> Self {
        Self { front, trusted }
    }
}

impl<F: Front> Layer for CorrelationLayer<F> {
    type Inner = F;
    type Body = F::Body;

    fn inner(&self) -> &F {
        &self.front
    }

    fn request_id(&self, headers: &HeaderMap, peer: &Peer) -> RequestId {
        let told = self.trusted.has(peer.client).then(|| RequestId::from_headers(headers)).flatten();
        told.unwrap_or_default()
    }

    async fn pass(&self, mut request: Request<RequestBody>, peer: Peer) -> Response<F::Body> {
        // The first of all layers: the connection is the proxy's still.
        let told = self.trusted.has(peer.client).then(|| TraceParent::of(request.headers())).flatten();
        if let Some(hop) = spans::hop(told) {
            request.extensions_mut().insert(hop);
        }
        let correlation = Correlation::of(request.extensions());
        correlation.scope(self.front.handle(request, peer)).await
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::{server::testing::FrontFn, wire::Body};

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// What a request with both headers from there is called, and its trace.
    async fn called(from: [u8; 4]) -> (String, Option<String>) {
        let front = FrontFn(|request: Request<RequestBody>, _| async move {
            let current = Correlation::current().unwrap();
            assert_eq!(current.id, RequestId::of(request.extensions()));
            let mut answer = Response::new(Body::empty());
            answer.extensions_mut().insert(current.trace.and_then(TraceParent::value));
            answer
        });
        let front = CorrelationLayer::new(front, Arc::new(Networks::parse("10.0.0.0/8")));
        let (mut request, peer) = (Request::new(RequestBody::none()), Peer::plain((from, 1).into()));
        request.headers_mut().insert("x-request-id", HeaderValue::from_static("one"));
        request.headers_mut().insert("traceparent", HeaderValue::from_static(PARENT));
        let id = Front::request_id(&front, request.headers(), &peer);
        request.extensions_mut().insert(id.clone());
        let answer = front.handle(request, peer).await;
        let trace = answer.extensions().get::<Option<HeaderValue>>().unwrap().clone();
        (id.to_string(), trace.map(|trace| trace.to_str().unwrap().to_owned()))
    }

    #[tokio::test]
    async fn only_trusted_proxies_are_believed() {
        let (id, trace) = called([10, 0, 0, 1]).await;
        let trace = trace.unwrap();
        assert_eq!((id.as_str(), &trace[..36], trace.len()), ("one", &PARENT[..36], PARENT.len()));
        assert_ne!(trace, PARENT, "the hop is another one");
        let (id, trace) = called([192, 0, 2, 1]).await;
        assert_eq!((id.len(), trace), (24, None));
    }
}
