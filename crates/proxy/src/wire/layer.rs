//! What every layer has in common.

use std::future::Future;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;

use super::{BoxError, Front, Peer, RequestBody, RequestId};
use crate::Error;

/// A front around another one, which does one thing about what passes through it. What it says nothing of is the inner
/// front's.
pub trait Layer: Send + Sync + 'static {
    /// The front inside.
    type Inner: Front;
    /// The body of the answers that have passed.
    type Body: Body<Data = Bytes, Error = BoxError> + Send + Unpin + 'static;

    /// The front inside.
    fn inner(&self) -> &Self::Inner;

    /// As [`Front::request_id`].
    fn request_id(&self, headers: &HeaderMap, peer: &Peer) -> RequestId {
        self.inner().request_id(headers, peer)
    }

    /// As [`Front::handle`].
    fn pass(&self, request: Request<RequestBody>, peer: Peer) -> impl Future<Output = Response<Self::Body>> + Send;
}

impl<L: Layer> Front for L {
    type Body = L::Body;

    fn request_id(&self, headers: &HeaderMap, peer: &Peer) -> RequestId {
        Layer::request_id(self, headers, peer)
    }

    fn handle(&self, request: Request<RequestBody>, peer: Peer) -> impl Future<Output = Response<L::Body>> + Send {
        self.pass(request, peer)
    }

    fn refusal(&self, error: &Error, method: &Method, path: &str, id: &RequestId) -> Response<super::Body> {
        self.inner().refusal(error, method, path, id)
    }
}
