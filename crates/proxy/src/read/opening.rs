//! The data keys of one read, in the order in which it comes to them: the first ones before the header goes out, the
//! others ahead of the client.
//!
//! Knows how many of them are asked for at once, and which come next. Must not know how a key is opened.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crypto::{KeyStart, Layout, Scheme, VerifiedKey};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::StatusCode;
use prefetch::{SharedError, Start, Transform};
use tokio::sync::{OnceCell, Semaphore};

use super::decode::Decrypt;
use crate::{
    Blame, Error, Result,
    correlation::Correlation,
    keys::{KeyRing, Urgency},
};

/// The keys of so many bytes, from the answer's first on, are opened before the header: what is refused there is refused
/// in words.
const FIRST_BYTES: u64 = 8 << 20;
/// But not more than so many, lest an answer that is made of crumbs waits for all of them.
const FIRST_KEYS: usize = 32;
/// Keys that are asked for at once on behalf of one read. So one of ten thousand parts has no longer a line than others.
const AT_ONCE: usize = 8;
/// How many keys behind the one that is used are being opened.
const NEXT: usize = 2;

/// The keys of one read.
pub(super) struct Opening {
    layout: Arc<Layout>,
    ring: Arc<KeyRing>,
    bucket: Option<String>,
    /// Indices into [`Layout::keys`], each once.
    order: Vec<usize>,
    /// Where in the order an index stands.
    places: HashMap<usize, usize>,
    /// For each place.
    opened: Vec<OnceCell<VerifiedKey>>,
    /// The place up to which somebody opens them.
    begun: AtomicUsize,
    turns: Semaphore,
    /// The request that reads, if one does.
    reader: Option<Correlation>,
}

impl Opening {
    /// Opens the first keys of a read that takes so many bytes (the second) of chunks (the first), in that order.
    ///
    /// # Errors
    /// What the key ring fails with.
    pub(super) async fn begin(
        layout: &Arc<Layout>,
        needed: impl Iterator<Item = (usize, u64)>,
        ring: &Arc<KeyRing>,
        bucket: Option<&str>,
    ) -> Result<Arc<Self>> {
        let (mut order, mut places) = (Vec::new(), HashMap::new());
        let (mut first, mut bytes) = (0, 0_u64);
        let inline = layout.inline.map(|start| (start.key, 0));
        let starts = needed.map(|(index, len)| (layout.chunks.get(index).copied().flatten(), len));
        let keys = starts.filter_map(|(start, len)| Some((start?.key, len)));
        for (key, len) in inline.into_iter().chain(keys) {
            places.entry(key).or_insert_with(|| {
                order.push(key);
                order.len() - 1
            });
            if bytes < FIRST_BYTES {
                first = order.len().min(FIRST_KEYS);
            }
            bytes = bytes.saturating_add(len);
        }
        let opened = order.iter().map(|_| OnceCell::new()).collect();
        // The others are opened here, each in a microsecond when it is needed.
        let begun = if layout.scheme == Scheme::Kms { first } else { usize::MAX };
        let this = Arc::new(Self {
            layout: Arc::clone(layout),
            ring: Arc::clone(ring),
            bucket: bucket.map(str::to_owned),
            order,
            places,
            opened,
            begun: AtomicUsize::new(begun),
            turns: Semaphore::new(AT_ONCE),
            reader: Correlation::current(),
        });
        let firsts = stream::iter(0..first).map(|place| this.get(place, Urgency::Head));
        firsts.buffer_unordered(AT_ONCE).try_for_each(async |_| Ok(())).await?;
        Ok(this)
    }

    /// What decrypts the bytes of a chunk whose keystream starts there.
    ///
    /// # Errors
    /// When the chunk was not among those that are needed.
    pub(super) fn decrypt(self: &Arc<Self>, start: KeyStart) -> Result<Arc<dyn Transform>> {
        match self.places.get(&start.key) {
            Some(&place) => Ok(Arc::new(LateDecrypt { keys: Arc::clone(self), place, start })),
            None => Err(unopened()),
        }
    }

    /// The same where it is needed at once.
    ///
    /// # Errors
    /// When the key is not one of the first.
    pub(super) fn decrypt_now(&self, start: KeyStart) -> Result<Decrypt> {
        let key = self.places.get(&start.key).and_then(|&place| self.opened[place].get());
        Decrypt::new(&self.layout, start, key.ok_or_else(unopened)?)
    }

    async fn get(&self, place: usize, urgency: Urgency) -> Result<&VerifiedKey> {
        self.opened[place]
            .get_or_try_init(async || {
                // Closed never.
                let _turn = self.turns.acquire().await;
                let key = self.ring.open(self.bucket.as_deref(), &self.layout.keys[self.order[place]], urgency);
                // Who comes to a key later does it in a task of the download.
                Correlation::scope_of(self.reader.clone(), key).await
            })
            .await
    }

    /// Begins to open the keys behind that one. Who needs one of them waits for it and is told what became of it.
    fn look_ahead(self: &Arc<Self>, place: usize) {
        let until = (place + 1 + NEXT).min(self.order.len());
        let from = self.begun.fetch_max(until, Ordering::Relaxed);
        for place in from.max(place + 1)..until {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.get(place, Urgency::Ahead).await.map(drop) });
        }
    }
}

/// Decrypts when the key is there.
struct LateDecrypt {
    keys: Arc<Opening>,
    place: usize,
    start: KeyStart,
}

impl Transform for LateDecrypt {
    fn start(&self, offset: u64) -> Start<'_> {
        self.keys.look_ahead(self.place);
        let decoder = move |key: &VerifiedKey| Ok(Decrypt::new(&self.keys.layout, self.start, key)?.from(offset));
        match self.keys.opened[self.place].get().map(decoder) {
            Some(Ok(decoder)) => Start::Now(decoder),
            known => Start::Later(Box::pin(async move {
                let decoder = match known {
                    Some(known) => known,
                    None => self.keys.get(self.place, Urgency::Ahead).await.and_then(decoder),
                };
                decoder.map_err(|error: Error| Arc::new(error) as SharedError)
            })),
        }
    }
}

fn unopened() -> Error {
    let message = "a chunk needs a key that was not opened; this is a defect of tidegate";
    Error::new(Blame::Config, StatusCode::INTERNAL_SERVER_ERROR, message)
}
