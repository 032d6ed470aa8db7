//! The rule against a model: a store, its log, a line that the events come over, and lookups in between.

use proptest::prelude::*;

use super::*;
use crate::metrics::{self, Metrics};

const SIGNATURE: i32 = 7;
const PATHS: [&str; 4] = ["/d/a", "/d/b", "/d/e/a", "/f"];

fn counters() -> CacheCounters {
    Metrics::new([]).unwrap().caches.of(metrics::Cache::Entries)
}

fn folder() -> FolderAgreement {
    let folder = FolderAgreement::default();
    folder.tell(0, "f", "/buckets");
    folder
}

fn entries() -> Arc<Entries<()>> {
    Entries::new(1 << 20, folder(), counters())
}

fn found(version: u64, position: i64) -> EntrySnapshot {
    let attributes = pb::FuseAttributes { file_size: version, ..Default::default() };
    let entry = pb::Entry { attributes: Some(attributes), ..Default::default() };
    EntrySnapshot { entry, log_ts_ns: position, log_signature: SIGNATURE }
}

fn live(entries: &Entries<()>) {
    entries.open(Session { signature: SIGNATURE, since: 0 });
    entries.caught_up();
}

/// What may happen, in any order.
#[derive(Clone, Debug)]
enum Step {
    /// A write to a path of the store, logged after it.
    Write(usize),
    /// Everything below `/d` is written, logged before: as a recursive delete does with files. The directory's own
    /// event follows.
    Directory,
    /// Something is moved below a path, which is a directory then. Only what was moved is told of.
    Below(usize),
    /// A write that passes through us: its path is forgotten when it is acknowledged.
    WriteThrough(usize),
    /// A lookup begins.
    Begin(usize),
    /// The filer reads the entry for the oldest lookup that has not been read for.
    Read,
    /// The answer of the oldest lookup that was read for is here.
    Store,
    /// The next event comes.
    Event,
    /// The subscription breaks: what is on its way is lost.
    Break,
    /// The subscription is back and caught up.
    Resume,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let path = 0..PATHS.len();
    let step = prop_oneof![
        3 => path.clone().prop_map(Step::Write),
        1 => Just(Step::Directory),
        1 => path.clone().prop_map(Step::Below),
        1 => path.clone().prop_map(Step::WriteThrough),
        4 => path.prop_map(Step::Begin),
        4 => Just(Step::Read),
        4 => Just(Step::Store),
        4 => Just(Step::Event),
        1 => Just(Step::Break),
        2 => Just(Step::Resume),
    ];
    proptest::collection::vec(step, 1..120)
}

struct Asked {
    path: usize,
    lookup: Lookup,
    /// What the filer read, and at which position.
    read: Option<(u64, i64)>,
}

#[derive(Default)]
struct Model {
    clock: i64,
    versions: [u64; PATHS.len()],
    /// Events on their way, in order.
    line: std::collections::VecDeque<Change>,
    asked: std::collections::VecDeque<Asked>,
    up: bool,
}

impl Model {
    fn write(&mut self, path: usize) {
        self.clock += 1;
        self.versions[path] += 1;
    }

    fn log(&mut self, path: &str, below: bool) {
        self.tell(Change { path: path.to_owned(), below, above: false });
    }

    fn tell(&mut self, change: Change) {
        self.clock += 1;
        if self.up {
            self.line.push_back(change);
        }
    }

    fn step(&mut self, entries: &Entries<()>, step: &Step) {
        match *step {
            Step::Write(path) => {
                self.write(path);
                self.log(PATHS[path], false);
            }
            Step::Directory => {
                let below = (0..PATHS.len()).filter(|path| PATHS[*path].starts_with("/d/")).collect::<Vec<_>>();
                below.iter().for_each(|path| self.log(PATHS[*path], false));
                below.iter().for_each(|path| self.write(*path));
                self.log("/d", true);
            }
            Step::Below(path) => {
                self.write(path);
                self.tell(Change { path: format!("{}/moved", PATHS[path]), below: true, above: true });
            }
            Step::WriteThrough(path) => {
                self.write(path);
                self.log(PATHS[path], false);
                entries.forget(PATHS[path]);
            }
            Step::Begin(path) => {
                self.asked.push_back(Asked { path, lookup: entries.begin(), read: None });
            }
            Step::Read => {
                self.clock += 1;
                if let Some(asked) = self.asked.iter_mut().find(|asked| asked.read.is_none()) {
                    asked.read = Some((self.versions[asked.path], self.clock));
                }
            }
            Step::Store => {
                if let Some(at) = self.asked.iter().position(|asked| asked.read.is_some())
                    && let Some(Asked { path, lookup, read: Some((version, position)) }) = self.asked.remove(at)
                {
                    entries.store(&lookup, PATHS[path], found(version, position), ());
                }
            }
            Step::Event => {
                if let Some(change) = self.line.pop_front() {
                    entries.apply(&change, false);
                }
            }
            Step::Break => {
                self.up = false;
                self.line.clear();
                entries.close();
            }
            Step::Resume => {
                self.up = true;
                self.line.clear();
                entries.open(Session { signature: SIGNATURE, since: self.clock });
                entries.caught_up();
            }
        }
    }

    /// What is kept is true, but for changes whose event is still on its way.
    fn check(&self, entries: &Entries<()>) -> Result<(), TestCaseError> {
        for (path, version) in PATHS.iter().zip(self.versions) {
            let Some(known) = entries.get(path) else { continue };
            prop_assert!(self.up, "{path} is given while nobody tells of changes");
            let coming = self.line.iter().any(|change| change.touches(path, false));
            prop_assert!(known.entry.size() == version || coming, "{path} is stale for good");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_was_read_before_a_change_does_not_outlive_it(steps in steps()) {
        let (entries, mut model) = (entries(), Model::default());
        model.step(&entries, &Step::Resume);
        for step in &steps {
            model.step(&entries, step);
            model.check(&entries)?;
        }
    }
}

#[test]
fn what_is_true_is_kept() {
    let entries = entries();
    live(&entries);
    let lookup = entries.begin();
    entries.store(&lookup, "/d/a", found(1, 1), ());
    assert_eq!(entries.get("/d/a").map(|known| known.entry.size()), Some(1));
    entries.apply(&Change { path: "/d/b".to_owned(), below: true, above: false }, false);
    entries.apply(&Change { path: "/d".to_owned(), below: false, above: false }, false);
    assert!(entries.get("/d/a").is_some());
    entries.apply(&Change { path: "/d".to_owned(), below: true, above: false }, false);
    assert!(entries.get("/d/a").is_none());
}

/// `mv.from` below a file: the file is a directory at once, also for who reads next.
#[test]
fn what_is_put_below_a_file_takes_the_file_away() {
    let entries = entries();
    live(&entries);
    let keep = |path: &str, is_directory: bool| {
        let mut found = found(1, 1);
        found.entry.is_directory = is_directory;
        let lookup = entries.begin();
        entries.store(&lookup, path, found, ());
        assert!(entries.get(path).is_some());
    };
    keep("/buckets/b", true);
    keep("/buckets/b/d/a", false);
    let lookup = entries.begin();
    entries.forget("/buckets/b/d/a/c/moved");
    assert!(entries.get("/buckets/b/d/a").is_none());
    assert!(entries.get("/buckets/b").is_some(), "a directory stays one");
    entries.store(&lookup, "/buckets/b/d/a", found(1, 1), ());
    assert!(entries.get("/buckets/b/d/a").is_none(), "it was looked up before");
}

/// The path that the last piece is sent to does not name it: the old file was read until the filer's event came.
#[test]
fn a_resumable_upload_takes_the_file_away_that_it_makes() {
    let entries = entries();
    live(&entries);
    let is_kept_after = |method: &str, path: &str, status: u16| {
        let lookup = entries.begin();
        entries.store(&lookup, "/d/a", found(1, 1), ());
        assert!(entries.get("/d/a").is_some());
        let request = http::Request::builder().method(method).uri(path).header("tus-resumable", "1.0.0");
        let (request, ()) = request.body(()).unwrap().into_parts();
        let answer = http::Response::builder().status(status).header("location", "/.tus/.uploads/1").body(()).unwrap();
        WriteInvalidation::by(&request, &entries).answered(&answer);
        entries.get("/d/a").is_some()
    };
    assert!(!is_kept_after("POST", "/.tus/d/a", 201), "it may have come with the request");
    assert!(!is_kept_after("PATCH", "/.tus/.uploads/1", 204), "it may be the last piece");
    assert!(is_kept_after("PATCH", "/.tus/.uploads/1", 409));
    assert!(is_kept_after("PATCH", "/.tus/.uploads/2", 204), "another upload");
    assert!(is_kept_after("HEAD", "/.tus/.uploads/1", 200));
}

#[test]
fn an_answer_that_an_event_overtook_is_not_kept() {
    let entries = entries();
    live(&entries);
    for touch in ["/d/a", "/d", ""] {
        let lookup = entries.begin();
        entries.apply(&Change { path: touch.to_owned(), below: true, above: false }, false);
        let given = entries.store(&lookup, "/d/a", found(1, i64::MAX), ());
        assert_eq!(given.entry.size(), 1, "who asked gets it all the same");
        assert!(entries.get("/d/a").is_none(), "{touch}");
    }
}

#[test]
fn more_changes_than_are_remembered_overtake_everything() {
    let entries = entries();
    live(&entries);
    let lookup = entries.begin();
    for number in 0..5000 {
        entries.apply(&Change { path: format!("/other/{number}"), below: false, above: false }, false);
    }
    entries.store(&lookup, "/d/a", found(1, 1), ());
    assert!(entries.get("/d/a").is_none());
}

#[test]
fn only_the_store_that_is_followed_is_believed() {
    let entries = entries();
    entries.open(Session { signature: SIGNATURE, since: 100 });
    entries.caught_up();
    let keeps = |signature: i32, position: i64| {
        let found = EntrySnapshot { log_signature: signature, ..found(1, position) };
        let lookup = entries.begin();
        entries.store(&lookup, "/d/a", found, ());
        let kept = entries.get("/d/a").is_some();
        entries.forget("/d/a");
        kept
    };
    assert!(keeps(SIGNATURE, 100));
    assert!(!keeps(SIGNATURE, 99), "changes after that position may not come");
    assert!(!keeps(SIGNATURE + 1, 100));
    assert!(!keeps(0, 0), "a filer that tells no position");
}

#[tokio::test(start_paused = true)]
async fn a_change_in_another_store_is_held_back_until_it_was_replayed() {
    let entries = entries();
    live(&entries);
    let keeps = || {
        let lookup = entries.begin();
        entries.store(&lookup, "/d/a", found(1, 1), ());
        entries.get("/d/a").is_some()
    };
    entries.apply(&Change { path: "/d".to_owned(), below: true, above: false }, true);
    assert!(!keeps());
    tokio::time::advance(REPLAY - Duration::from_millis(1)).await;
    assert!(!keeps());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(keeps());
}

#[test]
fn nothing_is_kept_before_all_events_are_here_nor_after_they_stop() {
    let entries = entries();
    entries.open(Session { signature: SIGNATURE, since: 0 });
    let early = entries.begin();
    entries.caught_up();
    entries.store(&early, "/d/a", found(1, 1), ());
    assert!(entries.get("/d/a").is_none());
    let lookup = entries.begin();
    entries.store(&lookup, "/d/a", found(1, 1), ());
    assert!(entries.get("/d/a").is_some());
    let over = entries.begin();
    entries.close();
    assert!(entries.get("/d/a").is_none());
    live(&entries);
    entries.store(&over, "/d/a", found(1, 1), ());
    assert!(entries.get("/d/a").is_none());
}

#[test]
fn what_changes_without_an_event_is_not_kept() {
    let entries = entries();
    live(&entries);
    let keeps = |path: &str, change: fn(&mut pb::Entry)| {
        let mut found = found(1, 1);
        change(&mut found.entry);
        let lookup = entries.begin();
        entries.store(&lookup, path, found, ());
        entries.get(path).is_some()
    };
    assert!(keeps("/d/a", |_| {}));
    assert!(!keeps("/d/b", |entry| entry.hard_link_id = bytes::Bytes::from_static(b"x")));
    assert!(!keeps("/d/b", |entry| entry.remote_entry = Some(pb::RemoteEntry::default())));
    assert!(!keeps("/d/b", |entry| entry.attributes.as_mut().unwrap().ttl_sec = 60));
    assert!(!keeps("/d/b", |entry| entry.is_directory = true));
    assert!(!keeps("/d/b", |entry| {
        entry.chunks.push(pb::FileChunk { cipher_key: bytes::Bytes::from_static(b"k"), ..Default::default() });
    }));
    assert!(!keeps("/topics/.system/log/2026-01-01/00-00.1234", |_| {}));
}

#[test]
fn memory_is_bounded_and_what_left_it_leaves_the_index() {
    let entries = Entries::<()>::new(100 << 10, folder(), counters());
    live(&entries);
    for number in 0..2000 {
        let lookup = entries.begin();
        entries.store(&lookup, &format!("/d/{number}"), found(1, 1), ());
    }
    let kept = entries.kept.as_ref().unwrap();
    kept.cache.run_pending_tasks();
    assert!(kept.cache.weighted_size() <= 100 << 10);
    assert_eq!(kept.paths().len() as u64, kept.cache.entry_count());
    entries.forget("/d");
    kept.cache.run_pending_tasks();
    assert_eq!((kept.paths().len(), kept.cache.entry_count()), (0, 0));
}
