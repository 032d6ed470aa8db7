//! Beside aws-lc, for each width that the processor has. FIPS 197 has the key schedule and a block.

use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use proptest::prelude::*;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use super::*;

const KEY: [u8; 32] = [
    0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae, 0xf0, 0x85, 0x7d, 0x77, 0x81, 0x1f, 0x35, 0x2c,
    0x07, 0x3b, 0x61, 0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3, 0x09, 0x14, 0xdf, 0xf4,
];
/// Around the bytes that may be written, so that others would be noticed.
const AROUND: usize = 80;

fn widths() -> impl Iterator<Item = Width> {
    [Width::Two, Width::Four].into_iter().filter(|width| width.is_here())
}

fn by_aws_lc(key: &[u8; 32], counter: u128, bytes: &mut [u8]) {
    let key = DecryptingKey::ctr(UnboundCipherKey::new(&AES_256, key).unwrap()).unwrap();
    key.decrypt(bytes, DecryptionContext::Iv128(counter.to_be_bytes().into())).unwrap();
}

/// What is written where, `at` bytes into a buffer of all `0x55`: in place, and out of another one.
fn by_vaes(key: &Vaes, counter: u128, plain: &[u8], at: usize) -> Vec<u8> {
    let mut there = vec![0x55; AROUND + plain.len() + AROUND];
    there[at..at + plain.len()].copy_from_slice(plain);
    key.apply(counter, &mut there[at..at + plain.len()]);
    let mut copied = vec![0x55; AROUND + plain.len() + AROUND];
    key.apply_to(counter, plain, &mut copied[at..at + plain.len()]);
    assert!(there == copied, "in place and in the copy alike");
    assert!(
        there[..at].iter().chain(&there[at + plain.len()..]).all(|byte| *byte == 0x55),
        "nothing around is touched"
    );
    there[at..at + plain.len()].to_vec()
}

/// FIPS 197, appendix A.3: the first word of the last round key. SP 800-38A, F.5.5: the first block of CTR.
#[test]
fn the_key_schedule_and_a_block_are_those_of_the_standard() {
    for width in widths() {
        let vaes = Vaes::of(&KEY, width);
        let mut last = [0_u8; BLOCK];
        // SAFETY: 16 bytes.
        unsafe { _mm_storeu_si128(last.as_mut_ptr().cast(), vaes.keys[KEYS - 1]) };
        assert_eq!(last[..4], [0xfe, 0x48, 0x90, 0xd1]);
        let counter = 0xf0f1_f2f3_f4f5_f6f7_f8f9_fafb_fcfd_feff;
        let mut block = hex::decode("6bc1bee22e409f96e93d7e117393172a").unwrap();
        vaes.apply(counter, &mut block);
        assert_eq!(hex::encode(block), "601ec313775789a5b7a7f504bbf3d228");
    }
}

#[test]
fn every_number_of_blocks_is_as_aws_lc_has_it() {
    for width in widths() {
        let vaes = Vaes::of(&KEY, width);
        for blocks in 0..140 {
            let plain: Vec<u8> = (0..blocks * BLOCK).map(|at| (at * 31 % 251) as u8).collect();
            let mut expected = plain.clone();
            by_aws_lc(&KEY, 7, &mut expected);
            assert!(by_vaes(&vaes, 7, &plain, blocks % AROUND) == expected, "{width:?}, {blocks}");
        }
    }
}

/// Beside itself alone, and with round keys of no key: what leads to another library, and an instruction of the key schedule, is
/// not to be had under Miri, which looks after every read and write of this.
#[test]
fn many_blocks_at_once_are_as_one_by_one() {
    for width in widths() {
        // SAFETY: each of these processors has SSE2.
        let keys = std::array::from_fn(|at| unsafe { _mm_set_epi64x(!(at as i64), 0x0123_4567_89ab_cdef << at) });
        let vaes = Vaes { keys: Box::new(Zeroizing::new(keys)), width };
        for blocks in [0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 67] {
            // With a carry in the middle of the larger ones.
            let counter = (5 << 64 | u128::from(u64::MAX)) - 40;
            let plain: Vec<u8> = (0..blocks * BLOCK).map(|at| (at * 31 % 251) as u8).collect();
            let mut expected = plain.clone();
            for (block, number) in expected.chunks_mut(BLOCK).zip(0..) {
                vaes.apply(counter + number, block);
            }
            assert!(by_vaes(&vaes, counter, &plain, blocks) == expected, "{width:?}, {blocks}");
        }
    }
}

/// A counter that is at most 300 blocks before where half of it, or all of it, carries; or anywhere.
fn counters() -> impl Strategy<Value = u128> {
    prop_oneof![
        any::<u128>(),
        (any::<u64>(), 0..300_u64).prop_map(|(high, before)| u128::from(high) << 64 | u128::from(u64::MAX - before)),
        (0..300_u128).prop_map(|before| u128::MAX - before),
        (any::<u128>(), 0..300_u32).prop_map(|(high, before)| high << 32 | u128::from(u32::MAX - before)),
    ]
}

proptest! {
    #[test]
    fn all_keys_counters_and_lengths_are_as_aws_lc_has_them(
        key: [u8; 32],
        counter in counters(),
        blocks in 0..400_usize,
        at in 0..AROUND,
    ) {
        let plain: Vec<u8> = (0..blocks * BLOCK).map(|at| (at * 31 % 251) as u8).collect();
        let mut expected = plain.clone();
        by_aws_lc(&key, counter, &mut expected);
        for width in widths() {
            prop_assert!(by_vaes(&Vaes::of(&key, width), counter, &plain, at) == expected, "{:?}", width);
        }
    }
}

/// Memory between two pages that end the process when they are touched.
struct Fenced {
    page: *mut u8,
}

impl Fenced {
    const BYTES: usize = 4096;

    fn new() -> Self {
        let all = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: new pages, of which nobody knows.
        let first = unsafe { mmap_anonymous(std::ptr::null_mut(), 3 * Self::BYTES, all, MapFlags::PRIVATE) }.unwrap();
        let at = |page: usize| first.cast::<u8>().wrapping_add(page * Self::BYTES);
        for fence in [at(0), at(2)] {
            // SAFETY: one of these pages.
            unsafe { mprotect(fence.cast(), Self::BYTES, MprotectFlags::empty()) }.unwrap();
        }
        Self { page: at(1) }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: a page that is ours, and lives as long as this.
        unsafe { std::slice::from_raw_parts_mut(self.page, Self::BYTES) }
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        let first = self.page.wrapping_sub(Self::BYTES);
        // SAFETY: the three pages that were made.
        unsafe { munmap(first.cast(), 3 * Self::BYTES) }.unwrap();
    }
}

#[test]
fn nothing_before_and_behind_the_bytes_is_read_or_written() {
    let (mut from, mut to) = (Fenced::new(), Fenced::new());
    for width in widths() {
        let vaes = Vaes::of(&KEY, width);
        for len in (0..=140 * BLOCK).step_by(BLOCK) {
            for range in [0..len, Fenced::BYTES - len..Fenced::BYTES] {
                let (from, to) = (&mut from.bytes()[range.clone()], &mut to.bytes()[range]);
                from.fill(0x37);
                let mut expected = from.to_vec();
                by_aws_lc(&KEY, 7, &mut expected);
                vaes.apply_to(7, from, to);
                vaes.apply(7, from);
                assert!(from == expected && to == expected, "{width:?}, {len}");
            }
        }
    }
}
