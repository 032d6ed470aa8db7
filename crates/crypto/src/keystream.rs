//! AES-256-CTR from any byte of a stream.
//!
//! The counter is the 16-byte IV as one big-endian number; block n of the stream uses IV + n, with the carry through all
//! 128 bits. No byte before the wanted one is ever computed, but for the rest of its block.
//!
//! The cipher is given the counter of the block to begin with and works on whole blocks; of a block that is wanted in parts
//! the keystream is kept here. On processors that have VAES it is ours (`vaes`), on all others that of aws-lc.

#[cfg(target_arch = "x86_64")]
mod vaes;

use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use zeroize::Zeroizing;

use crate::datakey::DataKey;

/// Bytes of an AES block.
const BLOCK: usize = 16;
/// What is copied before it is decrypted where it lies: as much as a first-level cache holds beside other things.
const COPIED: usize = 8 << 10;
/// CTR works on any number of bytes, and key and IV have their lengths by type.
const NEVER_FAILS: &str = "AES-256-CTR takes any input";

/// A key that is made ready.
enum Cipher {
    #[cfg(target_arch = "x86_64")]
    Vaes(vaes::Vaes),
    AwsLc(Box<DecryptingKey>),
}

impl Cipher {
    fn new(key: &DataKey) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(vaes) = vaes::Vaes::new(key.bytes()) {
            return Self::Vaes(vaes);
        }
        Self::of_aws_lc(key)
    }

    fn of_aws_lc(key: &DataKey) -> Self {
        let key = UnboundCipherKey::new(&AES_256, key.bytes()).expect("AES-256 keys are 32 bytes");
        Self::AwsLc(Box::new(DecryptingKey::ctr(key).expect(NEVER_FAILS)))
    }

    /// Encrypts or decrypts whole blocks where they lie, the first with `counter`.
    fn apply(&self, counter: u128, blocks: &mut [u8]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vaes(vaes) => vaes.apply(counter, blocks),
            Self::AwsLc(key) => {
                let start = DecryptionContext::Iv128(counter.to_be_bytes().into());
                key.decrypt(blocks, start).expect(NEVER_FAILS);
            }
        }
    }

    /// The same from `src` into `dst`, which are equally long.
    fn apply_to(&self, counter: u128, src: &[u8], dst: &mut [u8]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vaes(vaes) => vaes.apply_to(counter, src, dst),
            Self::AwsLc(_) => {
                let pieces = src.chunks(COPIED).zip(dst.chunks_mut(COPIED));
                for (at, (src, dst)) in pieces.enumerate() {
                    dst.copy_from_slice(src);
                    self.apply(counter.wrapping_add((at * COPIED / BLOCK) as u128), dst);
                }
            }
        }
    }
}

/// A keystream at one position, which moves on with every byte it is applied to.
///
/// Costs about half a microsecond to make. `Send`, so that it can live in a task.
pub struct Keystream {
    cipher: Cipher,
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
        Self::of(Cipher::new(key), iv, offset)
    }

    fn of(cipher: Cipher, iv: [u8; 16], offset: u64) -> Self {
        let counter = u128::from_be_bytes(iv).wrapping_add(u128::from(offset / BLOCK as u64));
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
            self.cipher.apply(self.counter, bulk);
            self.went_on(bulk.len());
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
        // What is no whole block, at either end, is little.
        let head = self.left.min(src.len());
        let bulk = head..head + (src.len() - head) / BLOCK * BLOCK;
        dst[..head].copy_from_slice(&src[..head]);
        self.apply_block(&mut dst[..head]);
        if !bulk.is_empty() {
            self.cipher.apply_to(self.counter, &src[bulk.clone()], &mut dst[bulk.clone()]);
            self.went_on(bulk.len());
        }
        if bulk.end < src.len() {
            dst[bulk.end..].copy_from_slice(&src[bulk.end..]);
            self.next_block();
            self.apply_block(&mut dst[bulk.end..]);
        }
    }

    /// The keystream of so many bytes, whole blocks, is used up.
    fn went_on(&mut self, bytes: usize) {
        self.counter = self.counter.wrapping_add((bytes / BLOCK) as u128);
    }

    /// Goes on to a block that is not wanted whole.
    fn next_block(&mut self) {
        self.block.fill(0);
        self.cipher.apply(self.counter, self.block.as_mut_slice());
        self.went_on(BLOCK);
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
