//! The filer's gRPC: a client that knows which filer answers, and asks that one.
//!
//! Knows `filer_pb.SeaweedFiler`, its addresses and which of them answers. Must not know the requests of our own
//! clients, what a chunk's bytes mean, or ciphers.

mod buckets;
mod calling;
mod client;
mod connections;
mod dialling;
mod hedging;
mod line;
mod signature;
mod standing;
mod status;
mod tenure;
mod watching;

pub(crate) use buckets::{BucketsFolder, FolderAgreement};
pub use client::{EntrySnapshot, FilerClient};
pub(crate) use tenure::Succession;

#[cfg(test)]
mod tests;
