//! Why bytes could not be had: the cause of one failed attempt, and the error of a fetch that no replica could mend.

use std::{io, ops::Range, sync::Arc};

use crate::{
    content_range::ContentRangeError,
    outcome::Outcome,
    servers::Flaw,
    sources::{SharedError, chain},
};

/// Why one attempt at one replica failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Cause {
    /// No connection, or it broke before the answer began.
    #[error("cannot be reached: {}", chain(.0))]
    Connect(#[source] SharedError),
    /// No first byte, or no next byte, within the timeout.
    #[error("no bytes within the timeout")]
    Timeout,
    /// 404: this replica does not hold the needle, or holds it under another cookie.
    #[error("does not have the needle (404)")]
    NotFound,
    /// 301 and the like: it does not hold the volume, and names a server that does (`-readMode=redirect`; `proxyReqToTargetServer` in
    /// `weed/server/volume_server_handlers_read.go` @4.48). The master is asked, not the one that is named.
    #[error("does not have the volume any more (status {0})")]
    Elsewhere(u16),
    /// 429, 499 or 503: the server wants to be left alone for a moment.
    #[error("is over its limits (status {0})")]
    Busy(u16),
    /// 401: it did not accept the token of this request.
    #[error("did not accept the read token (401)")]
    Unauthorized,
    /// Any other status that is not the expected 200 or 206.
    #[error("answered status {0}")]
    Status(u16),
    /// The body broke off with an error.
    #[error("broke off inside the body: {}", chain(.0))]
    Broken(#[source] Arc<io::Error>),
    /// Content-Length, Content-Range or the number of body bytes is not what was asked for.
    #[error("answered another length or range than asked for: {0}")]
    Length(#[source] LengthError),
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
            Self::NotFound | Self::Elsewhere(_) => "not_found",
            Self::Busy(_) => "busy",
            Self::Unauthorized => "unauthorized",
            Self::Status(_) => "status",
            Self::Broken(_) => "broken",
            Self::Length(_) | Self::Changed => "length",
            Self::Corrupt => "corrupt",
        }
    }

    /// What it says about the server: a 404, a redirect, a 401 or another needle is about a needle or a token, not about the server.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::NotFound | Self::Elsewhere(_) | Self::Unauthorized | Self::Changed => Outcome::OfNeedle,
            Self::Busy(_) => Outcome::Busy,
            Self::Connect(_) | Self::Timeout | Self::Status(_) | Self::Broken(_) | Self::Length(_) | Self::Corrupt => {
                Outcome::Failed
            }
        }
    }

    /// What it says about the needle at that server. A server answers 500 where it cannot read a needle soundly itself.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        match self {
            Self::NotFound | Self::Elsewhere(_) => Some(Flaw::Missing),
            Self::Corrupt | Self::Length(_) | Self::Status(500) => Some(Flaw::Unsound),
            _ => None,
        }
    }

    /// Whether the server is not there, or went away in the middle: it may be restarting.
    pub(crate) fn is_of_the_moment(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Broken(_))
    }
}

/// How many bytes an answer has, or says to have, beside what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LengthError {
    /// What it says of its range says nothing that can be true.
    #[error(transparent)]
    ContentRange(#[from] ContentRangeError),
    /// It has another range.
    #[error("bytes {given:?} of {of} instead of {wanted:?} of {size}")]
    Range {
        /// The bytes that it has.
        given: Range<u64>,
        /// What they are a part of, in bytes.
        of: u64,
        /// The bytes that were asked for.
        wanted: Range<u64>,
        /// The size of the needle.
        size: u64,
    },
    /// Its `Content-Length` is another.
    #[error("Content-Length {given} instead of {wanted}")]
    ContentLength {
        /// What it says.
        given: u64,
        /// What was asked for.
        wanted: u64,
    },
    /// It ended so many bytes before what it announced.
    #[error("ended {0} bytes early")]
    Early(u64),
    /// It went on behind what it announced.
    #[error("sent more bytes than announced")]
    Late,
    /// It announced nothing, and is longer than what was asked for.
    #[error("more bytes than {0}")]
    More(u64),
    /// It has another number of bytes than it announced.
    #[error("{given} bytes instead of {announced}")]
    Announced {
        /// The bytes that came.
        given: usize,
        /// Those that it announced.
        announced: u64,
    },
}

/// Why what a needle holds is not the chunk.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ContentError {
    /// It is sealed, and does not open.
    #[error(transparent)]
    Sealed(SharedError),
    /// It is compressed as older filers did it.
    #[error("compressed with zstd, which is not supported")]
    Zstd,
    /// It is to be compressed, and is no gzip.
    #[error("compressed in another way than gzip, which is not supported")]
    NotGzip,
    /// The gzip is broken.
    #[error("gzip: {0}")]
    Gzip(#[source] Arc<io::Error>),
    /// The gzip has so many bytes of text, and more were asked for.
    #[error("inflates to {0} bytes only")]
    EndsEarly(u64),
    /// The chunk is to be longer.
    #[error("opens to {found} bytes instead of {expected}")]
    Length {
        /// The bytes that there are.
        found: u64,
        /// The bytes that the entry says.
        expected: u64,
    },
    /// A server says no length of what it stores, or sends more than it said.
    #[error("its length is not said")]
    Unmeasured,
    /// A server sent more of the text than it was asked for.
    #[error("more bytes came than were asked for")]
    TooMany,
}

/// Why a piece could not be fetched, after all replicas were tried. The fault is the volume servers' (or, for
/// [`FetchError::Locate`] and [`FetchError::Unlocated`], the filer's); a message names the fid and the server, never a key.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The locations of the volume could not be looked up.
    #[error("volume {volume} cannot be located: {reason}")]
    Locate {
        /// The volume id.
        volume: u32,
        /// What the lookup said.
        #[source]
        reason: SharedError,
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
        #[source]
        cause: Cause,
    },
    /// The same of every replica that was known; the filer did not tell whether there are others by now.
    #[error("needle {fid}: volume server {server} {cause}; where else its volume is cannot be looked up: {reason}")]
    Unlocated {
        /// The fid, as in the URL.
        fid: Arc<str>,
        /// The server that was tried last.
        server: Arc<str>,
        /// What it did.
        cause: Cause,
        /// What the lookup said.
        #[source]
        reason: SharedError,
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
    /// The needle was read whole, but what it holds is not the chunk.
    #[error("needle {fid}: {reason}")]
    Open {
        /// The fid.
        fid: Arc<str>,
        /// Why not.
        #[source]
        reason: ContentError,
    },
    /// What the bytes are decoded with could not be had.
    #[error("needle {fid}: {error}")]
    Key {
        /// The fid.
        fid: Arc<str>,
        /// Why not.
        #[source]
        error: SharedError,
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

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use std::error::Error;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no way there")]
    struct NoWay(#[source] io::Error);

    fn sources(error: &FetchError) -> Vec<String> {
        let (mut said, mut source) = (Vec::new(), error.source());
        while let Some(error) = source {
            said.push(error.to_string());
            source = error.source();
        }
        said
    }

    #[test]
    fn the_sentence_has_all_causes_once_and_the_error_keeps_each_of_them() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let said = refused.to_string();
        let cause = Cause::Connect(Arc::new(NoWay(refused)));
        let error = FetchError::Exhausted { fid: "3,01".into(), server: "a:1".into(), cause };
        let sentence = format!("cannot be reached: no way there: {said}");
        assert_eq!(error.to_string(), format!("needle 3,01: volume server a:1 {sentence}"));
        assert_eq!(sources(&error), [&sentence, "no way there", &said]);
    }

    #[test]
    fn what_is_wrong_with_a_length_is_a_cause_of_its_own() {
        let cause = Cause::Length(ContentRangeError::Beyond.into());
        let error = FetchError::Exhausted { fid: "3,01".into(), server: "a:1".into(), cause };
        let source = error.source().and_then(Error::source).and_then(|source| source.downcast_ref());
        assert_eq!(source, Some(&LengthError::ContentRange(ContentRangeError::Beyond)));
    }

    #[test]
    fn what_a_server_gives_of_a_needle_speaks_against_that_needle_there_and_what_keeps_it_from_giving_does_not() {
        let broken = || Arc::new(io::Error::from(io::ErrorKind::ConnectionReset));
        let length = Cause::Length(LengthError::More(9));
        for unsound in [Cause::Corrupt, length, Cause::Status(500)] {
            assert_eq!(unsound.flaw(), Some(Flaw::Unsound), "{unsound}");
        }
        for missing in [Cause::NotFound, Cause::Elsewhere(301)] {
            assert_eq!((missing.flaw(), missing.outcome()), (Some(Flaw::Missing), Outcome::OfNeedle), "{missing}");
        }
        for other in [Cause::Status(502), Cause::Timeout, Cause::Unauthorized, Cause::Broken(broken())] {
            assert_eq!(other.flaw(), None, "{other}");
        }
    }
}
