//! The cache of entries, kept true by the filer's subscription.
//!
//! Knows paths, entries, changes and the order in which they come. Must not know a client's request, nor what an entry
//! means: what is derived from one is kept beside it, as a value whose inside is not looked at.
//!
//! # The rule
//!
//! An entry may be kept, and given to later readers without asking, as long as every change to it since it was read
//! would have been seen. Four things together make that so:
//!
//! 1. *One session.* The subscription was caught up when the lookup began and has not broken since. When it breaks, all is
//!    forgotten, and until the next one has caught up every read asks the filer. A session is not resumed where the last
//!    one ended: a filer that crashed has lost the end of its log, so the events in between may never come.
//! 2. *One store.* The lookup was answered under the same signature (`log_signature`) as that of the filer subscribed to.
//!    Filers with the same signature share a store. A position of another filer says nothing about this one's log.
//! 3. *A position inside the session.* The lookup's `log_ts_ns` is not below the position that the session began after:
//!    a change behind it is then among those that the filer sends. This is the one comparison of positions, and both are
//!    of one signature.
//! 4. *No change on the way.* Nothing that touches the path came between the lookup's beginning and its end. What was
//!    read before a change that comes later is thrown away by that change. So an entry read before an event but stored
//!    after it never survives, in whatever order lookup, event and answer meet.
//!
//! Rule 4 counts arrivals here, not clocks. To let an event pass because its position is not above the lookup's would
//! be wrong: a recursive delete logs each file before it takes it out of the store, so that a lookup in between carries
//! the later position and the older entry. The directory's own event, which does come after, takes them all away.
//!
//! An event that another store's filer logged reaches us before the filer that we ask has replayed it. So its paths are
//! held back for [`REPLAY`] after it came: they are asked for each time until then.
//!
//! # What is never kept
//!
//! What may change without an event: names of one file (hard links share their content), files with a time to live, those
//! mirrored from a remote store, and the filer's own log. And entries that carry keys in the clear.
//!
//! The clocks of filers that share a store may differ by up to [`SLACK`].

mod changes;
mod follow;
mod ledger;
#[cfg(test)]
mod tests;
mod uploads;
mod write_invalidation;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use moka::{notification::RemovalCause, sync::Cache};
use prost::Message;

use self::{
    changes::Change,
    ledger::{Ledger, Session},
    uploads::Uploads,
};
pub(crate) use self::{follow::Follower, write_invalidation::WriteInvalidation};
use crate::{
    entry::Kind,
    filer::{EntrySnapshot, FolderAgreement},
    metrics::{CacheContents, CacheCounters, CacheOutcome},
    pb,
};

/// How long the paths of an event from another store are held back: longer than a filer tries to replay one.
const REPLAY: Duration = Duration::from_secs(10);
/// How far the clocks of filers that share a store may be apart.
const SLACK: Duration = Duration::from_secs(60);
/// What an entry takes in memory beside its fields, in bytes: most of it the table of its headers.
const OVERHEAD: usize = 2 << 10;
/// The filer's own log, of which it sends no events.
const UNLOGGED: &str = "/topics/.system/log";

/// An entry with what is derived from it, shared by those who read it.
pub(crate) struct CachedEntry<D> {
    /// The entry.
    pub(crate) entry: pb::Entry,
    /// What is derived from it.
    pub(crate) derived: D,
    session: u64,
    stamp: u64,
}

/// A lookup that has begun. See [`Entries::begin`].
pub(crate) struct Lookup(Option<ledger::Ticket>);

/// Entries by path.
pub(crate) struct Entries<D> {
    /// `None`: nothing is kept.
    kept: Option<PathCache<D>>,
    /// The number of the session that is caught up; 0 while there is none.
    live: AtomicU64,
    ledger: Mutex<Ledger>,
    counters: CacheCounters,
    buckets: FolderAgreement,
    uploads: Uploads,
}

struct PathCache<D> {
    cache: Cache<Arc<str>, Arc<CachedEntry<D>>>,
    /// The kept paths in order, each with the stamp of its entry, so that those below a directory are found.
    paths: Arc<Mutex<Paths>>,
}

type Paths = std::collections::BTreeMap<Arc<str>, u64>;

impl<D: Send + Sync + 'static> Entries<D> {
    /// Keeps entries of `bytes` together; 0 keeps none. Nothing is kept before a [`Follower`] runs.
    pub(crate) fn new(bytes: u64, buckets: FolderAgreement, counters: CacheCounters) -> Arc<Self> {
        Arc::new(Self {
            kept: (bytes > 0).then(|| PathCache::new(bytes)),
            live: AtomicU64::new(0),
            ledger: Mutex::new(Ledger::new(REPLAY)),
            counters,
            buckets,
            uploads: Uploads::new(),
        })
    }

    /// The entry at `path`, if it is known to be true. It is counted whether it is.
    pub(crate) fn get(&self, path: &str) -> Option<Arc<CachedEntry<D>>> {
        let known = self.known(path);
        if self.kept.is_some() {
            self.counters.record(if known.is_some() { CacheOutcome::Hit } else { CacheOutcome::Miss });
        }
        known
    }

    /// As [`get`](Self::get), for who was counted before.
    pub(crate) fn known(&self, path: &str) -> Option<Arc<CachedEntry<D>>> {
        let live = self.live.load(Ordering::Acquire);
        self.kept.as_ref()?.cache.get(path).filter(|known| live != 0 && known.session == live)
    }

    /// What is kept now.
    pub(crate) fn contents(&self) -> CacheContents {
        let Some(kept) = &self.kept else { return CacheContents { entries: 0, bytes: Some(0) } };
        kept.cache.run_pending_tasks();
        CacheContents { entries: kept.cache.entry_count(), bytes: Some(kept.cache.weighted_size()) }
    }

    /// To be called before the filer is asked for an entry.
    pub(crate) fn begin(&self) -> Lookup {
        Lookup(self.kept.as_ref().and_then(|_| self.ledger().begin()))
    }

    /// What the filer answered to a lookup, kept if the rule allows.
    pub(crate) fn store(&self, lookup: &Lookup, path: &str, found: EntrySnapshot, derived: D) -> Arc<CachedEntry<D>> {
        let position = (found.log_signature, found.log_ts_ns);
        let (Some(kept), Some(ticket)) =
            (&self.kept, lookup.0.as_ref().filter(|_| self.may_be_kept(path, &found.entry)))
        else {
            return Arc::new(CachedEntry { entry: found.entry, derived, session: 0, stamp: 0 });
        };
        // Under the lock, so that no event comes between the judgement and the insertion.
        let mut ledger = self.ledger();
        let allowed = ledger.allows(ticket, path, found.entry.is_directory, position);
        let (session, stamp) = if allowed { (ticket.session(), ledger.stamp()) } else { (0, 0) };
        let known = Arc::new(CachedEntry { entry: found.entry, derived, session, stamp });
        if allowed {
            kept.insert(path, Arc::clone(&known));
        }
        known
    }

    /// Forgets `path`, all below it, and files above it, also in lookups that are under way: somebody has changed it, or put
    /// something there.
    pub(crate) fn forget(&self, path: &str) {
        self.apply(&Change { path: path.to_owned(), below: true, above: true }, false);
    }

    /// Forgets everything, also in lookups that are under way.
    pub(crate) fn forget_all(&self) {
        let mut ledger = self.ledger();
        ledger.all_changed();
        if let Some(kept) = &self.kept {
            kept.remove(&Change { path: String::new(), below: true, above: false });
        }
    }

    /// One change has come. `foreign`: from a filer with another store.
    fn apply(&self, change: &Change, foreign: bool) {
        let mut ledger = self.ledger();
        ledger.changed(change, foreign);
        if let Some(kept) = &self.kept {
            kept.remove(change);
        }
    }

    /// A session begins; it is not caught up yet.
    fn open(&self, session: Session) {
        self.close();
        self.ledger().open(session);
    }

    /// The session has caught up.
    fn caught_up(&self) {
        let number = self.ledger().caught_up();
        self.live.store(number, Ordering::Release);
    }

    /// The session is over.
    fn close(&self) {
        self.live.store(0, Ordering::Release);
        let mut ledger = self.ledger();
        ledger.close();
        if let Some(kept) = &self.kept {
            kept.clear();
        }
    }

    /// Whether the entry is read again and again, and may stay in memory.
    fn may_be_kept(&self, path: &str, entry: &pb::Entry) -> bool {
        let is_read = match entry.kind() {
            Kind::File => true,
            Kind::Directory => self.is_of_bucket(path),
            Kind::RemoteOnly | Kind::Symlink | Kind::Special => false,
        };
        is_read && may_be_kept(path, entry)
    }

    /// Whether this is a directory whose attributes say how the objects of a bucket are read: the bucket's own, or one of
    /// versions. Others are listed, which only the filer does.
    fn is_of_bucket(&self, path: &str) -> bool {
        let folder = self.buckets.get();
        let below = folder.as_ref().and_then(|folder| folder.below(path));
        below.is_some_and(|below| !below.contains('/') || below.ends_with(".versions"))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Send + Sync + 'static> PathCache<D> {
    fn new(bytes: u64) -> Self {
        let paths = Arc::new(Mutex::new(Paths::new()));
        let index = Arc::clone(&paths);
        let cache = Cache::builder()
            .max_capacity(bytes)
            .weigher(|path: &Arc<str>, known: &Arc<CachedEntry<D>>| weight(path, &known.entry))
            .eviction_listener(move |path: Arc<Arc<str>>, known: Arc<CachedEntry<D>>, cause| {
                // What replaces an entry has taken its place in the index already.
                if cause != RemovalCause::Replaced {
                    let mut paths = index.lock().unwrap_or_else(PoisonError::into_inner);
                    if paths.get(&**path) == Some(&known.stamp) {
                        paths.remove(&**path);
                    }
                }
            })
            .build();
        Self { cache, paths }
    }

    fn insert(&self, path: &str, known: Arc<CachedEntry<D>>) {
        let path: Arc<str> = path.into();
        self.paths().insert(Arc::clone(&path), known.stamp);
        self.cache.insert(path, known);
    }

    fn remove(&self, change: &Change) {
        self.cache.invalidate(change.path.as_str());
        for path in change.ancestors() {
            if self.cache.get(path).is_some_and(|known| !known.entry.is_directory) {
                self.cache.invalidate(path);
            }
        }
        if change.below {
            let directory = format!("{}/", change.path);
            // The cache calls back into the index, so that must be free by then.
            let below: Vec<_> = {
                let paths = self.paths();
                let after = paths.range::<str, _>((std::ops::Bound::Included(&*directory), std::ops::Bound::Unbounded));
                after.map(|(path, _)| Arc::clone(path)).take_while(|path| path.starts_with(&directory)).collect()
            };
            for path in below {
                self.cache.invalidate(&path);
            }
        }
    }

    fn clear(&self) {
        self.cache.invalidate_all();
    }

    fn paths(&self) -> MutexGuard<'_, Paths> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(path: &str, entry: &pb::Entry) -> u32 {
    // Decoded, a message takes about twice what it takes on the wire, and what is derived from it once more.
    u32::try_from(3 * entry.encoded_len() + 2 * path.len() + OVERHEAD).unwrap_or(u32::MAX)
}

/// Whether every change of the entry comes as an event, and it may stay in memory.
fn may_be_kept(path: &str, entry: &pb::Entry) -> bool {
    entry.hard_link_id.is_empty()
        && entry.remote_entry.is_none()
        && entry.attributes.as_ref().is_none_or(|attributes| attributes.ttl_sec == 0)
        && entry.chunks.iter().all(|chunk| chunk.cipher_key.is_empty())
        && !path.starts_with(UNLOGGED)
}
