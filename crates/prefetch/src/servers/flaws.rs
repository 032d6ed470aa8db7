//! What single replicas could not give: needles that they lack, and needles that they could not give soundly. Those are
//! asked for elsewhere first.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;

/// Needles that are remembered.
const NEEDLES: u64 = 100_000;
/// For how long. A replica that was mended is then asked like the others again.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// What is wrong with a needle at one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The server said 404.
    Missing,
    /// The server failed to read it, gave another length, or bytes that do not match their checksum.
    Unsound,
}

impl Flaw {
    /// Every value of the label `flaw`.
    pub(crate) const ALL: [Self; 2] = [Self::Missing, Self::Unsound];

    /// As a label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unsound => "unsound",
        }
    }
}

/// The servers of one needle at which something is wrong with it.
pub(super) type NeedleFlaws = Arc<[(Arc<str>, Flaw)]>;

/// All that is known.
pub(super) struct Flaws {
    known: Cache<Arc<str>, NeedleFlaws>,
    /// Whether there ever was one: as long as there was not, nobody looks.
    any: AtomicBool,
}

impl Flaws {
    pub(super) fn new() -> Self {
        let known = Cache::builder().max_capacity(NEEDLES).time_to_live(REMEMBERED).build();
        Self { known, any: AtomicBool::new(false) }
    }

    /// Remembers one; `false`: it was known.
    pub(super) fn note(&self, fid: &Arc<str>, authority: &Arc<str>, flaw: Flaw) -> bool {
        self.any.store(true, Ordering::Relaxed);
        let before = self.known.get(fid).unwrap_or_default();
        let mut after: Vec<_> = before.iter().filter(|(known, _)| known != authority).cloned().collect();
        after.push((Arc::clone(authority), flaw));
        let is_new = !before.contains(&(Arc::clone(authority), flaw));
        self.known.insert(Arc::clone(fid), after.into());
        is_new
    }

    /// The servers at which something is wrong with that needle.
    pub(super) fn of(&self, fid: &str) -> NeedleFlaws {
        match self.any.load(Ordering::Relaxed) {
            true => self.known.get(fid).unwrap_or_default(),
            false => NeedleFlaws::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_server_the_last_flaw_is_remembered_and_is_new_once() {
        let flaws = Flaws::new();
        let (fid, a, b) = (Arc::from("3,01"), Arc::from("a:1"), Arc::from("b:1"));
        assert!(flaws.of("3,01").is_empty());
        assert!(flaws.note(&fid, &a, Flaw::Missing) && !flaws.note(&fid, &a, Flaw::Missing));
        assert!(flaws.note(&fid, &b, Flaw::Unsound));
        assert!(flaws.note(&fid, &a, Flaw::Unsound), "another one");
        let mut known = flaws.of("3,01").to_vec();
        known.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(known, [(a, Flaw::Unsound), (b, Flaw::Unsound)]);
        assert!(flaws.of("3,02").is_empty());
    }
}
