//! Expected bytes: AES-256-ECB of the counter, by Python's `cryptography`.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;

fn key() -> DataKey {
    DataKey::from_slice(&(0..32).collect::<Vec<u8>>()).unwrap()
}

fn iv(digits: &str) -> [u8; 16] {
    let mut iv = [0; 16];
    hex::decode_to_slice(digits, &mut iv).unwrap();
    iv
}

/// By each cipher that this processor has.
fn streams(iv: [u8; 16], offset: u64) -> impl Iterator<Item = Keystream> {
    [Cipher::new(&key()), Cipher::of_aws_lc(&key())].into_iter().map(move |cipher| Keystream::of(cipher, iv, offset))
}

const IV: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

/// IV, offset, and the 40 bytes of keystream there.
const VECTORS: [(&str, u64, &str); 8] = [
    (IV, 0, "9200cd8d239680cb5a69e65440326314ca5f7b40f12a34c16ea755214a77868e996c215b1418f598"),
    (IV, 5, "9680cb5a69e65440326314ca5f7b40f12a34c16ea755214a77868e996c215b1418f5987885201095"),
    // Part 8 of a legacy upload, three bytes in.
    (IV, (7 << 33) + 3, "f4348f066f744acf51b2795260b48212a4cc6600c0c4eb5e0e7f18f698c142bbc3bd02b8dd671f86"),
    // The carry out of the low 64 bits: within a call, and by the seek alone.
    (
        "0123456789abcdefffffffffffffffff",
        8,
        "1be643dd0bbe2cb9e2640a890b1de11e12dc2f1535db76b50b47ecab4a5b37155bc9dafe5aefb7eb",
    ),
    (
        "0123456789abcdefffffffffffffff00",
        16 * 255 + 8,
        "1be643dd0bbe2cb9e2640a890b1de11e12dc2f1535db76b50b47ecab4a5b37155bc9dafe5aefb7eb",
    ),
    // The carry out of all 128 bits: likewise.
    (
        "fffffffffffffffffffffffffffffffe",
        8,
        "faedf9de99cc2744e999e41d4ca770da5387117b5d8f57eef29000b62a499fd0a9f39a6add2e7780",
    ),
    (
        "ffffffffffffffffffffffffffffffff",
        24,
        "a9f39a6add2e7780f05d76ae4ab99fe5a6f69b3148c2363d0ebcb5deb52c83bd08a8a935182c9199",
    ),
    // The last bytes of the longest stream.
    (IV, u64::MAX - 47, "9e40e22ac92d355c8bd020e46244685551f67bb98318f6c023bb8f61d4e011f9ff1d17464205783b"),
];

#[test]
fn matches_an_independent_aes() {
    for (digits, offset, expected) in VECTORS {
        let expected = hex::decode(expected).unwrap();

        for mut stream in streams(iv(digits), offset) {
            let mut bytes = vec![0xaa; expected.len()];
            stream.apply_to(&vec![0; expected.len()], &mut bytes);
            assert_eq!(bytes, expected, "{digits} at {offset}");
        }
    }
}

#[test]
fn carries_in_the_middle_of_a_stream_made_of_single_bytes() {
    for (digits, offset, expected) in VECTORS {
        for mut stream in streams(iv(digits), offset) {
            let mut bytes = vec![0; expected.len() / 2];
            bytes.chunks_mut(1).for_each(|byte| stream.apply_to(&[0], byte));
            assert_eq!(hex::encode(bytes), expected, "{digits} at {offset}");
        }
    }
}

#[test]
fn a_long_run_matches() {
    for mut stream in streams(iv(IV), 3) {
        let mut bytes = vec![0xaa; (1 << 20) + 5];
        stream.apply_to(&vec![0; bytes.len()], &mut bytes);
        let expected = "0f66791094a865b906787e128054e7dbbeb6ae82a4d8bd6ed1a7b4d9657b5384";
        assert_eq!(hex::encode(Sha256::digest(&bytes)), expected);
    }
}

#[test]
fn is_send() {
    fn sent<T: Send + 'static>() {}
    sent::<Keystream>();
}

#[test]
#[should_panic(expected = "differ in length")]
fn lengths_must_agree() {
    Keystream::new(&key(), iv(IV), 0).apply_to(&[0; 3], &mut [0; 4]);
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    let length = prop_oneof![0..40_usize, 0..600_usize, Just(16), Just(64)];
    prop::collection::vec(length, 0..12)
}

proptest! {
    /// Any split of any range is the slice of the whole.
    #[test]
    fn any_split_of_any_range_equals_the_slice_of_the_whole(
        iv in any::<[u8; 16]>(),
        before_the_edge in prop::option::of(0..300_u128),
        start in 0..5000_usize,
        lengths in lengths(),
    ) {
        // Half of the time close to where the low 64 bits carry.
        let iv = match before_the_edge {
            Some(blocks) => (u128::from_be_bytes(iv) | u128::from(u64::MAX)).wrapping_sub(blocks).to_be_bytes(),
            None => iv,
        };
        let end = start + lengths.iter().sum::<usize>();
        let plain: Vec<u8> = (0..end).map(|index| (index * 31 % 251) as u8).collect();
        let mut whole = plain.clone();
        Keystream::new(&key(), iv, 0).apply(&mut whole);

        for (mut stream, mut in_place) in streams(iv, start as u64).zip(streams(iv, start as u64)) {
            let mut read = Vec::new();
            for length in &lengths {
                let from = start + read.len();
                let mut bytes = vec![0; *length];
                stream.apply_to(&plain[from..from + length], &mut bytes);
                let mut there = plain[from..from + length].to_vec();
                in_place.apply(&mut there);
                prop_assert_eq!(&there, &bytes);
                read.extend_from_slice(&bytes);
            }
            prop_assert_eq!(&read[..], &whole[start..]);
        }
    }
}
