//! `[prefetch]`

use std::time::Duration;

use crate::config::{Size, Window, declare::section};

section! {
    /// How the chunks of a download are fetched ahead of its client.
    pub struct Prefetch {
        /// Chunks in flight per download. `auto` sizes it by what the download sees; 1 fetches one after the other.
        window: Window = "auto";
        /// Memory for the fetched bytes of all downloads together.
        memory: Size = "256MiB", min "8MiB";
        /// Requests at once to one volume server.
        per_server: u32 = "16", min "1", max "4096";
        /// Whether chunks that are read whole are checked against the volume server's CRC-32C.
        verify: bool = "true";
        /// How long a connection to a volume server may take.
        connect_timeout: Duration = "5s", min "1ms", max "1h";
        /// How long a volume server may take from the request to the first byte of its answer.
        first_byte_timeout: Duration = "30s", min "1ms", max "1h";
        /// How long a volume server may pause between two bytes. The clock stands while the client is the slow side.
        idle_timeout: Duration = "30s", min "1ms", max "1h";
    }
}
