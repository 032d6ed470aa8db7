//! From what an object says about its encryption to the keys that a read needs, every one of them checked.

use std::{collections::BTreeSet, sync::Arc};

use crypto::{CustomerKey, DataKey, Layout, Scheme, WrappedKey};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, StatusCode};

use super::{customer, decode::Decrypt};
use crate::{Blame, Error, Result, keys::KeyRing};

/// Data keys that are asked for at once on behalf of one request.
const AT_ONCE: usize = 8;

/// The keys of one read. An index without a key belongs to chunks outside of what is read.
pub(super) struct Unlocked {
    keys: Vec<Option<Arc<DataKey>>>,
}

impl Unlocked {
    /// No keys, for what is not encrypted.
    pub(super) fn nothing() -> Self {
        Self { keys: Vec::new() }
    }

    /// The transform for chunk `index` of the layout; `None`: the chunk is raw.
    ///
    /// # Errors
    /// When the chunk was not among those that the keys were opened for.
    pub(super) fn chunk(&self, layout: &Layout, index: usize) -> Result<Option<Decrypt>> {
        let Some(start) = layout.chunks.get(index).copied().flatten() else { return Ok(None) };
        match self.keys.get(start.key) {
            Some(Some(key)) => Ok(Some(Decrypt::new(Arc::clone(key), start))),
            _ => Err(unopened(index)),
        }
    }

    /// The transform for inline content; `None`: it is raw.
    ///
    /// # Errors
    /// When its key was not opened.
    pub(super) fn inline(&self, layout: &Layout) -> Result<Option<Decrypt>> {
        let Some(start) = layout.inline else { return Ok(None) };
        match self.keys.get(start.key) {
            Some(Some(key)) => Ok(Some(Decrypt::new(Arc::clone(key), start))),
            _ => Err(unopened(0)),
        }
    }
}

/// Checks a customer's key against everything that the object tells of it, whatever part of it is read.
///
/// # Errors
/// 400 if the request brings none, 403 if it is another one.
pub(super) fn customer_key(layout: &Layout, headers: &HeaderMap) -> Result<Option<Arc<DataKey>>> {
    if layout.scheme != Scheme::C {
        return Ok(None);
    }
    let key = customer::key(headers)?;
    let stored = layout.customer_key_md5.map(|md5| WrappedKey::Customer(CustomerKey { md5 }));
    if stored.iter().chain(&layout.keys).any(|wrapped| wrapped.verify(&key).is_err()) {
        return Err(customer::wrong_key());
    }
    Ok(Some(key))
}

/// Opens the keys that the chunks of `needed` and the inline content take.
///
/// # Errors
/// What the key ring fails with.
pub(super) async fn open(
    layout: &Layout,
    needed: impl Iterator<Item = usize>,
    customer: Option<Arc<DataKey>>,
    ring: &KeyRing,
    bucket: Option<&str>,
) -> Result<Unlocked> {
    if let Some(key) = customer {
        return Ok(Unlocked { keys: layout.keys.iter().map(|_| Some(Arc::clone(&key))).collect() });
    }
    let starts = needed.filter_map(|index| layout.chunks.get(index).copied().flatten());
    let wanted: BTreeSet<usize> = starts.chain(layout.inline).map(|start| start.key).collect();
    let opened: Vec<(usize, Arc<DataKey>)> = stream::iter(wanted)
        .map(|index| async move { Ok::<_, Error>((index, ring.open(bucket, &layout.keys[index]).await?)) })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let mut keys: Vec<_> = layout.keys.iter().map(|_| None).collect();
    for (index, key) in opened {
        keys[index] = Some(key);
    }
    Ok(Unlocked { keys })
}

fn unopened(index: usize) -> Error {
    let message = format!("chunk {index} needs a key that was not opened; this is a defect of tidegate");
    Error::new(Blame::Config, StatusCode::INTERNAL_SERVER_ERROR, message)
}
