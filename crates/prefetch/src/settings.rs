//! What the operator sets: one struct, filled from `[prefetch]`.

use std::time::Duration;

/// How far ahead of the client a download may fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowSetting {
    /// Sized from what the download sees; see the module `window`.
    Auto,
    /// That many requests in flight per download, at least 1. 1 fetches one after the other.
    Fixed(usize),
}

/// Which chunks are checked against the volume server's CRC-32C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// None.
    Off,
    /// Those that are read in full, at the latest before their last piece goes out.
    Whole,
    /// All: of whichever a part is wanted, it is fetched in full and checked before a byte of it goes out.
    Always,
}

/// The settings of the engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Requests in flight per download.
    pub window: WindowSetting,
    /// Bytes of buffer for all downloads together. At least 8 MiB is useful.
    pub memory: u64,
    /// A client that takes fewer bytes per second than this is cut, where others wait for its memory. 0: none is for that.
    pub min_rate: u64,
    /// Requests at once to one volume server, at least 1.
    pub per_server: usize,
    /// Volume servers that metrics name. Those beyond are counted together.
    pub named_servers: usize,
    /// Which chunks are checked.
    pub verify: Verify,
    /// How long a TCP connection to a volume server may take.
    pub connect_timeout: Duration,
    /// How long a volume server may take to begin its answer, connecting included.
    pub first_byte_timeout: Duration,
    /// How long a volume server may pause inside a body. There is no limit for a whole body.
    pub idle_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: WindowSetting::Auto,
            memory: 256 << 20,
            min_rate: 16 << 10,
            per_server: 16,
            named_servers: 64,
            verify: Verify::Whole,
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
        }
    }
}
