//! Why bytes could not be had: the cause of one failed attempt, and the error of a fetch that no replica could mend.

use std::sync::Arc;

use crate::{outcome::Outcome, servers::Flaw};

/// Why one attempt at one replica failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Cause {
    /// No connection, or it broke before the answer began.
    #[error("cannot be reached: {0}")]
    Connect(Arc<str>),
    /// No first byte, or no next byte, within the timeout.
    #[error("no bytes within the timeout")]
    Timeout,
    /// 404: this replica does not hold the needle, or holds it under another cookie.
    #[error("does not have the needle (404)")]
    NotFound,
    /// 429 or 503: the server wants to be left alone for a moment.
    #[error("is over its limits (status {0})")]
    Busy(u16),
    /// 401: it did not accept the token of this request.
    #[error("did not accept the read token (401)")]
    Unauthorized,
    /// Any other status that is not the expected 200 or 206.
    #[error("answered status {0}")]
    Status(u16),
    /// The body broke off with an error.
    #[error("broke off inside the body: {0}")]
    Broken(Arc<str>),
    /// Content-Length, Content-Range or the number of body bytes is not what was asked for.
    #[error("answered another length or range than asked for: {0}")]
    Length(Arc<str>),
    /// The bytes do not match the CRC-32C that the server has for them.
    #[error("sent bytes that do not match their checksum")]
    Corrupt,
    /// A resumed fetch met a needle with another ETag.
    #[error("holds other bytes under the same fid (ETag changed)")]
    Changed,
}

impl Cause {
    /// The label of `tidegate_fetch_retries_total`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Timeout => "timeout",
            Self::NotFound => "not_found",
            Self::Busy(_) => "busy",
            Self::Unauthorized => "unauthorized",
            Self::Status(_) => "status",
            Self::Broken(_) => "broken",
            Self::Length(_) | Self::Changed => "length",
            Self::Corrupt => "corrupt",
        }
    }

    /// What it says about the server: a 404, a 401 or another needle is about a needle or a token, not about the server.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::NotFound | Self::Unauthorized | Self::Changed => Outcome::OfNeedle,
            Self::Busy(_) => Outcome::Busy,
            Self::Connect(_) | Self::Timeout | Self::Status(_) | Self::Broken(_) | Self::Length(_) | Self::Corrupt => {
                Outcome::Failed
            }
        }
    }

    /// What it says about the needle at that server. A server answers 500 where it cannot read a needle soundly itself.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        match self {
            Self::NotFound => Some(Flaw::Missing),
            Self::Corrupt | Self::Length(_) | Self::Status(500) => Some(Flaw::Unsound),
            _ => None,
        }
    }

    /// Whether the server is not there, or went away in the middle: it may be restarting.
    pub(crate) fn is_of_the_moment(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Broken(_))
    }
}

/// Why there is nothing to decode with.
pub type DecodeError = Arc<dyn std::error::Error + Send + Sync>;

/// Why a piece could not be fetched, after all replicas were tried. The fault is the volume servers' (or, for
/// [`FetchError::Locate`], the filer's); a message names the fid and the server, never a key.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The locations of the volume could not be looked up.
    #[error("volume {volume} cannot be located: {reason}")]
    Locate {
        /// The volume id.
        volume: u32,
        /// What the lookup said.
        reason: Arc<str>,
    },
    /// No server holds the volume.
    #[error("volume {0} has no location")]
    NoLocation(u32),
    /// Every replica failed; the last cause is given.
    #[error("needle {fid}: volume server {server} {cause}")]
    Exhausted {
        /// The fid, as in the URL.
        fid: Arc<str>,
        /// The server that was tried last.
        server: Arc<str>,
        /// What it did.
        cause: Cause,
    },
    /// Bytes of a chunk had gone out already when the chunk turned out not to match its checksum.
    #[error("needle {fid}: volume server {server} sent bytes that do not match their checksum")]
    Corrupt {
        /// The fid.
        fid: Arc<str>,
        /// The server.
        server: Arc<str>,
    },
    /// A needle that must be read whole (a manifest) is longer than whoever asked for it allows.
    #[error("needle {fid}: {size} bytes are more than the {limit} bytes that are read of such a one")]
    TooLarge {
        /// The fid.
        fid: Arc<str>,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A needle that must be held whole (a sealed chunk, a manifest) does not fit the memory of all downloads.
    #[error(
        "needle {fid}: {size} bytes must be held at once; prefetch.memory must be at least {memory} bytes for that"
    )]
    MemoryTooSmall {
        /// The fid.
        fid: Arc<str>,
        /// What must be held of it, in bytes.
        size: u64,
        /// The least [`Settings::memory`](crate::Settings) with which that can be done, in bytes.
        memory: u64,
    },
    /// All of `prefetch.memory` was taken, for longer than a read waits.
    #[error("all of prefetch.memory is taken by other downloads")]
    NoMemory,
    /// The needle was read whole, but what it holds cannot be opened.
    #[error("needle {fid}: {reason}")]
    Open {
        /// The fid.
        fid: Arc<str>,
        /// What the opener said.
        reason: Arc<str>,
    },
    /// What the bytes are decoded with could not be had.
    #[error("needle {fid}: {error}")]
    Key {
        /// The fid.
        fid: Arc<str>,
        /// Why not.
        error: DecodeError,
    },
    /// A fetch ended without a word, which only a defect of ours can cause.
    #[error("needle {0}: the fetch ended without a result")]
    Lost(Arc<str>),
}

impl FetchError {
    /// Whether the bytes are gone for good as far as the volume servers know: every replica said 404.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Exhausted { cause: Cause::NotFound, .. } | Self::NoLocation(_))
    }
}
