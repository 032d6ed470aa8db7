//! From what an object says about its encryption to the keys that a read needs, every one of them checked.

use std::sync::Arc;

use crypto::{CustomerKey, DataKey, KeyStart, Layout, Scheme, WrappedKey};
use http::{HeaderMap, StatusCode};
use prefetch::Transform;

use super::{customer, decode::Decrypt, opening::Opening};
use crate::{Blame, Error, Result, keys::KeyRing};

/// The keys of one read.
pub(super) enum ReadKeys {
    /// None are needed.
    Nothing,
    /// The customer's, for all of it.
    Customer(Arc<DataKey>),
    /// Those that a KMS or the SSE-S3 key opens.
    Managed(Arc<Opening>),
}

impl ReadKeys {
    /// The transform for chunk `index` of the layout; `None`: the chunk is raw.
    ///
    /// # Errors
    /// When the chunk was not among those that the keys are opened for.
    pub(super) fn chunk(&self, layout: &Layout, index: usize) -> Result<Option<Arc<dyn Transform>>> {
        let Some(start) = layout.chunks.get(index).copied().flatten() else { return Ok(None) };
        Ok(Some(match self {
            Self::Nothing => return Err(unopened(index)),
            Self::Customer(key) => Arc::new(customers(layout, start, key)?),
            Self::Managed(keys) => keys.decrypt(start)?,
        }))
    }

    /// The transform for inline content; `None`: it is raw.
    ///
    /// # Errors
    /// When its key was not opened.
    pub(super) fn inline(&self, layout: &Layout) -> Result<Option<Decrypt>> {
        let Some(start) = layout.inline else { return Ok(None) };
        Ok(Some(match self {
            Self::Nothing => return Err(unopened(0)),
            Self::Customer(key) => customers(layout, start, key)?,
            Self::Managed(keys) => keys.decrypt_now(start)?,
        }))
    }
}

/// Decrypts with a customer's key, if it is that of these bytes: chunks may have come out of manifests since it was checked.
fn customers(layout: &Layout, start: KeyStart, key: &Arc<DataKey>) -> Result<Decrypt> {
    let accepted = layout.accept(start.key, Arc::clone(key)).map_err(|_| customer::wrong_key())?;
    Decrypt::new(layout, start, &accepted)
}

/// Checks a customer's key against everything that the object tells of it, whatever part of it is read.
///
/// # Errors
/// 400 if the request brings none, 403 if it is another one.
pub(crate) fn customer_key(layout: &Layout, headers: &HeaderMap) -> Result<Option<Arc<DataKey>>> {
    if layout.scheme != Scheme::C {
        return Ok(None);
    }
    let key = customer::key(headers)?;
    // Where there are keys, the first of them has that MD5.
    let stored = layout.customer_key_md5.filter(|_| layout.keys.is_empty());
    let stored = stored.map(|md5| WrappedKey::Customer(CustomerKey { md5 }));
    if stored.iter().chain(&layout.keys).any(|wrapped| wrapped.verify(&key).is_err()) {
        return Err(customer::wrong_key());
    }
    Ok(Some(key))
}

/// Opens the first keys that a read takes, which needs so many bytes (the second) of these chunks (the first), in that
/// order.
///
/// # Errors
/// What the key ring fails with.
pub(super) async fn open(
    layout: &Arc<Layout>,
    needed: impl Iterator<Item = (usize, u64)>,
    customer: Option<Arc<DataKey>>,
    ring: &Arc<KeyRing>,
    bucket: Option<&str>,
) -> Result<ReadKeys> {
    match (layout.scheme, customer) {
        (Scheme::None, _) => Ok(ReadKeys::Nothing),
        (_, Some(key)) => Ok(ReadKeys::Customer(key)),
        (_, None) => Opening::begin(layout, needed, ring, bucket).await.map(ReadKeys::Managed),
    }
}

fn unopened(index: usize) -> Error {
    let message = format!("chunk {index} needs a key that was not opened; this is a defect of tidegate");
    Error::new(Blame::Config, StatusCode::INTERNAL_SERVER_ERROR, message)
}
