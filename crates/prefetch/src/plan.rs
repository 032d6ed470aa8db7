//! What a download consists of, and what it needs from those who know more.

use std::{collections::VecDeque, fmt, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::HeaderValue;

/// Decodes bytes as they are copied out of the network's buffer.
pub trait Decode: Send {
    /// Decodes `src` into `dst`; both have the same length. Calls follow each other without gap.
    fn copy(&mut self, src: &[u8], dst: &mut [u8]);
}

/// Makes a decoder that begins anywhere in a chunk.
pub trait Transform: Send + Sync {
    /// A decoder for the chunk's bytes from `offset` (bytes from the chunk's start) on.
    fn start(&self, offset: u64) -> Box<dyn Decode>;
}

/// Opens a needle that can only be read whole: sealed with AES-GCM, or compressed on top of that.
pub trait Opener: Send + Sync {
    /// Turns the stored bytes into the chunk's bytes. An error is a sentence without key material.
    fn open(&self, stored: Vec<u8>) -> Result<Vec<u8>, String>;
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
    /// The needle is compressed as it is stored: the server inflates it, and its CRC says nothing about what it sends.
    pub compressed: bool,
    /// Applied to the bytes while they are copied; `None` copies them as they are.
    pub transform: Option<Arc<dyn Transform>>,
    /// The needle must be fetched whole and opened first; ranges and the transform then apply to what comes out.
    pub opener: Option<Arc<dyn Opener>>,
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

/// The pieces of one answer, in order and without gap.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub(crate) pieces: VecDeque<Piece>,
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
}

impl FromIterator<Piece> for Plan {
    fn from_iter<I: IntoIterator<Item = Piece>>(pieces: I) -> Self {
        let pieces: VecDeque<_> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let len = pieces.iter().map(Piece::len).sum();
        Self { pieces, len }
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

    /// The `Authorization` value for one request for `fid`, where the volume servers demand one. Asked for every request.
    fn authorize(&self, fid: &str) -> Option<HeaderValue> {
        let _ = fid;
        None
    }
}
