//! What a needle that was read whole holds, and how ranges of the chunk come out of it.
//!
//! Knows gzip. A chunk is inflated front to back and never held whole: of the text only what is asked for is kept.

use std::{
    io::{self, Cursor, Read},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

use crate::{ContentError, Decode, budget::Buffer};

/// The first bytes of gzip, and of the other compression that SeaweedFS has known (`weed/util/compression.go` @4.48).
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Bytes that are inflated at most in one go, where none of them are wanted.
const STRIDE: usize = 4 << 20;

/// The bytes of a needle after any opening, with the memory that they take.
#[derive(Clone)]
pub(super) struct NeedleBytes {
    memory: Arc<Buffer>,
    /// Where in the buffer they are.
    place: Range<usize>,
}

impl NeedleBytes {
    pub(super) fn new(memory: Buffer, place: Range<usize>) -> Self {
        Self { memory: Arc::new(memory), place }
    }

    fn bytes(&self) -> &[u8] {
        &(*self.memory).as_ref()[self.place.clone()]
    }
}

impl AsRef<[u8]> for NeedleBytes {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

/// The chunk, as it can be read from.
pub(super) enum Content {
    /// The bytes themselves.
    Raw(NeedleBytes),
    /// The bytes under gzip.
    Gzip(Box<Inflater>),
}

/// Gzip on its way to text.
pub(super) struct Inflater {
    needle: NeedleBytes,
    decoder: MultiGzDecoder<Cursor<NeedleBytes>>,
    /// Bytes of text that came out so far.
    position: u64,
}

impl Content {
    /// Bytes that are the chunk, or hold it `compressed`.
    ///
    /// # Errors
    /// When it is compressed in a way that is not known.
    pub(super) fn new(needle: NeedleBytes, compressed: bool) -> Result<Self, ContentError> {
        if !compressed {
            return Ok(Self::Raw(needle));
        }
        if needle.bytes().starts_with(&ZSTD) {
            return Err(ContentError::Zstd);
        }
        if !needle.bytes().starts_with(&GZIP) {
            return Err(ContentError::NotGzip);
        }
        Ok(Self::Gzip(Box::new(Inflater::new(needle))))
    }

    /// Bytes that the chunk has, where that is known beforehand.
    pub(super) fn len(&self) -> Option<u64> {
        match self {
            Self::Raw(needle) => Some(needle.place.len() as u64),
            Self::Gzip(_) => None,
        }
    }

    /// All of it, where that takes no work.
    pub(super) fn at_hand(&self) -> Option<Bytes> {
        match self {
            Self::Raw(needle) => Some(Bytes::from_owner(needle.clone())),
            Self::Gzip(_) => None,
        }
    }

    /// What it comes out of.
    pub(super) fn needle(&self) -> &NeedleBytes {
        match self {
            Self::Raw(needle) => needle,
            Self::Gzip(inflater) => &inflater.needle,
        }
    }

    /// Whether bytes from `start` on can be written now. `false`: more is to be passed over first, another call of this.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(super) fn reach(&mut self, start: u64) -> Result<bool, ContentError> {
        match self {
            Self::Raw(_) => Ok(true),
            Self::Gzip(inflater) => inflater.reach(start),
        }
    }

    /// Writes the chunk's bytes from `start` on, which was reached, by way of `decoder`, which begins there.
    ///
    /// # Errors
    /// When it is no gzip, or ends too soon.
    pub(super) fn write(
        &mut self,
        start: u64,
        to: &mut [u8],
        decoder: Option<&mut dyn Decode>,
    ) -> Result<(), ContentError> {
        match (self, decoder) {
            (Self::Raw(needle), decoder) => {
                let from = &needle.bytes()[start as usize..][..to.len()];
                match decoder {
                    Some(decoder) => decoder.copy(from, to),
                    None => to.copy_from_slice(from),
                }
            }
            (Self::Gzip(inflater), None) => inflater.read(to)?,
            (Self::Gzip(inflater), Some(decoder)) => {
                for to in to.chunks_mut(16 << 10) {
                    inflater.read(to)?;
                    decoder.apply(to);
                }
            }
        }
        Ok(())
    }

    /// Checks what stands behind the text, if all of it was read and `size` is where it ends. A file that was cut short in
    /// place has more text than it has bytes: then nothing is to be checked.
    ///
    /// # Errors
    /// When the text does not match its checksum.
    pub(super) fn check_end(&mut self, size: u64) -> Result<(), ContentError> {
        match self {
            Self::Gzip(inflater) if inflater.position == size => {
                inflater.decoder.read(&mut [0]).map(drop).map_err(gzip)
            }
            _ => Ok(()),
        }
    }
}

impl Inflater {
    fn new(needle: NeedleBytes) -> Self {
        let decoder = MultiGzDecoder::new(Cursor::new(needle.clone()));
        Self { needle, decoder, position: 0 }
    }

    fn reach(&mut self, start: u64) -> Result<bool, ContentError> {
        if start < self.position {
            *self = Self::new(self.needle.clone());
        }
        let over = (start - self.position).min(STRIDE as u64);
        let mut left = over as usize;
        let mut text = [0; 16 << 10];
        while left > 0 {
            let text = &mut text[..left.min(16 << 10)];
            self.read(text)?;
            left -= text.len();
        }
        Ok(self.position == start)
    }

    fn read(&mut self, to: &mut [u8]) -> Result<(), ContentError> {
        let mut done = 0;
        while done < to.len() {
            match self.decoder.read(&mut to[done..]).map_err(gzip)? {
                0 => return Err(ContentError::EndsEarly(self.position)),
                bytes => {
                    done += bytes;
                    self.position += bytes as u64;
                }
            }
        }
        Ok(())
    }
}

fn gzip(error: io::Error) -> ContentError {
    ContentError::Gzip(Arc::new(error))
}
