//! Data keys that have been found to be the right ones. Nothing else gives a keystream, so no reader can forget to check.

use std::sync::Arc;

use crate::{
    datakey::DataKey,
    keystream::Keystream,
    layout::{KeyStart, Layout},
    wrapped::{VerifyError, WrappedKey},
};

/// A data key that is, by all that is stored, the one behind a [`WrappedKey`].
///
/// Only [`WrappedKey::accept`] makes one. It cannot be printed or cloned.
///
/// ```compile_fail
/// fn cloneable<T: Clone>() {}
/// cloneable::<crypto::VerifiedKey>();
/// ```
pub struct VerifiedKey {
    key: Arc<DataKey>,
    /// [`WrappedKey::id`] of the one that it is behind.
    of: [u8; 32],
}

/// What decrypts one chunk, or inline content, from any byte of it on.
pub struct Decryption {
    key: Arc<DataKey>,
    start: KeyStart,
}

impl WrappedKey {
    /// Takes `key` for this key unwrapped if [`WrappedKey::verify`] says so.
    ///
    /// # Errors
    /// When it is another.
    pub fn accept(&self, key: Arc<DataKey>) -> Result<VerifiedKey, VerifyError> {
        self.verify(&key)?;
        Ok(VerifiedKey { key, of: self.id() })
    }
}

impl Layout {
    /// Takes `key` for the one behind this layout's key number `index`, as [`WrappedKey::accept`] does, of which the id is known
    /// here already.
    ///
    /// # Errors
    /// When it is another, or there is no key of that number.
    pub fn accept(&self, index: usize, key: Arc<DataKey>) -> Result<VerifiedKey, VerifyError> {
        let (Some(wrapped), Some(of)) = (self.keys.get(index), self.ids.get(index)) else {
            return Err(VerifyError::OtherKey);
        };
        wrapped.verify(&key)?;
        Ok(VerifiedKey { key, of: *of })
    }

    /// What decrypts the bytes whose keystream starts at `start`, one of this layout.
    ///
    /// # Errors
    /// When the key is that of other bytes.
    pub fn decryption(&self, start: KeyStart, key: &VerifiedKey) -> Result<Decryption, VerifyError> {
        match self.ids.get(start.key) {
            Some(id) if *id == key.of => Ok(Decryption { key: Arc::clone(&key.key), start }),
            _ => Err(VerifyError::OtherKey),
        }
    }
}

impl VerifiedKey {
    /// The key itself, which decrypts nothing on its own.
    pub fn data_key(&self) -> &Arc<DataKey> {
        &self.key
    }
}

impl Decryption {
    /// The keystream from byte `from` of the chunk on.
    pub fn keystream(&self, from: u64) -> Keystream {
        Keystream::new(&self.key, self.start.iv, self.start.offset.wrapping_add(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attributes, CustomerKey, History, StoredChunk};

    fn layout() -> Layout {
        // base64 of the MD5 of 32 sevens.
        let json = r#"{"algorithm":"AES256","iv":"AwMDAwMDAwMDAwMDAwMDAw==","keyMD5":"ZjQzYjE2NmI0ZTQ2NjRkYw==","partOffset":0}"#;
        let chunk = StoredChunk { size: 16, sse_type: 1, sse_metadata: json.as_bytes(), ..StoredChunk::default() };
        Layout::read(&Attributes::default(), &History::default(), &[chunk], 0).unwrap()
    }

    #[test]
    fn the_key_of_another_object_decrypts_nothing() {
        use md5::{Digest, Md5};
        let key = Arc::new(DataKey::from_slice(&[7; 32]).unwrap());
        let layout = layout();
        let start = layout.chunks[0].unwrap();
        // Not the one that the metadata names.
        assert_eq!(layout.keys[0].accept(Arc::clone(&key)).err(), Some(VerifyError::CustomerKey));
        // Verified, but for other metadata.
        let own = WrappedKey::Customer(CustomerKey { md5: Md5::digest([7; 32]).into() });
        let verified = own.accept(key).unwrap();
        assert_eq!(layout.decryption(start, &verified).err(), Some(VerifyError::OtherKey));
        let key = || Arc::new(DataKey::from_slice(&[7; 32]).unwrap());
        assert_eq!(layout.accept(0, key()).err(), Some(VerifyError::CustomerKey));
        assert_eq!(layout.accept(1, key()).err(), Some(VerifyError::OtherKey));
    }
}
