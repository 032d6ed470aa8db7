//! The log learns of every refusal, with all that is known of it, and of every body that breaks off.
//!
//! Clients are told less. Both have the request's id.

use std::{
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Request, Response, Uri, request};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    Blame,
    wire::{BoxError, Front, Layer, Peer, Refusal, RequestBody, RequestId},
};

/// Tells the log of what goes wrong with the requests of a front.
pub(crate) struct ErrorLog<F>(F);

impl<F> ErrorLog<F> {
    pub(crate) fn new(front: F) -> Self {
        Self(front)
    }
}

/// What the log says of every request.
struct RequestLine {
    id: RequestId,
    method: Method,
    uri: Uri,
    peer: IpAddr,
}

impl RequestLine {
    fn of(request: &request::Parts, peer: &Peer) -> Self {
        let (id, method, uri) = (RequestId::of(&request.extensions), request.method.clone(), request.uri.clone());
        Self { id, method, uri, peer: peer.client }
    }

    /// Without the query, where tokens and signatures stand.
    fn path(&self) -> &str {
        self.uri.path()
    }
}

impl<F: Front> Layer for ErrorLog<F> {
    type Inner = F;
    type Body = ErrorLogBody<F::Body>;

    fn inner(&self) -> &F {
        &self.0
    }

    async fn pass(&self, request: Request<RequestBody>, peer: Peer) -> Response<Self::Body> {
        let (parts, body) = request.into_parts();
        let line = RequestLine::of(&parts, &peer);
        let response = self.0.handle(Request::from_parts(parts, body), peer).await;
        if let Some(Refusal(error)) = response.extensions().get() {
            let (RequestLine { id, method, peer, .. }, path) = (&line, line.path());
            let (blame, status) = (error.blame().as_str(), error.status().as_u16());
            if error.blame() == Blame::Client {
                tracing::debug!(request = %id, %method, path, %peer, blame, status, "{error}");
            } else {
                tracing::warn!(request = %id, %method, path, %peer, blame, status, "{error}");
            }
        }
        response.map(|body| ErrorLogBody { inner: body, line })
    }
}

pin_project! {
    /// Passes a body on as it is, and tells the log if it breaks off.
    pub(crate) struct ErrorLogBody<B> {
        #[pin]
        inner: B,
        line: RequestLine,
    }
}

impl<B: Body<Data = Bytes, Error = BoxError>> Body for ErrorLogBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if let Some(Err(error)) = &frame {
            let (RequestLine { id, method, peer, .. }, path) = (&*this.line, this.line.path());
            tracing::warn!(request = %id, %method, path, %peer, %error, "the bytes ran out; the connection is cut");
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
