//! What a request is called, here and by those who sent it, and which request something is done for.
//!
//! Knows names, and the headers in which they come and go. Must not know whom to believe, or what is done.

mod current;
mod id;
mod traceparent;

pub use self::id::RequestId;
pub(crate) use self::{
    current::Correlation,
    id::REQUEST_ID,
    traceparent::{TRACEPARENT, TraceParent},
};
