//! Notices that files have changed.
//!
//! They are looked at every few seconds, by name: whether an editor writes a file anew, another is put in its place, or a link
//! is turned to another directory, the name leads to something else then.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;

/// How often is looked. A change counts when nothing more has changed by the next look.
const EVERY: Duration = Duration::from_secs(2);

/// What tells one state of a file from another. `None`: it is not there.
type FileMark = Option<(u64, u64, u64, i64, i64, i64, i64)>;
type FileMarks = HashMap<PathBuf, FileMark>;

/// Files, as they were when somebody was about to read them.
pub(super) struct Files {
    known: FileMarks,
    /// At the last look, where that was another state than the known one.
    changing: Option<FileMarks>,
}

impl Files {
    pub(super) fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { known: looked(paths), changing: None }
    }

    /// They are about to be read: what has changed until now is known.
    pub(super) async fn are_read(&mut self) {
        self.known = self.look().await;
        self.changing = None;
    }

    /// From now on these are looked at.
    pub(super) fn watch(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        let known = |path: PathBuf| {
            let mark = self.known.get(&path).copied().unwrap_or_else(|| mark(&path));
            (path, mark)
        };
        self.known = paths.into_iter().map(known).collect();
        self.changing = None;
    }

    /// Waits until some have changed, and the others no more. May be dropped at any time.
    pub(super) async fn changed(&mut self) {
        loop {
            sleep(EVERY).await;
            let now = self.look().await;
            if now == self.known {
                self.changing = None;
            } else if self.changing.replace(now.clone()).is_some_and(|before| before == now) {
                return;
            }
        }
    }

    async fn look(&self) -> FileMarks {
        let paths: Vec<_> = self.known.keys().cloned().collect();
        let looked = tokio::task::spawn_blocking(move || looked(paths)).await;
        looked.unwrap_or_else(|_| self.known.clone())
    }
}

fn looked(paths: impl IntoIterator<Item = PathBuf>) -> FileMarks {
    let marked = |path: PathBuf| {
        let mark = mark(&path);
        (path, mark)
    };
    paths.into_iter().map(marked).collect()
}

fn mark(path: &Path) -> FileMark {
    let file = fs::metadata(path).ok()?;
    let (written, changed) = ((file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec()));
    Some((file.dev(), file.ino(), file.size(), written.0, written.1, changed.0, changed.1))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::settings::scratch::Scratch;

    /// Whether a change is noticed within two looks and a half.
    async fn notices(files: &mut Files) -> bool {
        let noticed = tokio::time::timeout(EVERY * 5 / 2, files.changed()).await.is_ok();
        files.are_read().await;
        noticed
    }

    #[tokio::test]
    async fn whatever_way_a_file_changes_is_noticed_once() {
        tokio::time::pause();
        let place = Scratch::new();
        let file = place.join("a");
        fs::write(&file, "one").unwrap();
        let mut files = Files::new([file.clone(), place.join("not-there")]);
        assert!(!notices(&mut files).await);
        fs::write(&file, "two").unwrap();
        assert!(notices(&mut files).await);
        assert!(!notices(&mut files).await);
        fs::write(place.join("b"), "two").unwrap();
        fs::rename(place.join("b"), &file).unwrap();
        assert!(notices(&mut files).await);
        fs::write(place.join("not-there"), "").unwrap();
        assert!(notices(&mut files).await);
        fs::remove_file(&file).unwrap();
        assert!(notices(&mut files).await && !notices(&mut files).await);
    }

    #[tokio::test]
    async fn a_link_that_leads_elsewhere_is_a_change() {
        tokio::time::pause();
        let place = Scratch::new();
        for version in ["v1", "v2"] {
            fs::create_dir(place.join(version)).unwrap();
            fs::write(place.join(version).join("config"), "the same").unwrap();
        }
        symlink("v1", place.join("data")).unwrap();
        symlink("data/config", place.join("config")).unwrap();
        let mut files = Files::new([place.join("config")]);
        assert!(!notices(&mut files).await);
        symlink("v2", place.join("next")).unwrap();
        fs::rename(place.join("next"), place.join("data")).unwrap();
        assert!(notices(&mut files).await);
    }

    #[tokio::test]
    async fn what_goes_on_changing_is_waited_for() {
        tokio::time::pause();
        let place = Scratch::new();
        let file = place.join("a");
        let mut files = Files::new([file.clone()]);
        for size in 1..5 {
            fs::write(&file, "x".repeat(size)).unwrap();
            assert!(tokio::time::timeout(EVERY * 3 / 2, files.changed()).await.is_err());
        }
        assert!(notices(&mut files).await);
        fs::write(&file, "").unwrap();
        files.are_read().await;
        files.watch([file, place.join("b")]);
        assert!(files.changed().now_or_never().is_none() && !notices(&mut files).await);
    }
}
