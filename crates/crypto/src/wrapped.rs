//! Wrapped data keys: what must be asked for the key of an object, and how to tell that the answer is right.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::{commitment::Commitment, customer, datakey::DataKey, envelope::Envelope};

/// A data key as it is stored, by the scheme that unwraps it.
#[derive(Clone)]
pub enum WrappedKey {
    /// SSE-C: not stored at all, the client has it.
    Customer(CustomerKey),
    /// SSE-KMS: a KMS opens it.
    Kms(KmsKey),
    /// SSE-S3: a [`Kek`](crate::Kek) opens it.
    S3(S3Key),
}

/// The key of an SSE-C object.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomerKey {
    /// MD5 of the key.
    pub md5: [u8; 16],
}

/// The data key of an SSE-KMS object.
#[derive(Clone, PartialEq)]
pub struct KmsKey {
    /// Id of the KMS key as stored. The KMS must name the same one when it opens the data key.
    pub key_id: String,
    /// The wrapped data key.
    pub envelope: Envelope,
    /// The encryption context that it was wrapped under.
    pub context: BTreeMap<String, String>,
    /// Whether the bucket's own data key was used.
    pub bucket_key_enabled: bool,
    /// Every distinct commitment stored for this key.
    pub commitments: Vec<Commitment>,
}

/// The data key of an SSE-S3 object.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Key {
    /// The id that the gateway gave it.
    pub key_id: String,
    /// The data key under AES-256-GCM, 48 bytes.
    pub sealed: Vec<u8>,
    /// The nonce of that.
    pub nonce: [u8; 12],
    /// Every distinct commitment stored for this key.
    pub commitments: Vec<Commitment>,
}

/// An unwrapped key that is not the object's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The customer's key is another than the object was written with. The client's fault.
    #[error("the customer key is not the one the object was written with")]
    CustomerKey,
    /// The key does not match its stored commitment: the key, its IV or the commitment was changed.
    #[error("the data key does not match the key commitment stored with it")]
    Commitment,
    /// A sound key, but of other bytes. The caller's fault.
    #[error("the data key is not that of these bytes")]
    OtherKey,
}

impl WrappedKey {
    /// SHA-256 over everything that determines the unwrapped key, for caches.
    ///
    /// Commitments are not part of it: a key out of a cache must still pass [`WrappedKey::verify`].
    pub fn id(&self) -> [u8; 32] {
        let mut frame = Frame::default();
        match self {
            Self::Customer(key) => {
                frame.field(b"customer");
                frame.field(&key.md5);
            }
            Self::Kms(key) => {
                frame.field(b"kms");
                frame.field(key.key_id.as_bytes());
                frame.envelope(&key.envelope);
                frame.count(key.context.len());
                for (name, value) in &key.context {
                    frame.field(name.as_bytes());
                    frame.field(value.as_bytes());
                }
            }
            Self::S3(key) => {
                frame.field(b"s3");
                frame.field(key.key_id.as_bytes());
                frame.field(&key.nonce);
                frame.field(&key.sealed);
            }
        }
        frame.0.finalize().into()
    }

    /// Whether `key` is this key unwrapped, by all that the object tells about it: the MD5 for SSE-C, every commitment
    /// for the others. An object without commitments says nothing, so any key passes.
    pub fn verify(&self, key: &DataKey) -> Result<(), VerifyError> {
        match self {
            Self::Customer(stored) if !customer::has_md5(key, &stored.md5) => Err(VerifyError::CustomerKey),
            // All of them, so that the time does not tell which.
            _ if self.commitments().iter().filter(|commitment| !commitment.verify(key)).count() > 0 => {
                Err(VerifyError::Commitment)
            }
            _ => Ok(()),
        }
    }

    /// The commitments stored for this key. None is legal, unless the operator demands them.
    pub fn commitments(&self) -> &[Commitment] {
        match self {
            Self::Customer(_) => &[],
            Self::Kms(key) => &key.commitments,
            Self::S3(key) => &key.commitments,
        }
    }

    /// Takes over a commitment of the same key that was found elsewhere in the object, and is none of those it has.
    pub(crate) fn absorb(&mut self, commitment: Commitment) {
        if let Self::Kms(KmsKey { commitments, .. }) | Self::S3(S3Key { commitments, .. }) = self {
            commitments.push(commitment);
        }
    }
}

/// Fields hashed with their lengths before them, so that no two lists of fields give the same bytes.
#[derive(Default)]
struct Frame(Sha256);

impl Frame {
    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_be_bytes());
    }

    fn field(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.update(bytes);
    }

    fn envelope(&mut self, envelope: &Envelope) {
        self.field(envelope.provider.as_bytes());
        self.field(envelope.key_id.as_bytes());
        self.field(envelope.ciphertext.as_bytes());
        self.field(&envelope.version.to_be_bytes());
        match &envelope.provider_specific {
            Some(specific) => {
                self.count(1);
                self.field(serde_json::Value::Object(specific.clone()).to_string().as_bytes());
            }
            None => self.count(0),
        }
    }
}

#[cfg(test)]
mod tests;
