//! The daemon: takes a filer request, finds the entry, plans which bytes of which chunks it needs, has them fetched
//! ahead and decrypted, and answers; relays everything that is not a read.
//!
//! Knows HTTP, gRPC, configuration and the order of the stages. Must not know how fetches overlap (`prefetch`) or how a
//! cipher works (`crypto`).

// See `main.rs`.
#![recursion_limit = "256"]

pub mod access;
pub mod cli;
pub mod config;
mod correlation;
pub mod daemon;
mod entries;
pub mod entry;
pub mod error;
pub mod explain;
pub mod filer;
pub mod free_memory;
mod journal;
pub mod keys;
mod layers;
pub mod logging;
pub mod metrics;
pub mod open_files;
mod outlet;
pub mod pb;
pub mod peers;
pub mod plan;
mod questions;
pub mod read;
mod redact;
pub mod relay;
pub mod s3;
pub mod security;
pub mod server;
pub mod settings;
mod spans;
mod spool;
pub mod status;
pub mod tls;
pub mod top;
pub mod undumpable;
pub mod wire;

pub use error::{Blame, Error, Result};
