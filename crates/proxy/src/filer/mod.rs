//! The filer's gRPC: a client that asks the filers in turn.
//!
//! Knows `filer_pb.SeaweedFiler`, its addresses and which of them answers. Must not know the requests of our own
//! clients, what a chunk's bytes mean, or ciphers.

mod client;
mod connections;
mod status;

pub use client::{FilerClient, Found};

#[cfg(test)]
mod tests;
