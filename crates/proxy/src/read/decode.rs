//! The bridge between the two crates that do not know each other: a keystream as a transform, a sealed chunk as an opener.

use std::{
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

use crypto::{ChunkError, Decryption, KeyStart, Keystream, Layout, VerifiedKey, open_chunk};
use http::StatusCode;
use prefetch::{Decode, Opener, SharedError, Start, Transform};
use zeroize::Zeroizing;

use crate::{Blame, Error, Result};

/// Decrypts a chunk with AES-CTR from any byte on.
pub(super) struct Decrypt(Decryption);

impl Decrypt {
    /// Decrypts the bytes whose keystream starts at `start` of the layout.
    ///
    /// # Errors
    /// When the key is not theirs.
    pub(super) fn new(layout: &Layout, start: KeyStart, key: &VerifiedKey) -> Result<Self> {
        layout.decryption(start, key).map(Self).map_err(|error| {
            let message = format!("{error}; this is a defect of tidegate");
            Error::new(Blame::Config, StatusCode::INTERNAL_SERVER_ERROR, message).caused_by(error)
        })
    }

    /// What decrypts the chunk's bytes from `offset` on.
    pub(super) fn from(&self, offset: u64) -> Box<dyn Decode> {
        Box::new(KeystreamDecoder(self.0.keystream(offset)))
    }
}

impl Transform for Decrypt {
    fn start(&self, offset: u64) -> Start<'_> {
        Start::Now(self.from(offset))
    }
}

struct KeystreamDecoder(Keystream);

impl Decode for KeystreamDecoder {
    fn apply(&mut self, bytes: &mut [u8]) {
        self.0.apply(bytes);
    }

    fn copy(&mut self, src: &[u8], dst: &mut [u8]) {
        self.0.apply_to(src, dst);
    }
}

/// Opens a chunk that is sealed whole (`cipher_key`).
pub(crate) struct OpenSealed {
    cipher_key: Zeroizing<Vec<u8>>,
}

impl OpenSealed {
    pub(super) fn new(cipher_key: &[u8]) -> Self {
        Self { cipher_key: Zeroizing::new(cipher_key.to_vec()) }
    }
}

impl Opener for OpenSealed {
    fn open(&self, stored: &mut [u8]) -> Result<Range<usize>, SharedError> {
        open_chunk(&self.cipher_key, stored).map_err(|error| Arc::new(error) as SharedError)
    }
}

/// The first two bytes of gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why a sealed needle is not what it should hold.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealedError {
    #[error(transparent)]
    Sealed(#[from] ChunkError),
    #[error("compressed in another way than gzip, which is not supported")]
    NotGzip,
    #[error("gzip: {0}")]
    Gzip(#[source] io::Error),
    #[error("inflates to more than {0} bytes")]
    TooLong(u64),
}

/// Opens a sealed needle whose size is not known beforehand, only that it is `limit` bytes at most.
pub(super) fn open_sealed(
    cipher_key: &[u8],
    compressed: bool,
    mut stored: Vec<u8>,
    limit: u64,
) -> Result<Vec<u8>, SealedError> {
    let plain = open_chunk(cipher_key, &mut stored)?;
    stored.truncate(plain.end);
    stored.drain(..plain.start);
    if !compressed {
        return Ok(stored);
    }
    if !stored.starts_with(&GZIP) {
        return Err(SealedError::NotGzip);
    }
    inflate(&stored, limit)
}

/// Inflates to `limit` bytes at most; one more is an error, so that no bomb goes off.
fn inflate(gzip: &[u8], limit: u64) -> Result<Vec<u8>, SealedError> {
    // All of it at once: a growing vector would take more than was reserved.
    let mut plain = Vec::with_capacity(usize::try_from(limit + 1).unwrap_or(0));
    flate2::read::GzDecoder::new(gzip).take(limit + 1).read_to_end(&mut plain).map_err(SealedError::Gzip)?;
    if plain.len() as u64 > limit {
        return Err(SealedError::TooLong(limit));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    // "attack at dawn" under the key 0x00..0x1f and the nonce 0x00..0x0b.
    const SEALED: &str = "000102030405060708090a0b2676a27aa68ee27af961f3eac6874a645e8e20a54e0ea3a3e272247f1284";

    #[test]
    fn opens_and_refuses_a_sealed_chunk() {
        let key: Vec<u8> = (0..32).collect();
        let opener = OpenSealed::new(&key);
        let mut stored = hex::decode(SEALED).unwrap();
        let place = opener.open(&mut stored).unwrap();
        assert_eq!(&stored[place], b"attack at dawn");
        assert_eq!(opener.open(&mut [0; 40]).unwrap_err().downcast_ref(), Some(&ChunkError::Tag));
        let manifest = |compressed, limit| open_sealed(&key, compressed, hex::decode(SEALED).unwrap(), limit);
        assert_eq!(manifest(false, 14).unwrap(), b"attack at dawn");
        assert!(matches!(manifest(true, 14), Err(SealedError::NotGzip)));
    }

    #[test]
    fn inflates_to_the_size_and_no_further() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&[7; 1000]).unwrap();
        let gzip = encoder.finish().unwrap();
        assert_eq!(inflate(&gzip, 1000).unwrap(), [7; 1000]);
        assert!(matches!(inflate(&gzip, 999), Err(SealedError::TooLong(999))));
        assert!(matches!(inflate(&gzip[..10], 1000), Err(SealedError::Gzip(_))));
    }
}
