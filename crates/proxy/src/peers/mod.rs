//! Who is one peer, and which networks peers are in.
//!
//! Knows addresses. Must not know connections or requests, or what follows from where somebody is.

mod id;
mod network;

pub(crate) use self::id::PeerId;
pub use self::network::{Network, Networks};
