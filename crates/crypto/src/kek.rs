//! The key-encryption key of SSE-S3, in all forms that SeaweedFS's S3 gateway takes it.
//!
//! Source: `weed/s3api/s3_sse_s3.go` @4.48.

use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};
use base64::{Engine, engine::general_purpose::STANDARD};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{datakey::DataKey, wrapped::S3Key};

const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const SALT_LEN: usize = 32;
/// Marks a file that brings its own salt.
const MAGIC: &[u8] = b"SWv2";
/// The salt of files without one.
const LEGACY_SALT: &[u8] = b"seaweedfs-sse-s3-kek-wrapping-v1";

/// The key that wraps the data keys of SSE-S3 objects. Like [`DataKey`], it cannot be printed, cloned or compared.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Kek(Box<[u8; KEY_LEN]>);

/// Why a key-encryption key could not be read. The operator's configuration or the filer's file is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KekError {
    /// Not 64 hex digits.
    #[error("the key must be 64 hex digits (32 bytes)")]
    NotHex,
    /// The file is neither 64 hex digits nor base64 of a wrapped key.
    #[error("the key file is neither 64 hex digits nor a wrapped key in base64")]
    Format,
    /// The file's key is wrapped, and there is no passphrase.
    #[error("the key file is wrapped: its passphrase (s3.sse.kek.passphrase of the S3 gateway) is needed")]
    PassphraseNeeded,
    /// The passphrase does not open the file.
    #[error("the key file does not open with this passphrase")]
    WrongPassphrase,
}

/// The wrapped data key does not open under this key-encryption key: another KEK wrapped it, or it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the data key does not open under this SSE-S3 key-encryption key")]
pub struct OpenError;

impl Kek {
    /// From 64 hex digits, as `s3.sse.kek` has them.
    pub fn from_hex(digits: &str) -> Result<Self, KekError> {
        let mut kek = Self::zeroed();
        hex::decode_to_slice(digits.trim_ascii(), kek.0.as_mut_slice()).map_err(|_| KekError::NotHex)?;
        Ok(kek)
    }

    /// From any string, as `s3.sse.key` has it: HKDF-SHA256 without salt.
    pub fn derive(secret: &str) -> Self {
        expand(None, secret, b"seaweedfs-sse-s3-kek")
    }

    /// From the contents of the filer's `/etc/s3/sse_kek`: 64 hex digits; or base64 of a key sealed under a passphrase,
    /// with a salt of its own ("SWv2", salt, nonce, sealed) or, before that, with a fixed one (nonce, sealed).
    ///
    /// A passphrase is not looked at where the file is hex digits.
    pub fn from_file(contents: &[u8], passphrase: Option<&str>) -> Result<Self, KekError> {
        let text = std::str::from_utf8(contents).map_err(|_| KekError::Format)?.trim_ascii();
        if let Ok(kek) = Self::from_hex(text) {
            return Ok(kek);
        }
        let file = STANDARD.decode(text).map_err(|_| KekError::Format)?;
        let (salt, wrapped) = match file.strip_prefix(MAGIC).and_then(|rest| rest.split_at_checked(SALT_LEN)) {
            Some((salt, wrapped)) => (salt, wrapped),
            None => (LEGACY_SALT, file.as_slice()),
        };
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or(KekError::Format)?;
        if sealed.len() != KEY_LEN + TAG_LEN {
            return Err(KekError::Format);
        }
        let passphrase = passphrase.filter(|passphrase| !passphrase.is_empty()).ok_or(KekError::PassphraseNeeded)?;
        let wrapping = expand(Some(salt), passphrase, b"kek-wrapping");
        let bytes = wrapping.open_sealed(nonce, sealed).ok_or(KekError::WrongPassphrase)?;
        let mut kek = Self::zeroed();
        kek.0.copy_from_slice(bytes.as_slice());
        Ok(kek)
    }

    /// Opens the data key of an SSE-S3 object: AES-256-GCM without associated data.
    pub fn open(&self, key: &S3Key) -> Result<DataKey, OpenError> {
        let bytes = self.open_sealed(&key.nonce, &key.sealed).ok_or(OpenError)?;
        DataKey::from_slice(bytes.as_slice()).map_err(|_| OpenError)
    }

    fn open_sealed(&self, nonce: &[u8; NONCE_LEN], sealed: &[u8]) -> Option<Zeroizing<[u8; KEY_LEN]>> {
        let (sealed, tag) = sealed.split_last_chunk::<TAG_LEN>()?;
        let mut bytes = Zeroizing::new(<[u8; KEY_LEN]>::try_from(sealed).ok()?);
        let cipher = Aes256Gcm::new((&*self.0).into());
        cipher.decrypt_inout_detached(nonce.into(), b"", bytes.as_mut_slice().into(), tag.into()).ok()?;
        Some(bytes)
    }

    fn zeroed() -> Self {
        Self(Box::new([0; KEY_LEN]))
    }
}

fn expand(salt: Option<&[u8]>, secret: &str, info: &[u8]) -> Kek {
    let mut kek = Kek::zeroed();
    let hkdf = Hkdf::<Sha256>::new(salt, secret.as_bytes());
    hkdf.expand(info, kek.0.as_mut_slice()).expect("HKDF gives 32 bytes");
    kek
}

#[cfg(test)]
mod tests;
