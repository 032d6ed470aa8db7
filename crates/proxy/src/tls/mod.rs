//! TLS on every side: what clients are shown, and how filer and volume servers are checked.
//!
//! Knows certificates, keys and the files they are in. Must not know what is said over the connections.

mod client;
mod files;
mod server;
mod verify;

pub use self::{client::TlsClients, server::server_config};
