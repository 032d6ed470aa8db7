//! Expected values by Python's `cryptography`.

use proptest::prelude::*;

use super::*;

const KEK: &str = "6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80818283";
const SEALED: &str = "5762f28771800f264dc24c1b424f5e6531cee74bf1de0efa27f30be8b709a7078f440566e2ad4701aa9a1faf7a5c2da6";
const PASSPHRASE: &str = "pass phrase";
const WRAPPED: &str = "U1d2MjIzNDU2Nzg5Ojs8PT4/QEFCQ0RFRkdISUpLTE1OT1BRAAECAwQFBgcICQoL\
                       vpBkilR7ksE1p6YyVDMwczqb1cpMeTa8V426Hr3JCneTms/2BGOLFKJndWzeEm+M";
const WRAPPED_LEGACY: &str = "AAECAwQFBgcICQoL23qxO1H2WW2+9Al4sdFXYqUng3PeqB4KnOkAGv9bkwhyhNmFUZIamUCmGY5/B/M6";

fn s3_key() -> S3Key {
    let nonce = std::array::from_fn(|index| index as u8);
    S3Key { key_id: "sse-s3-key-1".to_owned(), sealed: hex::decode(SEALED).unwrap(), nonce, commitments: Vec::new() }
}

fn opens(kek: &Kek) -> bool {
    kek.open(&s3_key()).is_ok_and(|key| key.bytes().as_slice() == (200..232).collect::<Vec<u8>>())
}

#[test]
fn reads_hex() {
    assert!(opens(&Kek::from_hex(KEK).unwrap()));
    assert!(opens(&Kek::from_hex(&KEK.to_uppercase()).unwrap()));
    for wrong in ["", "64", &KEK[1..], &format!("{KEK}00"), &KEK.replace('6', "g")] {
        assert_eq!(Kek::from_hex(wrong).err(), Some(KekError::NotHex));
    }
}

#[test]
fn derives_from_a_string() {
    let expected = "63627eabb10c371534d18140563cf9a3cb049ba17fde2e0bdf47901a4d917253";
    assert_eq!(hex::encode(Kek::derive("correct horse").0.as_slice()), expected);
}

#[test]
fn reads_every_form_of_the_file() {
    assert!(opens(&Kek::from_file(KEK.as_bytes(), None).unwrap()));
    assert!(opens(&Kek::from_file(format!("{KEK}\n").as_bytes(), Some(PASSPHRASE)).unwrap()));
    assert!(opens(&Kek::from_file(WRAPPED.as_bytes(), Some(PASSPHRASE)).unwrap()));
    assert!(opens(&Kek::from_file(WRAPPED_LEGACY.as_bytes(), Some(PASSPHRASE)).unwrap()));
}

#[test]
fn says_what_is_wrong_with_a_file() {
    let fails = |contents: &[u8], passphrase| Kek::from_file(contents, passphrase).err();
    for wrapped in [WRAPPED, WRAPPED_LEGACY] {
        assert_eq!(fails(wrapped.as_bytes(), None), Some(KekError::PassphraseNeeded));
        assert_eq!(fails(wrapped.as_bytes(), Some("")), Some(KekError::PassphraseNeeded));
        assert_eq!(fails(wrapped.as_bytes(), Some("another")), Some(KekError::WrongPassphrase));
    }
    for nothing in
        [b"".as_slice(), b"AAEC", b"\xff\xfe", b"not a key", &KEK.as_bytes()[..62], &WRAPPED.as_bytes()[..64]]
    {
        assert_eq!(fails(nothing, Some(PASSPHRASE)), Some(KekError::Format));
    }
}

#[test]
fn one_changed_bit_of_a_wrapped_file_is_refused() {
    for wrapped in [WRAPPED, WRAPPED_LEGACY] {
        let file = STANDARD.decode(wrapped).unwrap();
        for bit in 0..file.len() * 8 {
            let mut changed = file.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Kek::from_file(STANDARD.encode(changed).as_bytes(), Some(PASSPHRASE)).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn one_changed_bit_of_a_data_key_is_refused() {
    let kek = Kek::from_hex(KEK).unwrap();
    for bit in 0..SEALED.len() * 4 {
        let mut key = s3_key();
        key.sealed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(kek.open(&key).err(), Some(OpenError), "bit {bit} of the data key");
    }
    for bit in 0..96 {
        let mut key = s3_key();
        key.nonce[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(kek.open(&key).err(), Some(OpenError), "bit {bit} of the nonce");
    }
    assert_eq!(Kek::derive("another").open(&s3_key()).err(), Some(OpenError));
}

#[test]
fn a_data_key_of_another_length_is_refused() {
    let kek = Kek::from_hex(KEK).unwrap();
    for len in [0, 15, 16, 47, 49] {
        let key = S3Key { sealed: vec![0; len], ..s3_key() };
        assert_eq!(kek.open(&key).err(), Some(OpenError));
    }
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(contents in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Kek::from_file(&contents, Some(PASSPHRASE));
        let _ = Kek::from_file(STANDARD.encode(&contents).as_bytes(), Some(PASSPHRASE));
    }
}
