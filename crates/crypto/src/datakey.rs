//! The 32 bytes that encrypt an object's data.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Length of a data key in bytes (AES-256).
pub const DATA_KEY_LEN: usize = 32;

/// An unwrapped data key.
///
/// It lives on the heap, so that moving it leaves no copy behind, and is wiped when dropped. It cannot be printed,
/// cloned or compared; share it by `Arc`.
///
/// ```compile_fail
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<crypto::DataKey>();
/// ```
///
/// ```compile_fail
/// fn cloneable<T: Clone>() {}
/// cloneable::<crypto::DataKey>();
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DataKey(Box<[u8; DATA_KEY_LEN]>);

/// A key that is not 32 bytes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key is {found} bytes instead of {DATA_KEY_LEN}")]
pub struct KeyLengthError {
    /// How many bytes there were.
    pub found: usize,
}

impl DataKey {
    /// Copies a key of exactly 32 bytes. The caller wipes its own copy.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyLengthError> {
        if bytes.len() != DATA_KEY_LEN {
            return Err(KeyLengthError { found: bytes.len() });
        }
        let mut key = Self(Box::new([0; DATA_KEY_LEN]));
        key.0.copy_from_slice(bytes);
        Ok(key)
    }

    pub(crate) fn bytes(&self) -> &[u8; DATA_KEY_LEN] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_32_bytes_and_nothing_else() {
        for found in [0, 16, 31, 33, 64] {
            assert_eq!(DataKey::from_slice(&vec![7; found]).err(), Some(KeyLengthError { found }));
        }
        let key = DataKey::from_slice(&[7; 32]).unwrap();
        assert_eq!(key.bytes(), &[7; 32]);
    }

    #[test]
    fn is_shared_between_threads() {
        fn shared<T: Send + Sync + 'static>() {}
        shared::<DataKey>();
    }

    #[test]
    fn is_wiped() {
        let mut key = DataKey::from_slice(&[7; 32]).unwrap();
        key.zeroize();
        assert_eq!(key.bytes(), &[0; 32]);
    }
}
