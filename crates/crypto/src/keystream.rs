//! AES-256-CTR from any byte of a stream.
//!
//! The counter is the 16-byte IV as one big-endian number; block n of the stream uses IV + n, with the carry through all
//! 128 bits. No byte before the wanted one is ever computed, but for the rest of its block.
//!
//! Why aws-lc-rs: on an EPYC with VAES, one core, 16 KiB to 1 MiB a call, it does 6.4 to 7.1 GB/s, against 3.9 to 5.2 GB/s
//! of `aes` 0.9 with `ctr` 0.10. Its streaming form has no seek, and writes whole blocks only. So it is given the counter of the block it
//! starts in, and of a block that is wanted in parts the keystream is kept here. Copying first and decrypting in place
//! afterwards is no substitute for [`Keystream::apply_to`]: where source and destination lie alike within their pages that
//! fell to 2 GB/s.

use aws_lc_rs::cipher::{AES_256, DecryptionContext, StreamingDecryptingKey, UnboundCipherKey};
use zeroize::Zeroizing;

use crate::datakey::DataKey;

/// Bytes of an AES block.
const BLOCK: usize = 16;
/// The cipher counts its bytes in an `i32`.
const LONGEST: usize = 1 << 30;
/// CTR works on any number of bytes, and key and IV have their lengths by type.
const NEVER_FAILS: &str = "AES-256-CTR takes any input";

/// A keystream at one position, which moves on with every byte it is applied to.
///
/// Costs about half a microsecond to make. `Send`, so that it can live in a task.
pub struct Keystream {
    /// Stands at the start of a block.
    cipher: StreamingDecryptingKey,
    /// The keystream of the block before that one.
    block: Zeroizing<[u8; BLOCK]>,
    /// How many bytes at its end were not used yet.
    left: usize,
}

impl Keystream {
    /// The keystream of `key` and `iv`, `offset` bytes into the stream.
    pub(crate) fn new(key: &DataKey, iv: [u8; 16], offset: u64) -> Self {
        let counter = u128::from_be_bytes(iv).wrapping_add(u128::from(offset / BLOCK as u64));
        let start = DecryptionContext::Iv128(counter.to_be_bytes().into());
        let key = UnboundCipherKey::new(&AES_256, key.bytes()).expect("AES-256 keys are 32 bytes");
        let cipher = StreamingDecryptingKey::ctr(key, start).expect(NEVER_FAILS);
        let mut stream = Self { cipher, block: Zeroizing::new([0; BLOCK]), left: 0 };
        let before = (offset % BLOCK as u64) as usize;
        if before > 0 {
            stream.next_block();
            stream.left -= before;
        }
        stream
    }

    /// Encrypts or decrypts `src` into `dst`, faster than a copy and a decryption in place.
    ///
    /// # Panics
    ///
    /// If the two differ in length.
    pub fn apply_to(&mut self, src: &[u8], dst: &mut [u8]) {
        assert_eq!(src.len(), dst.len(), "source and destination differ in length");
        let head = self.left.min(src.len());
        let bulk = head + (src.len() - head) / BLOCK * BLOCK;

        self.apply_block(&src[..head], &mut dst[..head]);
        for (src, dst) in src[head..bulk].chunks(LONGEST).zip(dst[head..bulk].chunks_mut(LONGEST)) {
            self.cipher.less_safe_update(src, dst).expect(NEVER_FAILS);
        }
        if bulk < src.len() {
            self.next_block();
            self.apply_block(&src[bulk..], &mut dst[bulk..]);
        }
    }

    /// Goes on to a block that is not wanted whole.
    fn next_block(&mut self) {
        self.cipher.less_safe_update(&[0; BLOCK], self.block.as_mut_slice()).expect(NEVER_FAILS);
        self.left = BLOCK;
    }

    /// Uses up some of what is left of the block.
    fn apply_block(&mut self, src: &[u8], dst: &mut [u8]) {
        let pads = &self.block[BLOCK - self.left..];
        for ((src, dst), pad) in src.iter().zip(dst).zip(pads) {
            *dst = src ^ pad;
        }
        self.left -= src.len();
    }
}

#[cfg(test)]
mod tests;
