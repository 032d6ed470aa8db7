//! What a listener needs from whoever answers its requests.
//!
//! Knows requests and answers. Must not know what is served.

use std::future::Future;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};

use super::{Body, BoxError, Peer, RequestBody, RequestId, error_response};
use crate::Error;

/// Answers the requests of one listener. The filer front is one; a listener of another protocol brings its own.
pub trait Front: Send + Sync + 'static {
    /// The body of its answers, mostly [`Body`](super::Body).
    type Body: http_body::Body<Data = Bytes, Error = BoxError> + Send + Unpin + 'static;

    /// What a request from `peer` with these headers is called.
    fn request_id(&self, headers: &HeaderMap, peer: &Peer) -> RequestId {
        let _ = (headers, peer);
        RequestId::new()
    }

    /// Answers one request. Dropped when the client leaves before the answer, or when a drain runs out of time.
    fn handle(&self, request: Request<RequestBody>, peer: Peer) -> impl Future<Output = Response<Self::Body>> + Send;

    /// What a request for `path` is answered that never came to the front, or met a bug in it, in the words of the front's
    /// protocol: the filer's, where it does not have its own.
    fn refusal(&self, error: &Error, method: &Method, path: &str, id: &RequestId) -> Response<Body> {
        let _ = path;
        error_response(error, method, id)
    }
}
