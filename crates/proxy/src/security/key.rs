//! A key that tokens are signed with.
//!
//! HMAC comes from the crates that decryption uses already; a token library would bring a second set of them, keep the
//! key in memory that it does not wipe, and judge times and claims otherwise than the filer does.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

/// A signing key of `security.toml`: its text, byte for byte. Wiped when it is dropped.
pub struct SigningKey(Zeroizing<Vec<u8>>);

/// The algorithms that weed takes: all that are HMAC (RFC 7518, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
}

impl Algorithm {
    /// By its name in a token's header.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Hs256,
            "HS384" => Self::Hs384,
            "HS512" => Self::Hs512,
            _ => return None,
        })
    }
}

impl SigningKey {
    /// Takes a copy of `key`.
    pub fn new(key: &[u8]) -> Self {
        Self(Zeroizing::new(key.to_vec()))
    }

    /// Whether `signature` is that of `message`. Takes as long for a wrong one as for a right one.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match algorithm {
            Algorithm::Hs256 => self.mac::<Hmac<Sha256>>(message).verify_slice(signature).is_ok(),
            Algorithm::Hs384 => self.mac::<Hmac<Sha384>>(message).verify_slice(signature).is_ok(),
            Algorithm::Hs512 => self.mac::<Hmac<Sha512>>(message).verify_slice(signature).is_ok(),
        }
    }

    /// The HS256 signature of `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 32] {
        self.mac::<Hmac<Sha256>>(message).finalize().into_bytes().into()
    }

    fn mac<M: Mac + KeyInit>(&self, message: &[u8]) -> M {
        let mut mac = <M as KeyInit>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(message);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn signs_as_the_rfc_does() {
        let key = SigningKey::new(b"Jefe");
        let message = b"what do ya want for nothing?";
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex::encode(key.sign(message)), expected);
        assert!(key.verifies(Algorithm::Hs256, message, &key.sign(message)));
        let sha384 = "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649";
        assert!(key.verifies(Algorithm::Hs384, message, &hex::decode(sha384).unwrap()));
        let mut wrong = key.sign(message);
        wrong[31] ^= 1;
        assert!(!key.verifies(Algorithm::Hs256, message, &wrong));
        assert!(!key.verifies(Algorithm::Hs256, message, &expected.as_bytes()[..16]));
        assert!(!key.verifies(Algorithm::Hs512, message, &[]));
    }
}
