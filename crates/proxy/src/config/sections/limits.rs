//! `[limits]`

use crate::config::{Ceiling, Size, declare::section};

section! {
    /// How much clients may ask for, on all fronts together. A client is one address, or an IPv6 /64; behind proxies that
    /// `server.trusted_proxies` names, the address that they tell. See [security](security.md).
    pub struct Limits {
        /// Requests at a time, each until the last byte of its answer. One more is answered 503 with `Retry-After`.
        requests: u32 = "20000", min "1", max "1000000";
        /// Of these, requests of one client.
        requests_per_peer: u32 = "10000", min "1", max "1000000";
        /// Requests of one client in a second. Those of a second may come at once; beyond that, 429 with `Retry-After`.
        requests_per_second_per_peer: Ceiling<u32> = "off", min "1";
        /// Bytes of all answers' bodies in a second. Who asks for more waits, one piece behind the other; no more is fetched for
        /// an answer that waits than for one whose client reads slowly. Those of a quarter of a second may go at once.
        bytes_per_second: Ceiling<Size> = "off", min "16KiB";
        /// The same for all answers to one client.
        bytes_per_second_per_peer: Ceiling<Size> = "off", min "16KiB";
        /// The same for each answer.
        bytes_per_second_per_download: Ceiling<Size> = "off", min "16KiB";
    }
}
