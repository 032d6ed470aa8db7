//! The key that a client brings for SSE-C.

use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::datakey::{DATA_KEY_LEN, DataKey};

/// Why the three values of an SSE-C request make no key. All of them are the client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CustomerKeyError {
    /// The algorithm is not `AES256`.
    #[error("the customer algorithm must be AES256")]
    Algorithm,
    /// The key is not base64.
    #[error("the customer key is not base64")]
    KeyEncoding,
    /// The key is not 32 bytes.
    #[error("the customer key must be 32 bytes")]
    KeyLength,
    /// The MD5 is not that of the key.
    #[error("the customer key MD5 is not that of the key")]
    Md5Mismatch,
}

/// Checks the three SSE-C values of a request and gives the key with its MD5.
///
/// `algorithm` must be `AES256`, `key_b64` base64 of 32 bytes, `key_md5_b64` base64 of the MD5 of those bytes. Whether it
/// is the key of the object is for [`WrappedKey::verify`](crate::WrappedKey::verify) to say.
pub fn parse_customer_key(
    algorithm: &str,
    key_b64: &str,
    key_md5_b64: &str,
) -> Result<(DataKey, [u8; 16]), CustomerKeyError> {
    if algorithm != "AES256" {
        return Err(CustomerKeyError::Algorithm);
    }
    // Longer than any key, so that even a wrong one is decoded into memory that gets wiped.
    let mut bytes = Zeroizing::new([0; 64]);
    let found = match STANDARD.decode_slice(key_b64, bytes.as_mut_slice()) {
        Ok(found) => found,
        Err(base64::DecodeSliceError::OutputSliceTooSmall) => return Err(CustomerKeyError::KeyLength),
        Err(base64::DecodeSliceError::DecodeError(_)) => return Err(CustomerKeyError::KeyEncoding),
    };
    if found != DATA_KEY_LEN {
        return Err(CustomerKeyError::KeyLength);
    }
    let key = DataKey::from_slice(&bytes[..found]).map_err(|_| CustomerKeyError::KeyLength)?;
    let md5 = key_md5(&key);
    if STANDARD.encode(md5) != key_md5_b64 {
        return Err(CustomerKeyError::Md5Mismatch);
    }
    Ok((key, md5))
}

/// Whether a key has this MD5, in constant time.
pub(crate) fn has_md5(key: &DataKey, md5: &[u8; 16]) -> bool {
    key_md5(key).ct_eq(md5).into()
}

fn key_md5(key: &DataKey) -> [u8; 16] {
    Md5::digest(key.bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    // base64 of 0x00..0x1f, and of the MD5 of these bytes, by `base64` and `md5sum`.
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const MD5: &str = "tP/LI3N87DFaSk0aoqYgzg==";

    fn fails(algorithm: &str, key: &str, md5: &str) -> CustomerKeyError {
        parse_customer_key(algorithm, key, md5).err().unwrap()
    }

    #[test]
    fn takes_a_well_formed_key() {
        let (key, md5) = parse_customer_key("AES256", KEY, MD5).unwrap();
        assert_eq!(key.bytes().as_slice(), (0..32).collect::<Vec<u8>>());
        assert!(has_md5(&key, &md5));
        assert!(!has_md5(&key, &[0; 16]));
    }

    #[test]
    fn tells_the_faults_apart() {
        assert_eq!(fails("aes256", KEY, MD5), CustomerKeyError::Algorithm);
        assert_eq!(fails("AES256", "not base64!", MD5), CustomerKeyError::KeyEncoding);
        assert_eq!(fails("AES256", KEY.trim_end_matches('='), MD5), CustomerKeyError::KeyEncoding);
        assert_eq!(fails("AES256", "AAECAw==", MD5), CustomerKeyError::KeyLength);
        assert_eq!(fails("AES256", "", MD5), CustomerKeyError::KeyLength);
        assert_eq!(fails("AES256", &"A".repeat(400), MD5), CustomerKeyError::KeyLength);
        assert_eq!(fails("AES256", KEY, "tP/LI3N87DFaSk0aoqYgzw=="), CustomerKeyError::Md5Mismatch);
        assert_eq!(fails("AES256", KEY, ""), CustomerKeyError::Md5Mismatch);
    }
}
