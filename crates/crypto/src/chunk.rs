//! Chunks encrypted as a whole (`FileChunk.cipher_key`), the layer below compression and SSE.
//!
//! AES-256-GCM over the whole chunk without associated data: 12 bytes of nonce, the ciphertext, 16 bytes of tag. Source:
//! `weed/util/cipher.go` @4.48. aws-lc-rs opens several times as much in a second as aes-gcm (docs/performance.md), hence it and
//! not the crate that unwraps keys.

use std::ops::Range;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroize;

/// Bytes of nonce before the ciphertext.
pub const CHUNK_NONCE_LEN: usize = 12;
/// Bytes of tag after the ciphertext.
pub const CHUNK_TAG_LEN: usize = 16;

/// Why a whole-chunk cipher could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The entry's `cipher_key` is not an AES-256 key.
    #[error("cipher_key: {found} bytes instead of 32")]
    KeyLength {
        /// Its length in bytes.
        found: usize,
    },
    /// Fewer bytes than nonce and tag take.
    #[error("the stored chunk is {found} bytes, too short for a nonce and a tag")]
    TooShort {
        /// The chunk's stored length in bytes.
        found: usize,
    },
    /// The tag does not match: corrupt bytes, or another chunk's key.
    #[error("the stored chunk does not match its tag")]
    Tag,
}

/// Opens a whole stored chunk in place and says where in `stored` the plaintext is.
///
/// All bytes of the chunk must be there. If the tag does not match, `stored` is wiped, so that no unchecked byte can get
/// out.
pub fn open_chunk(cipher_key: &[u8], stored: &mut [u8]) -> Result<Range<usize>, ChunkError> {
    let found = stored.len();
    let too_short = ChunkError::TooShort { found };
    let end = found.checked_sub(CHUNK_TAG_LEN).filter(|end| *end >= CHUNK_NONCE_LEN).ok_or(too_short)?;
    let wrong_key = |_| ChunkError::KeyLength { found: cipher_key.len() };
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, cipher_key).map_err(wrong_key)?);

    let (nonce, sealed) = stored.split_at_mut(CHUNK_NONCE_LEN);
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| too_short)?;
    let opened = key.open_in_place(nonce, Aad::empty(), sealed).is_ok();
    if !opened {
        stored.zeroize();
        return Err(ChunkError::Tag);
    }
    Ok(CHUNK_NONCE_LEN..end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // "attack at dawn" under the key 0x00..0x1f and the nonce 0x00..0x0b, by Python's `cryptography`.
    const STORED: &str = "000102030405060708090a0b2676a27aa68ee27af961f3eac6874a645e8e20a54e0ea3a3e272247f1284";

    fn key() -> Vec<u8> {
        (0..32).collect()
    }

    #[test]
    fn opens_a_chunk_in_place() {
        let mut stored = hex::decode(STORED).unwrap();
        let plain = open_chunk(&key(), &mut stored).unwrap();
        assert_eq!(&stored[plain], b"attack at dawn");
    }

    #[test]
    fn one_changed_bit_is_refused_and_nothing_is_left() {
        for bit in 0..STORED.len() * 4 {
            let mut stored = hex::decode(STORED).unwrap();
            stored[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open_chunk(&key(), &mut stored), Err(ChunkError::Tag), "bit {bit}");
            assert!(stored.iter().all(|byte| *byte == 0), "bit {bit}");
        }
    }

    #[test]
    fn lengths_are_checked() {
        let mut stored = hex::decode(STORED).unwrap();
        assert_eq!(open_chunk(&[0; 16], &mut stored), Err(ChunkError::KeyLength { found: 16 }));
        assert_eq!(open_chunk(&key(), &mut [0; 27]), Err(ChunkError::TooShort { found: 27 }));
        assert_eq!(open_chunk(&key(), &mut []), Err(ChunkError::TooShort { found: 0 }));
        assert_eq!(open_chunk(&key(), &mut [0; 28]), Err(ChunkError::Tag));
    }

    proptest! {
        #[test]
        fn no_bytes_open_by_chance(mut stored in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(open_chunk(&key(), &mut stored).is_err());
        }
    }
}
