//! AES-256-CTR from any byte of a stream.
//!
//! The counter is the 16-byte IV as one big-endian number; block n of the stream uses IV + n, with the carry through all
//! 128 bits. No byte before the wanted one is ever computed, but for the rest of its block.
//!
//! Why aws-lc-rs: on an EPYC with VAES, one core, 16 KiB to 1 MiB a call, it does 6.4 to 7.1 GB/s in place and copying,
//! against 3.9 to 5.2 GB/s of `aes` 0.9 with `ctr` 0.10. It has no seek and no streaming form in place, so both are made
//! here from its one-shot form (in place) and its streaming form (copying), by giving each the counter of the block it
//! starts at. Copying first and decrypting in place afterwards is no substitute for [`Keystream::apply_to`]: where source
//! and destination lie alike within their pages that fell to 2 GB/s.

use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, StreamingDecryptingKey, UnboundCipherKey};
use zeroize::Zeroizing;

use crate::datakey::DataKey;

/// Bytes of an AES block.
const BLOCK: usize = 16;
/// The streaming form counts its bytes in an `i32`.
const LONGEST_COPY: usize = 1 << 30;
/// CTR works on any number of bytes, and key and IV have their lengths by type.
const NEVER_FAILS: &str = "AES-256-CTR takes any input";

/// A keystream at one position, which moves on with every byte it is applied to.
///
/// Costs about half a microsecond to make. `Send`, so that it can live in a task.
pub struct Keystream {
    key: DataKey,
    origin: u128,
    position: u64,
    in_place: DecryptingKey,
    copying: Option<Copying>,
}

/// The streaming cipher, and the block it stands before.
struct Copying {
    cipher: StreamingDecryptingKey,
    next_block: u64,
}

impl Keystream {
    /// The keystream of `key` and `iv`, `offset` bytes into the stream.
    pub(crate) fn new(key: &DataKey, iv: [u8; 16], offset: u64) -> Self {
        let in_place = DecryptingKey::ctr(unbound(key)).expect(NEVER_FAILS);
        Self { key: key.duplicate(), origin: u128::from_be_bytes(iv), position: offset, in_place, copying: None }
    }

    /// Encrypts or decrypts in place.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let (head, rest) = bytes.split_at_mut(self.rest_of_block().min(bytes.len()));
        self.apply_within_block(head);
        if !rest.is_empty() {
            let context = self.context_at(self.block());
            self.in_place.decrypt(rest, context).expect(NEVER_FAILS);
            self.advance(rest.len());
        }
    }

    /// Encrypts or decrypts `src` into `dst`, faster than a copy and [`Keystream::apply`].
    ///
    /// # Panics
    ///
    /// If the two differ in length.
    pub fn apply_to(&mut self, src: &[u8], dst: &mut [u8]) {
        assert_eq!(src.len(), dst.len(), "source and destination differ in length");
        let head = self.rest_of_block().min(src.len());
        let bulk = head + (src.len() - head) / BLOCK * BLOCK;

        self.copy_within_block(&src[..head], &mut dst[..head]);
        for (src, dst) in src[head..bulk].chunks(LONGEST_COPY).zip(dst[head..bulk].chunks_mut(LONGEST_COPY)) {
            self.copy_blocks(src, dst);
        }
        self.copy_within_block(&src[bulk..], &mut dst[bulk..]);
    }

    /// Whole blocks, from the start of a block.
    fn copy_blocks(&mut self, src: &[u8], dst: &mut [u8]) {
        let copying = self.copying_at(self.block());
        copying.cipher.less_safe_update(src, dst).expect(NEVER_FAILS);
        copying.next_block = copying.next_block.wrapping_add((src.len() / BLOCK) as u64);
        self.advance(src.len());
    }

    fn copy_within_block(&mut self, src: &[u8], dst: &mut [u8]) {
        dst.copy_from_slice(src);
        self.apply_within_block(dst);
    }

    /// Bytes that all lie in the current block.
    fn apply_within_block(&mut self, bytes: &mut [u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut block = Zeroizing::new([0; BLOCK]);
        let context = self.context_at(self.block());
        self.in_place.decrypt(block.as_mut_slice(), context).expect(NEVER_FAILS);
        let skip = self.skip();
        for (byte, pad) in bytes.iter_mut().zip(&block[skip..]) {
            *byte ^= pad;
        }
        self.advance(bytes.len());
    }

    /// The streaming cipher, standing before `block`.
    fn copying_at(&mut self, block: u64) -> &mut Copying {
        let mut ready = self.copying.take().filter(|copying| copying.reaches(block));
        if let Some(copying) = &mut ready {
            copying.step_to(block);
        }
        let fresh = || {
            let cipher = StreamingDecryptingKey::ctr(unbound(&self.key), self.context_at(block));
            Copying { cipher: cipher.expect(NEVER_FAILS), next_block: block }
        };
        let ready = ready.unwrap_or_else(fresh);
        self.copying.insert(ready)
    }

    fn context_at(&self, block: u64) -> DecryptionContext {
        DecryptionContext::Iv128(self.origin.wrapping_add(u128::from(block)).to_be_bytes().into())
    }

    fn advance(&mut self, bytes: usize) {
        self.position = self.position.wrapping_add(bytes as u64);
    }

    fn block(&self) -> u64 {
        self.position / BLOCK as u64
    }

    /// Bytes of the current block that lie behind.
    fn skip(&self) -> usize {
        (self.position % BLOCK as u64) as usize
    }

    /// Bytes to the next block, 0 at the start of one.
    fn rest_of_block(&self) -> usize {
        (BLOCK - self.skip()) % BLOCK
    }
}

impl Copying {
    /// Whether it stands before `block` or the one in front of it, as it does after a piece that ended within a block.
    fn reaches(&self, block: u64) -> bool {
        self.next_block == block || self.next_block.wrapping_add(1) == block
    }

    /// Passes over a block that was decrypted in place.
    fn step_to(&mut self, block: u64) {
        if self.next_block != block {
            let mut skipped = Zeroizing::new([0; BLOCK]);
            self.cipher.less_safe_update(&[0; BLOCK], skipped.as_mut_slice()).expect(NEVER_FAILS);
            self.next_block = block;
        }
    }
}

fn unbound(key: &DataKey) -> UnboundCipherKey {
    UnboundCipherKey::new(&AES_256, key.bytes()).expect("AES-256 keys are 32 bytes")
}

#[cfg(test)]
mod tests;
