use proptest::prelude::*;

use super::*;

fn data_key() -> DataKey {
    DataKey::from_slice(&(200..232).collect::<Vec<u8>>()).unwrap()
}

fn iv() -> [u8; 16] {
    std::array::from_fn(|index| 0xf0 + index as u8)
}

fn array<const N: usize>(digits: &str) -> [u8; N] {
    hex::decode(digits).unwrap().try_into().unwrap()
}

// By Python's `hmac` and `hashlib`, over the key 200..232 and the IV 0xf0..0xff.
fn kms_commitment() -> Commitment {
    let mac = array("7a375bcd56e10ff7c2f2d700b5e20311063e199c14eb0866f26fb05c0152ee3b");
    Commitment { mac, iv: iv(), algorithm: "aws:kms".to_owned() }
}

fn s3_commitment() -> Commitment {
    let mac = array("a09fa3c3285251fcccd7b7b43fa05381f2758464ee91c298e6d16b1b6daea318");
    Commitment { mac, iv: iv(), algorithm: "AES256".to_owned() }
}

fn kms(commitments: Vec<Commitment>) -> KmsKey {
    let envelope = Envelope {
        provider: "aws".to_owned(),
        key_id: "key".to_owned(),
        ciphertext: "Y2lwaGVy".to_owned(),
        version: 1,
        provider_specific: None,
    };
    let context = [("a".to_owned(), "b".to_owned())].into();
    KmsKey { key_id: "key".to_owned(), envelope, context, bucket_key_enabled: false, commitments }
}

#[test]
fn a_commitment_holds_for_its_key_iv_and_algorithm_only() {
    assert!(kms_commitment().verify(&data_key()));
    assert!(s3_commitment().verify(&data_key()));
    for bit in 0..256 {
        let mut changed = s3_commitment();
        changed.mac[bit / 8] ^= 1 << (bit % 8);
        assert!(!changed.verify(&data_key()), "bit {bit} of the commitment");

        let mut key = *data_key().bytes();
        key[bit / 8] ^= 1 << (bit % 8);
        assert!(!s3_commitment().verify(&DataKey::from_slice(&key).unwrap()), "bit {bit} of the key");
    }
    for bit in 0..128 {
        let mut changed = s3_commitment();
        changed.iv[bit / 8] ^= 1 << (bit % 8);
        assert!(!changed.verify(&data_key()), "bit {bit} of the IV");
    }
    assert!(!Commitment { algorithm: "aws:kms".to_owned(), ..s3_commitment() }.verify(&data_key()));
}

#[test]
fn all_commitments_of_a_key_are_checked() {
    let mut bad = kms_commitment();
    bad.mac[0] ^= 1;
    let verify = |commitments| WrappedKey::Kms(kms(commitments)).verify(&data_key());
    assert_eq!(verify(vec![]), Ok(()));
    assert_eq!(verify(vec![kms_commitment()]), Ok(()));
    assert_eq!(verify(vec![kms_commitment(), bad.clone()]), Err(VerifyError::Commitment));
    assert_eq!(verify(vec![bad, kms_commitment()]), Err(VerifyError::Commitment));
}

#[test]
fn a_customer_key_is_checked_by_its_md5() {
    let md5 = array("40542db265c107ccbd99b6a28bfa9787");
    assert_eq!(WrappedKey::Customer(CustomerKey { md5 }).verify(&data_key()), Ok(()));
    let other = WrappedKey::Customer(CustomerKey { md5: [0; 16] });
    assert_eq!(other.verify(&data_key()), Err(VerifyError::CustomerKey));
}

#[test]
fn the_id_depends_on_what_determines_the_key_and_on_nothing_else() {
    let id = |change: fn(&mut KmsKey)| {
        let mut key = kms(vec![kms_commitment()]);
        change(&mut key);
        WrappedKey::Kms(key).id()
    };
    let changes: [fn(&mut KmsKey); 11] = [
        |_| {},
        |key| key.key_id = "kez".to_owned(),
        |key| key.envelope.provider = "gcp".to_owned(),
        |key| key.envelope.key_id = "kez".to_owned(),
        |key| key.envelope.ciphertext = "Y2lwaGVz".to_owned(),
        |key| key.envelope.version = 2,
        |key| key.envelope.provider_specific = Some(serde_json::Map::new()),
        |key| key.context = [("a".to_owned(), "c".to_owned())].into(),
        |key| key.context = [("ab".to_owned(), String::new())].into(),
        |key| key.context.clear(),
        // Moves a byte over the border of two fields.
        |key| (key.key_id, key.envelope.provider) = ("keya".to_owned(), "ws".to_owned()),
    ];
    let ids: std::collections::HashSet<_> = changes.into_iter().map(id).collect();
    assert_eq!(ids.len(), changes.len());
    assert_eq!(id(|_| {}), id(|key| key.commitments.clear()));
    assert_eq!(id(|_| {}), id(|key| key.bucket_key_enabled = true));
}

proptest! {
    #[test]
    fn ids_of_different_s3_keys_differ(
        one in prop::collection::vec(any::<u8>(), 0..4), two in prop::collection::vec(any::<u8>(), 0..4),
        nonce in any::<[u8; 12]>(), key_id in "[a-c]{0,3}",
    ) {
        let id = |sealed: &[u8]| {
            let key_id = key_id.clone();
            WrappedKey::S3(S3Key { key_id, sealed: sealed.to_vec(), nonce, commitments: Vec::new() }).id()
        };
        prop_assert_eq!(one == two, id(&one) == id(&two));
    }
}
