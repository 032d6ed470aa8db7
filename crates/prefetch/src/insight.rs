//! What is told of the engine to people who look at it.

use std::{net::IpAddr, sync::Arc, time::Duration};

/// A volume server as it is seen from here.
#[derive(Clone, Debug)]
pub struct ServerInsight {
    /// `host:port`.
    pub authority: Arc<str>,
    /// How it stands.
    pub standing: StandingInsight,
    /// Whether the operator would rather have others asked.
    pub is_far: bool,
    /// The time to the first byte of its answers lately, of which it forgets most in half a minute without any.
    pub latency: Duration,
    /// Requests that have a place at it.
    pub requests: usize,
    /// Requests that wait for one.
    pub waiting: usize,
    /// For how long every request to it has failed.
    pub failing_for: Option<Duration>,
}

/// Whether a server is asked like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandingInsight {
    /// It is.
    Good,
    /// It is asked only for what nobody else has.
    Aside,
    /// One request is finding out whether it is back.
    Probed,
}

/// Who has the memory of downloads.
#[derive(Clone, Debug, Default)]
pub struct MemoryInsight {
    /// Bytes that there are.
    pub limit: u64,
    /// Downloads that may have a part at once.
    pub most_downloads: usize,
    /// Downloads that wait for one.
    pub waiting: usize,
    /// What each peer has, in no order.
    pub holders: Vec<HolderInsight>,
}

/// What one peer has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderInsight {
    /// `None`: nobody in particular.
    pub peer: Option<IpAddr>,
    /// How many downloads.
    pub downloads: usize,
    /// Bytes, filled or not.
    pub bytes: u64,
}
