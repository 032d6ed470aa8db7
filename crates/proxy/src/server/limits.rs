//! What clients may take of a listener.

use std::time::Duration;

/// How many connections there may be, how long a client may take, and how much it may ask for before it has asked for
/// anything.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections of all listeners that are no admin listeners. One more is answered 503. Default 10,000.
    pub max_connections: usize,
    /// Of these, connections of one peer; all addresses of an IPv6 /64 are one. Default 5,000.
    pub max_connections_per_peer: usize,
    /// From the first byte of a request's header to its last, and for a TLS handshake. The connection is closed after that.
    /// Default 30 s.
    pub header_read_timeout: Duration,
    /// How long a connection may wait for the first byte of its next request. Default 75 s.
    pub idle_timeout: Duration,
    /// A connection that is older ends when its running answers are out. Default 1 h.
    pub max_age: Duration,
    /// The largest header block that is read, bytes; a larger one is answered 431. At least 8192. Default 256 KiB.
    pub max_header_bytes: usize,
    /// Header bytes of all connections together that have not been answered yet, beyond the first 8 KiB of each. Who wants
    /// more than is left is cut. Default 32 MiB.
    pub header_memory: usize,
    /// Requests at a time on one connection of HTTP/2. Default 100.
    pub max_streams: u32,
    /// How long bytes may wait to be written while the client takes none: the connection is cut after that, or after twice
    /// that where the system still had room for some; a stream of HTTP/2 is reset after that. Default 60 s.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_peer: 5_000,
            header_read_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            max_age: Duration::from_secs(3600),
            max_header_bytes: 256 << 10,
            header_memory: 32 << 20,
            max_streams: 100,
            write_timeout: Duration::from_secs(60),
        }
    }
}
