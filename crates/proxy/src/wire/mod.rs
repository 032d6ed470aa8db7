//! What passes between a listener and a front: who asks, the body of an answer, and how an error is written.
//!
//! Knows the shape of requests and answers. Must not know sockets, or what is served.

mod body;
mod cutter;
mod error_response;
mod extensions;
mod front;
mod layer;
mod peer;
mod public;
mod request_body;

pub use self::{
    body::{Body, BoxError},
    error_response::{Refusal, SERVER, error_response},
    front::Front,
    layer::Layer,
    peer::{Peer, PeerTls},
    request_body::RequestBody,
};
pub(crate) use self::{
    cutter::Cutter,
    error_response::{shown, whole_seconds},
    extensions::{RelayedAnswer, Subject},
    request_body::{LINGER, LINGER_BYTES, LINGER_PAUSE, Told},
};
pub use crate::correlation::RequestId;
