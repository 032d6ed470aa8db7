//! Keys and ciphers of SeaweedFS's server-side encryption.
//!
//! Knows: AES-256-CTR at any byte of a stream, AES-256-GCM chunks, what SeaweedFS stores about encryption (the JSON of a
//! chunk and the Extended attributes of an entry, legacy forms included), the KMS envelope, key commitments, and the
//! key-encryption key of SSE-S3. All of it is bytes in, bytes out.
//!
//! Must not know: HTTP, gRPC, the filer, volume servers, a KMS, files, clocks. It starts no tasks and does no I/O.
//!
//! The way through it:
//!
//! 1. [`Layout::read`] turns an entry's attributes and chunks into what a reader needs: which keys, and where the
//!    keystream of each chunk starts. Everything stored is checked here, before a byte is sent.
//! 2. The caller unwraps each [`WrappedKey`]: [`parse_customer_key`] for SSE-C, a KMS for SSE-KMS, [`Kek::open`] for
//!    SSE-S3. [`WrappedKey::accept`] then checks that the key is the right one.
//! 3. [`Layout::decryption`] binds a key that was accepted to a chunk of its own. Nothing else gives a [`Keystream`], which
//!    decrypts, in place or in the copy, from any byte on.
//!
//! Key types have no `Debug`, `Display`, `Clone` or `PartialEq` and are wiped when dropped. Errors name the field at
//! fault and never its value.

mod attributes;
mod chunk;
mod commitment;
mod customer;
mod datakey;
mod echo;
mod envelope;
mod error;
mod json;
mod kek;
mod keystream;
mod layout;
mod metadata;
mod parts;
mod scheme;
mod stored;
mod verified;
mod wrapped;

pub use attributes::{Attributes, name};
pub use chunk::{CHUNK_NONCE_LEN, CHUNK_TAG_LEN, ChunkError, open_chunk};
pub use commitment::Commitment;
pub use customer::{CustomerKeyError, parse_customer_key};
pub use datakey::{DATA_KEY_LEN, DataKey, KeyLengthError};
pub use echo::Echo;
pub use envelope::{Envelope, context_json};
pub use error::{Doubt, MetadataError, Place, Problem};
pub use kek::{Kek, KekError, OpenError};
pub use keystream::Keystream;
pub use layout::{KeyStart, Kind, Layout, UnlabelledReading};
pub use scheme::Scheme;
pub use stored::{History, StoredChunk};
pub use verified::{Decryption, VerifiedKey};
pub use wrapped::{CustomerKey, KmsKey, S3Key, VerifyError, WrappedKey};
