//! Whom a download is for, as far as memory is shared fairly.
//!
//! Knows that some downloads are one peer's, and that one can be ended from here. Must not know what a peer is.

use std::{net::IpAddr, sync::Arc};

/// Whom a download is for. Downloads of one peer have together what is a peer's fair part.
#[derive(Clone, Default)]
pub struct Share {
    /// `None`: of nobody in particular, such as a read of our own.
    pub(crate) peer: Option<IpAddr>,
    pub(crate) cut: Option<Arc<dyn Cut>>,
}

/// Ends one answer from elsewhere.
pub trait Cut: Send + Sync {
    /// The answer is to break off, and what it holds to be dropped, soon. Called once, by whoever waits for the memory.
    fn cut(&self);
}

impl Share {
    /// The part of `peer`, of whom many addresses may be one, in an answer that `cut` ends.
    pub fn of(peer: IpAddr, cut: Arc<dyn Cut>) -> Self {
        Self { peer: Some(peer), cut: Some(cut) }
    }
}
