//! What one client may take of a listener.

use std::time::Duration;

/// How long a client may take, and how much it may ask for before it has asked for anything.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From the connection's start, or the previous answer's end, to the end of a request's headers. The connection
    /// is closed after that. Default 30 s.
    pub header_read_timeout: Duration,
    /// The largest header block that is read, bytes; a larger one is answered 431. At least 8192. Default 256 KiB.
    pub max_header_bytes: usize,
    /// How long bytes may wait to be written while the client takes none: the connection is cut after that, or after twice
    /// that where the system still had room for some; a stream of HTTP/2 is reset after that. Default 60 s.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_read_timeout: Duration::from_secs(30),
            max_header_bytes: 256 << 10,
            write_timeout: Duration::from_secs(60),
        }
    }
}
