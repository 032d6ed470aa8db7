//! AES-256-CTR on processors that encrypt several blocks with one instruction (VAES, with AVX2 or AVX-512).
//!
//! Why it is tidegate's own: aws-lc's CTR encrypts one block with an instruction, and `aes` with `ctr`, which has VAES,
//! makes its counters one by one. Here eight registers of four blocks (or two) are on their way at once, counters and all,
//! which takes a third of the time; `docs/performance.md` has the figures. All that is unsafe in this crate is in this file.
//!
//! AES and its key schedule are those of FIPS 197, by the instructions that implement their rounds.

#![allow(unsafe_code, reason = "instructions that not every processor has, and unaligned loads and stores")]

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_aeskeygenassist_si128, _mm_loadu_si128, _mm_set_epi64x, _mm_shuffle_epi32,
    _mm_slli_si128, _mm_storeu_si128, _mm_xor_si128, _mm256_add_epi64, _mm256_aesenc_epi128, _mm256_aesenclast_epi128,
    _mm256_broadcastsi128_si256, _mm256_castsi256_si128, _mm256_loadu_si256, _mm256_set_epi64x, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_storeu_si256, _mm256_xor_si256, _mm512_add_epi64, _mm512_aesenc_epi128,
    _mm512_aesenclast_epi128, _mm512_broadcast_i32x4, _mm512_loadu_si512, _mm512_mask_storeu_epi64,
    _mm512_maskz_loadu_epi64, _mm512_set_epi64, _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_storeu_si512,
    _mm512_xor_si512,
};

use zeroize::Zeroizing;

/// Bytes of an AES block.
const BLOCK: usize = 16;
/// Rounds of AES-256, and the key before the first.
const KEYS: usize = 15;
/// Registers that are on their way at once: as many as hide how long an instruction takes.
const AT_ONCE: usize = 8;

/// The round keys, zeroized on drop. Boxed, so that moving them leaves no copies.
type Schedule = Box<Zeroizing<[__m128i; KEYS]>>;

/// How wide the registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    /// Two blocks, with AVX2.
    Two,
    /// Four, with AVX-512.
    Four,
}

impl Width {
    /// The widest that this processor has.
    fn widest() -> Option<Self> {
        [Self::Four, Self::Two].into_iter().find(|width| width.is_here())
    }

    fn is_here(self) -> bool {
        let has_aes = is_x86_feature_detected!("aes") && is_x86_feature_detected!("vaes");
        has_aes
            && match self {
                Self::Two => is_x86_feature_detected!("avx2"),
                Self::Four => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw"),
            }
    }
}

/// A key that is made ready.
pub(super) struct Vaes {
    keys: Schedule,
    /// One that the processor has.
    width: Width,
}

impl Vaes {
    /// `None`: this processor has no such instructions.
    pub(super) fn new(key: &[u8; 32]) -> Option<Self> {
        Width::widest().map(|width| Self::of(key, width))
    }

    /// With registers of a width that the processor has.
    fn of(key: &[u8; 32], width: Width) -> Self {
        // SAFETY: all bits of it may be anything, and zeros are.
        let mut keys = Box::new(Zeroizing::new([unsafe { std::mem::zeroed() }; KEYS]));
        // SAFETY: a width that is here comes with AES.
        unsafe { expand(key, &mut keys) };
        Self { keys, width }
    }

    /// Encrypts or decrypts whole blocks where they lie, the first with `counter` and each with the next.
    pub(super) fn apply(&self, counter: u128, bytes: &mut [u8]) {
        let blocks = bytes.len() / BLOCK;
        // One pointer for both: another one, made after it, would end its right to the bytes.
        let bytes = bytes.as_mut_ptr();
        // SAFETY: the bytes are ours to read and to write.
        unsafe { self.run(counter, bytes, bytes, blocks) }
    }

    /// The same from `src` into `dst`, which are equally long.
    pub(super) fn apply_to(&self, counter: u128, src: &[u8], dst: &mut [u8]) {
        let blocks = src.len().min(dst.len()) / BLOCK;
        // SAFETY: both have so many blocks.
        unsafe { self.run(counter, src.as_ptr(), dst.as_mut_ptr(), blocks) }
    }

    /// # Safety
    /// `src` can be read and `dst` written for so many blocks; they are the same or do not overlap.
    unsafe fn run(&self, mut counter: u128, mut src: *const u8, mut dst: *mut u8, mut blocks: usize) {
        while blocks > 0 {
            // Up to where the low half of the counter carries: within, registers add to that half alone.
            let until_carry = usize::try_from(u64::MAX - counter as u64).unwrap_or(usize::MAX).saturating_add(1);
            let now = blocks.min(until_carry);
            // SAFETY: of the blocks that the caller has; the processor has the width, or this would not be here.
            unsafe {
                match self.width {
                    Width::Two => two(&self.keys, counter, src, dst, now),
                    Width::Four => four(&self.keys, counter, src, dst, now),
                }
                (src, dst) = (src.add(now * BLOCK), dst.add(now * BLOCK));
            }
            counter = counter.wrapping_add(now as u128);
            blocks -= now;
        }
    }
}

/// The key schedule of AES-256.
///
/// # Safety
/// Only on a processor with AES.
#[target_feature(enable = "aes,sse2")]
fn expand(key: &[u8; 32], keys: &mut [__m128i; KEYS]) {
    // SAFETY: 16 bytes each.
    unsafe {
        keys[0] = _mm_loadu_si128(key.as_ptr().cast());
        keys[1] = _mm_loadu_si128(key.as_ptr().add(BLOCK).cast());
    }
    macro_rules! with_round {
        ($at:literal, $round:literal) => {
            let last = _mm_aeskeygenassist_si128::<$round>(keys[$at - 1]);
            keys[$at] = mixed(keys[$at - 2], _mm_shuffle_epi32::<0xff>(last));
        };
    }
    macro_rules! between {
        ($at:literal) => {
            let last = _mm_aeskeygenassist_si128::<0>(keys[$at - 1]);
            keys[$at] = mixed(keys[$at - 2], _mm_shuffle_epi32::<0xaa>(last));
        };
    }
    with_round!(2, 0x01);
    between!(3);
    with_round!(4, 0x02);
    between!(5);
    with_round!(6, 0x04);
    between!(7);
    with_round!(8, 0x08);
    between!(9);
    with_round!(10, 0x10);
    between!(11);
    with_round!(12, 0x20);
    between!(13);
    with_round!(14, 0x40);
}

/// Each word with all words before it, and with `word`.
#[target_feature(enable = "sse2")]
#[inline]
fn mixed(key: __m128i, word: __m128i) -> __m128i {
    let key = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
    let key = _mm_xor_si128(key, _mm_slli_si128::<8>(key));
    _mm_xor_si128(key, word)
}

/// Four blocks in a register.
///
/// # Safety
/// As [`Vaes::run`]; only with AVX-512 F and BW and VAES, and where the low half of the counter does not carry.
#[target_feature(enable = "avx512f,avx512bw,vaes,aes")]
unsafe fn four(keys: &[__m128i; KEYS], counter: u128, mut src: *const u8, mut dst: *mut u8, mut blocks: usize) {
    const BYTES: usize = 4 * BLOCK;
    let mut wide = [_mm512_setzero_si512(); KEYS];
    for (wide, key) in wide.iter_mut().zip(keys) {
        *wide = _mm512_broadcast_i32x4(*key);
    }
    let (high, low) = ((counter >> 64) as i64, counter as i64);
    let mut counters =
        _mm512_set_epi64(high, low.wrapping_add(3), high, low.wrapping_add(2), high, low.wrapping_add(1), high, low);
    let further = |blocks: i64| _mm512_set_epi64(0, blocks, 0, blocks, 0, blocks, 0, blocks);
    let (next, reversed) = (further(4), _mm512_broadcast_i32x4(reversed()));
    while blocks >= 4 * AT_ONCE {
        let mut pads = [_mm512_setzero_si512(); AT_ONCE];
        for pad in &mut pads {
            *pad = _mm512_shuffle_epi8(counters, reversed);
            counters = _mm512_add_epi64(counters, next);
        }
        encrypt_four(&wide, &mut pads);
        for (at, pad) in pads.into_iter().enumerate() {
            // SAFETY: 32 blocks are left.
            unsafe {
                let bytes = _mm512_loadu_si512(src.add(at * BYTES).cast());
                _mm512_storeu_si512(dst.add(at * BYTES).cast(), _mm512_xor_si512(bytes, pad));
            }
        }
        // SAFETY: as above.
        (src, dst) = unsafe { (src.add(AT_ONCE * BYTES), dst.add(AT_ONCE * BYTES)) };
        blocks -= 4 * AT_ONCE;
    }
    while blocks > 0 {
        let now = blocks.min(4);
        let mut pad = [_mm512_shuffle_epi8(counters, reversed)];
        counters = _mm512_add_epi64(counters, next);
        encrypt_four(&wide, &mut pad);
        // Two words a block.
        let mask = ((1_u16 << (2 * now)) - 1) as u8;
        // SAFETY: `now` blocks are left, and no others are touched.
        unsafe {
            let bytes = _mm512_maskz_loadu_epi64(mask, src.cast());
            _mm512_mask_storeu_epi64(dst.cast(), mask, _mm512_xor_si512(bytes, pad[0]));
            (src, dst) = (src.add(now * BLOCK), dst.add(now * BLOCK));
        }
        blocks -= now;
    }
}

#[target_feature(enable = "avx512f,vaes")]
#[inline]
fn encrypt_four<const N: usize>(keys: &[__m512i; KEYS], blocks: &mut [__m512i; N]) {
    for block in blocks.iter_mut() {
        *block = _mm512_xor_si512(*block, keys[0]);
    }
    for key in &keys[1..KEYS - 1] {
        for block in blocks.iter_mut() {
            *block = _mm512_aesenc_epi128(*block, *key);
        }
    }
    for block in blocks.iter_mut() {
        *block = _mm512_aesenclast_epi128(*block, keys[KEYS - 1]);
    }
}

/// Two blocks in a register.
///
/// # Safety
/// As [`Vaes::run`]; only with AVX2, AES and VAES, and where the low half of the counter does not carry.
#[target_feature(enable = "avx2,vaes,aes")]
unsafe fn two(keys: &[__m128i; KEYS], counter: u128, mut src: *const u8, mut dst: *mut u8, mut blocks: usize) {
    const BYTES: usize = 2 * BLOCK;
    let mut wide = [_mm256_setzero_si256(); KEYS];
    for (wide, key) in wide.iter_mut().zip(keys) {
        *wide = _mm256_broadcastsi128_si256(*key);
    }
    let (high, low) = ((counter >> 64) as i64, counter as i64);
    let mut counters = _mm256_set_epi64x(high, low.wrapping_add(1), high, low);
    let (next, reversed) = (_mm256_set_epi64x(0, 2, 0, 2), _mm256_broadcastsi128_si256(reversed()));
    while blocks >= 2 * AT_ONCE {
        let mut pads = [_mm256_setzero_si256(); AT_ONCE];
        for pad in &mut pads {
            *pad = _mm256_shuffle_epi8(counters, reversed);
            counters = _mm256_add_epi64(counters, next);
        }
        encrypt_two(&wide, &mut pads);
        for (at, pad) in pads.into_iter().enumerate() {
            // SAFETY: 16 blocks are left.
            unsafe {
                let bytes = _mm256_loadu_si256(src.add(at * BYTES).cast());
                _mm256_storeu_si256(dst.add(at * BYTES).cast(), _mm256_xor_si256(bytes, pad));
            }
        }
        // SAFETY: as above.
        (src, dst) = unsafe { (src.add(AT_ONCE * BYTES), dst.add(AT_ONCE * BYTES)) };
        blocks -= 2 * AT_ONCE;
    }
    while blocks >= 2 {
        let mut pad = [_mm256_shuffle_epi8(counters, reversed)];
        counters = _mm256_add_epi64(counters, next);
        encrypt_two(&wide, &mut pad);
        // SAFETY: two blocks are left.
        unsafe {
            let bytes = _mm256_loadu_si256(src.cast());
            _mm256_storeu_si256(dst.cast(), _mm256_xor_si256(bytes, pad[0]));
            (src, dst) = (src.add(BYTES), dst.add(BYTES));
        }
        blocks -= 2;
    }
    if blocks == 1 {
        let mut pad = [_mm256_shuffle_epi8(counters, reversed)];
        encrypt_two(&wide, &mut pad);
        // SAFETY: one block is left.
        unsafe {
            let bytes = _mm_loadu_si128(src.cast());
            let pad = _mm256_castsi256_si128(pad[0]);
            _mm_storeu_si128(dst.cast(), _mm_xor_si128(bytes, pad));
        }
    }
}

#[target_feature(enable = "avx2,vaes")]
#[inline]
fn encrypt_two<const N: usize>(keys: &[__m256i; KEYS], blocks: &mut [__m256i; N]) {
    for block in blocks.iter_mut() {
        *block = _mm256_xor_si256(*block, keys[0]);
    }
    for key in &keys[1..KEYS - 1] {
        for block in blocks.iter_mut() {
            *block = _mm256_aesenc_epi128(*block, *key);
        }
    }
    for block in blocks.iter_mut() {
        *block = _mm256_aesenclast_epi128(*block, keys[KEYS - 1]);
    }
}

/// Turns a counter, which is kept as the processor adds, into the big-endian number that is encrypted.
#[target_feature(enable = "sse2")]
#[inline]
fn reversed() -> __m128i {
    _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f)
}

#[cfg(test)]
mod tests;
