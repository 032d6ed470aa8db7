//! What a download consists of, and what it needs from those who know more.

use std::{collections::VecDeque, fmt, future::Future, ops::Range, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::HeaderValue;

use crate::{DecodeError, FetchError, Moved, whole::room};

/// Decodes bytes as they are copied out of the network's buffer.
pub trait Decode: Send {
    /// Decodes `src` into `dst`; both have the same length. Calls follow each other without gap.
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
    Later(Coming<'a>),
}

/// A decoder on its way.
pub type Coming<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Decode>, DecodeError>> + Send + 'a>>;

/// Opens a needle that can only be read whole: one that is sealed with AES-GCM.
pub trait Opener: Send + Sync {
    /// Opens the stored bytes in place and says where among them what was sealed is now. An error is a sentence without key
    /// material.
    fn open(&self, stored: &mut [u8]) -> Result<Range<usize>, String>;
}

/// A byte range of one needle.
#[derive(Clone)]
pub struct NeedleRead {
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
    /// Applied to the bytes while they are copied; `None` copies them as they are.
    pub transform: Option<Arc<dyn Transform>>,
    /// The needle must be fetched whole and opened first; inflating, ranges and the transform then apply to what comes out.
    /// Reads that share one opener (the same `Arc`) are of one chunk, and share its transform too.
    pub opener: Option<Arc<dyn Opener>>,
    /// Who is asked when no server has the needle any more; `None`: then it is lost.
    pub moved: Option<Arc<dyn Moved>>,
}

impl NeedleRead {
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
    pub(crate) fn is_whole(&self) -> bool {
        self.compressed || self.opener.is_some()
    }

    /// Whether `other` is of the same chunk and can be cut out of the same needle.
    fn comes_with(&self, other: &Self) -> bool {
        match (&self.opener, &other.opener) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (None, None) => self.compressed && other.compressed && self.fid == other.fid && self.decodes_as(other),
            _ => false,
        }
    }

    fn decodes_as(&self, other: &Self) -> bool {
        match (&self.transform, &other.transform) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (None, None) => true,
            _ => false,
        }
    }
}

impl fmt::Debug for NeedleRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}..{} of {}]", self.fid, self.start, self.end, self.size)
    }
}

/// One piece of an answer.
#[derive(Clone, Debug)]
pub enum Piece {
    /// That many zero bytes: a hole.
    Zeros(u64),
    /// Bytes that are here already.
    Inline(Bytes),
    /// Bytes of a needle.
    Needle(NeedleRead),
}

impl Piece {
    /// The length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Zeros(len) => *len,
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Needle(read) => read.end - read.start,
        }
    }

    /// Whether the piece has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a download does for a piece, or for several that come out of one chunk.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// As [`Piece::Zeros`].
    Zeros(u64),
    /// As [`Piece::Inline`].
    Inline(Bytes),
    /// As [`Piece::Needle`]. Behind the bytes of a chunk that is fetched whole come others out of the same needle.
    Needle {
        /// The chunk, and the first bytes of it.
        read: NeedleRead,
        /// What follows them.
        then: Vec<Slice>,
    },
}

impl From<Piece> for Step {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Zeros(len) => Self::Zeros(len),
            Piece::Inline(bytes) => Self::Inline(bytes),
            Piece::Needle(read) => Self::Needle { read, then: Vec::new() },
        }
    }
}

/// More of what comes with a chunk that is fetched whole.
#[derive(Clone, Debug)]
pub(crate) enum Slice {
    /// Bytes of the chunk.
    Chunk(Range<u64>),
    /// Bytes that are here already, and stand between others of the chunk.
    Inline(Bytes),
}

impl Slice {
    /// Where in the chunk it ends, if it is of the chunk.
    pub(crate) fn end(&self) -> Option<u64> {
        match self {
            Self::Chunk(range) => Some(range.end),
            Self::Inline(_) => None,
        }
    }
}

/// The bytes that slices give.
pub(crate) fn len(slices: &[Slice]) -> u64 {
    let lens = slices.iter().map(|slice| match slice {
        Slice::Chunk(range) => range.end - range.start,
        Slice::Inline(bytes) => bytes.len() as u64,
    });
    lens.sum()
}

/// The bytes that a read and what follows it give.
pub(crate) fn left(read: &NeedleRead, then: &[Slice]) -> u64 {
    read.end - read.start + len(then)
}

/// The pieces of one answer, in order and without gap.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub(crate) pieces: VecDeque<Step>,
    len: u64,
}

impl Plan {
    /// The sum of the pieces' lengths: the bytes that the download gives.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing to give.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes that are here already in front of the first others.
    pub(crate) fn text(&self) -> u64 {
        let text = self.pieces.iter().map_while(|step| match step {
            Step::Inline(bytes) => Some(bytes.len() as u64),
            Step::Zeros(_) | Step::Needle { .. } => None,
        });
        text.sum()
    }
}

impl FromIterator<Piece> for Plan {
    fn from_iter<I: IntoIterator<Item = Piece>>(pieces: I) -> Self {
        let mut plan = Self::default();
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            plan.len += piece.len();
            plan.push(piece);
        }
        plan
    }
}

impl Plan {
    /// Adds a piece. One that is cut out of the same chunk as the piece before, or the one before a few bytes, needs no
    /// step of its own, as long as all of it fits the memory that opening the chunk takes.
    fn push(&mut self, piece: Piece) {
        let Piece::Needle(next) = &piece else { return self.pieces.push_back(piece.into()) };
        let text = match self.pieces.back() {
            Some(Step::Inline(bytes)) => Some(bytes.clone()),
            _ => None,
        };
        let before = self.pieces.iter_mut().rev().nth(usize::from(text.is_some()));
        if let Some(Step::Needle { read, then }) = before
            && read.comes_with(next)
            && left(read, then) + text.as_ref().map_or(0, |text| text.len() as u64) + piece.len() <= room(read.size)
        {
            let inline = text.is_some();
            then.extend(text.map(Slice::Inline));
            then.push(Slice::Chunk(next.start..next.end));
            if inline {
                self.pieces.pop_back();
            }
            return;
        }
        self.pieces.push_back(piece.into());
    }
}

/// The servers that hold a volume, as `host:port`, without order.
pub type Locations = Arc<[Arc<str>]>;

/// A lookup on its way; an error is a sentence.
pub type Located<'a> = Pin<Box<dyn Future<Output = Result<Locations, Arc<str>>> + Send + 'a>>;

/// Tells where volumes are.
pub trait Locate: Send + Sync {
    /// The servers of a volume; from memory where possible. With `fresh`, what is remembered is thrown away first.
    fn locate(&self, volume: u32, fresh: bool) -> Located<'_>;

    /// Whether a server is to be asked only where the others fail or are slow, because it is far away.
    fn is_far(&self, authority: &str) -> bool {
        let _ = authority;
        false
    }

    /// The `Authorization` value for one request for `fid`, where the volume servers demand one. Asked for every request.
    fn authorize(&self, fid: &str) -> Option<HeaderValue> {
        let _ = fid;
        None
    }
}
