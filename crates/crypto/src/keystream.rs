//! AES-256-CTR from any byte of a stream.
//!
//! The counter is the 16-byte IV as one big-endian number; block n of the stream uses IV + n, with the carry through all
//! 128 bits. No byte before the wanted one is ever computed, but for the rest of its block.
//!
//! Why aws-lc-rs: on an EPYC with VAES, one core, 16 KiB to 1 MiB a call, it does 6.4 to 7.1 GB/s, against 3.9 to 5.2 GB/s
//! of `aes` 0.9 with `ctr` 0.10. It is given the counter of the block to begin with, works on whole blocks where they lie,
//! and of a block that is wanted in parts the keystream is kept here.

use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use zeroize::Zeroizing;

use crate::datakey::DataKey;

/// Bytes of an AES block.
const BLOCK: usize = 16;
/// What is copied before it is decrypted where it lies: as much as a first-level cache holds beside other things.
const COPIED: usize = 8 << 10;
/// CTR works on any number of bytes, and key and IV have their lengths by type.
const NEVER_FAILS: &str = "AES-256-CTR takes any input";

/// A keystream at one position, which moves on with every byte it is applied to.
///
/// Costs about half a microsecond to make. `Send`, so that it can live in a task.
pub struct Keystream {
    cipher: DecryptingKey,
    /// The counter of the next block.
    counter: u128,
    /// The keystream of the block before that one.
    block: Zeroizing<[u8; BLOCK]>,
    /// How many bytes at its end were not used yet.
    left: usize,
}

impl Keystream {
    /// The keystream of `key` and `iv`, `offset` bytes into the stream.
    pub(crate) fn new(key: &DataKey, iv: [u8; 16], offset: u64) -> Self {
        let counter = u128::from_be_bytes(iv).wrapping_add(u128::from(offset / BLOCK as u64));
        let key = UnboundCipherKey::new(&AES_256, key.bytes()).expect("AES-256 keys are 32 bytes");
        let cipher = DecryptingKey::ctr(key).expect(NEVER_FAILS);
        let mut stream = Self { cipher, counter, block: Zeroizing::new([0; BLOCK]), left: 0 };
        let before = (offset % BLOCK as u64) as usize;
        if before > 0 {
            stream.next_block();
            stream.left -= before;
        }
        stream
    }

    /// Encrypts or decrypts bytes where they lie.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let (head, rest) = bytes.split_at_mut(self.left.min(bytes.len()));
        self.apply_block(head);
        let (bulk, tail) = rest.split_at_mut(rest.len() / BLOCK * BLOCK);
        if !bulk.is_empty() {
            self.apply_bulk(bulk);
        }
        if !tail.is_empty() {
            self.next_block();
            self.apply_block(tail);
        }
    }

    /// Encrypts or decrypts `src` into `dst`.
    ///
    /// # Panics
    ///
    /// If the two differ in length.
    pub fn apply_to(&mut self, src: &[u8], dst: &mut [u8]) {
        assert_eq!(src.len(), dst.len(), "source and destination differ in length");
        for (src, dst) in src.chunks(COPIED).zip(dst.chunks_mut(COPIED)) {
            dst.copy_from_slice(src);
            self.apply(dst);
        }
    }

    /// Uses up the keystream of whole blocks.
    fn apply_bulk(&mut self, blocks: &mut [u8]) {
        let start = DecryptionContext::Iv128(self.counter.to_be_bytes().into());
        self.cipher.decrypt(blocks, start).expect(NEVER_FAILS);
        self.counter = self.counter.wrapping_add((blocks.len() / BLOCK) as u128);
    }

    /// Goes on to a block that is not wanted whole.
    fn next_block(&mut self) {
        let mut block = Zeroizing::new([0; BLOCK]);
        self.apply_bulk(block.as_mut_slice());
        self.block = block;
        self.left = BLOCK;
    }

    /// Uses up some of what is left of the block.
    fn apply_block(&mut self, bytes: &mut [u8]) {
        let pads = &self.block[BLOCK - self.left..];
        for (byte, pad) in bytes.iter_mut().zip(pads) {
            *byte ^= pad;
        }
        self.left -= bytes.len();
    }
}

#[cfg(test)]
mod tests;
