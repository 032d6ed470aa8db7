//! A read of one needle: which bytes, and what turns what is stored into what was written.

use std::{fmt, future::Future, ops::Range, pin::Pin, sync::Arc};

use http::HeaderValue;

use crate::{ChunkTracker, FetchError, SharedError, Tally};

/// What sealing adds to a chunk at most, in bytes: a 12-byte nonce and a 16-byte tag, and the worst case of gzip on
/// bytes that do not compress.
pub(crate) const SEAL: u64 = 4 << 10;

/// Decodes bytes. Calls follow each other without gap.
pub trait Decode: Send {
    /// Decodes bytes where they lie.
    fn apply(&mut self, bytes: &mut [u8]);

    /// Decodes `src` into `dst`; both have the same length.
    fn copy(&mut self, src: &[u8], dst: &mut [u8]);
}

/// Makes a decoder that begins anywhere in a chunk.
pub trait Transform: Send + Sync {
    /// A decoder for the chunk's bytes from `offset` (bytes from the chunk's start) on.
    fn start(&self, offset: u64) -> Start<'_>;
}

/// A decoder, which may have to be waited for.
pub enum Start<'a> {
    /// Here it is.
    Now(Box<dyn Decode>),
    /// It comes when what it decodes with is here. The wait must have an end.
    Later(DecoderFuture<'a>),
}

/// A decoder on its way.
pub type DecoderFuture<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Decode>, SharedError>> + Send + 'a>>;

/// Opens a needle that can only be read whole: one that is sealed with AES-GCM.
pub trait Opener: Send + Sync {
    /// Opens the stored bytes in place and says where among them what was sealed is now. An error says nothing of keys.
    fn open(&self, stored: &mut [u8]) -> Result<Range<usize>, SharedError>;
}

/// A byte range of one needle.
#[derive(Clone)]
pub struct NeedleRead {
    /// Which of the file's chunks it is. Reads of one plan with the same number are of one needle, and are opened and decoded
    /// alike.
    pub chunk: usize,
    /// The volume that holds the needle.
    pub volume: u32,
    /// The fid as written in a URL, `3,01637037d6`.
    pub fid: Arc<str>,
    /// The chunk's size in bytes, before any sealing or compression.
    pub size: u64,
    /// The first byte wanted, in the chunk.
    pub start: u64,
    /// One past the last byte wanted; at most `size`, more than `start`.
    pub end: u64,
    /// The chunk is stored as gzip; under the seal, where there is one.
    pub compressed: bool,
    /// Applied to the bytes that were stored; `None` leaves them as they are.
    pub transform: Option<Arc<dyn Transform>>,
    /// The needle must be fetched whole and opened first; inflating, ranges and the transform then apply to what comes out.
    pub opener: Option<Arc<dyn Opener>>,
    /// Who is asked when no server has the needle any more; `None`: then it is lost.
    pub moved: Option<Arc<dyn ChunkTracker>>,
    /// What the read is called that this is a part of, if it has a name: volume servers are told, and log lines say it.
    pub request: Option<HeaderValue>,
    /// Counts what volume servers are asked for it, if somebody wants to know.
    pub tally: Option<Arc<Tally>>,
}

impl NeedleRead {
    /// A read of all of a chunk of `size` bytes that is stored as it is.
    pub fn of(volume: u32, fid: impl Into<Arc<str>>, size: u64) -> Self {
        Self {
            chunk: 0,
            volume,
            fid: fid.into(),
            size,
            start: 0,
            end: size,
            compressed: false,
            transform: None,
            opener: None,
            moved: None,
            request: None,
            tally: None,
        }
    }

    /// The name of the whole read, for a log line.
    pub(crate) fn request(&self) -> Option<&str> {
        self.request.as_ref().and_then(|name| name.to_str().ok())
    }

    /// What decodes the bytes from `offset` (in the chunk) on; `None`: they are taken as they are. To be waited for before
    /// a request goes out, which nobody would drain meanwhile.
    pub(crate) async fn decoder(&self, offset: u64) -> Result<Option<Box<dyn Decode>>, FetchError> {
        match self.transform.as_ref().map(|transform| transform.start(offset)) {
            None => Ok(None),
            Some(Start::Now(decoder)) => Ok(Some(decoder)),
            Some(Start::Later(decoder)) => {
                let failed = |error| FetchError::Key { fid: Arc::clone(&self.fid), error };
                decoder.await.map(Some).map_err(failed)
            }
        }
    }

    /// Whether a volume server may inflate the needle on the way, whose CRC then says nothing about what it sends.
    pub(crate) fn is_gzip(&self) -> bool {
        self.compressed && self.opener.is_none()
    }

    /// Whether what is read whole goes to the client in pieces that are worked out, and not as it is held.
    pub(crate) fn comes_in_pieces(&self) -> bool {
        self.compressed || self.transform.is_some()
    }

    /// Whether the needle is fetched whole, whatever is wanted of it.
    pub(crate) fn is_read_in_full(&self) -> bool {
        self.compressed || self.opener.is_some()
    }

    /// Whether `other` is of the same chunk and can be cut out of the same needle: all chunks can if all are fetched whole.
    pub(crate) fn comes_with(&self, other: &Self, all: bool) -> bool {
        self.chunk == other.chunk && (all || self.is_read_in_full())
    }
}

impl fmt::Debug for NeedleRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}..{} of {}]", self.fid, self.start, self.end, self.size)
    }
}

/// What a server names the version of a needle that it has.
#[derive(Clone)]
pub(crate) struct NamedVersion {
    /// What it named.
    pub(crate) etag: HeaderValue,
    /// Who named it.
    pub(crate) server: Arc<str>,
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_read_is_told_by_its_name_and_its_bytes() {
        let read = NeedleRead { start: 10, end: 20, ..NeedleRead::of(3, "3,01".to_owned(), 1000) };
        assert_eq!((format!("{read:?}"), read.request()), ("3,01[10..20 of 1000]".to_owned(), None));
        let named = |name| NeedleRead { request: Some(HeaderValue::from_bytes(name).unwrap()), ..read.clone() };
        assert_eq!(named(b"ab12").request(), Some("ab12"));
        assert_eq!(named(b"\xff").request(), None, "what is no text is no name");
    }
}
