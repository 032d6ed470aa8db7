//! The rule itself, without the cache: which lookups may be kept, given the changes that came meanwhile.
//!
//! Knows the order of what happens. Must not know entries, or how changes come.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::changes::Change;

/// Changes that are remembered for lookups under way. A lookup that more than so many overtake is not kept.
const REMEMBERED: usize = 4096;
/// Paths that are held back at once. Beyond that, nothing is kept until some are due.
const HELD_BACK: usize = 4096;

/// What a subscription is to be trusted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// The signature of the filer's store.
    pub(super) signature: i32,
    /// All changes after this position come.
    pub(super) since: i64,
}

/// A lookup's beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    session: u64,
    change: u64,
}

impl Ticket {
    /// The number of the session that the lookup began in.
    pub(super) fn session(&self) -> u64 {
        self.session
    }
}

/// What has come, in order.
pub(super) struct Ledger {
    session: Option<Session>,
    /// The sessions so far.
    sessions: u64,
    caught_up: bool,
    /// The changes so far.
    changes: u64,
    /// The last of them, each with its number.
    recent: VecDeque<(u64, Change)>,
    /// Lookups that began before this change are not kept: what came since is no longer remembered.
    horizon: u64,
    replay: Duration,
    /// Paths that are held back, each until when.
    held_back: VecDeque<(Instant, Change)>,
    overflowing_until: Option<Instant>,
    stamps: u64,
}

impl Ledger {
    /// An empty one, that holds foreign changes back for `replay`.
    pub(super) fn new(replay: Duration) -> Self {
        Self {
            session: None,
            sessions: 0,
            caught_up: false,
            changes: 0,
            recent: VecDeque::new(),
            horizon: 0,
            replay,
            held_back: VecDeque::new(),
            overflowing_until: None,
            stamps: 0,
        }
    }

    /// A session begins.
    pub(super) fn open(&mut self, session: Session) {
        self.session = Some(session);
        self.sessions += 1;
        self.caught_up = false;
    }

    /// All changes so far have come; gives the session's number, 0 if there is none.
    pub(super) fn caught_up(&mut self) -> u64 {
        self.caught_up = self.session.is_some();
        if self.caught_up { self.sessions } else { 0 }
    }

    /// The session is over.
    pub(super) fn close(&mut self) {
        self.session = None;
        self.caught_up = false;
    }

    /// A lookup begins. `None`: its answer cannot be kept.
    pub(super) fn begin(&self) -> Option<Ticket> {
        self.caught_up.then_some(Ticket { session: self.sessions, change: self.changes })
    }

    /// A change has come.
    pub(super) fn changed(&mut self, change: &Change, foreign: bool) {
        self.changes += 1;
        if self.recent.len() == REMEMBERED
            && let Some((number, _)) = self.recent.pop_front()
        {
            self.horizon = number;
        }
        self.recent.push_back((self.changes, change.clone()));
        if foreign {
            self.hold_back(change);
        }
    }

    /// Anything may have changed.
    pub(super) fn all_changed(&mut self) {
        self.changes += 1;
        self.horizon = self.changes;
        self.recent.clear();
    }

    /// Whether the answer to a lookup of `path` may be kept: a directory or not, found at `(signature, log_ts_ns)`.
    pub(super) fn allows(
        &mut self,
        ticket: &Ticket,
        path: &str,
        is_directory: bool,
        (signature, position): (i32, i64),
    ) -> bool {
        let Some(session) = self.session else { return false };
        self.caught_up
            && ticket.session == self.sessions
            && signature == session.signature
            && position >= session.since
            && ticket.change >= self.horizon
            && !self
                .recent
                .iter()
                .rev()
                .take_while(|(number, _)| *number > ticket.change)
                .any(|(_, change)| change.touches(path, is_directory))
            && !self.is_held_back(path, is_directory)
    }

    /// A number that no entry had before.
    pub(super) fn stamp(&mut self) -> u64 {
        self.stamps += 1;
        self.stamps
    }

    fn hold_back(&mut self, change: &Change) {
        self.let_go();
        let until = Instant::now() + self.replay;
        if self.held_back.len() == HELD_BACK {
            self.overflowing_until = Some(until);
        } else {
            self.held_back.push_back((until, change.clone()));
        }
    }

    fn is_held_back(&mut self, path: &str, is_directory: bool) -> bool {
        self.let_go();
        let touches = |(_, change): &(Instant, Change)| change.touches(path, is_directory);
        self.overflowing_until.is_some() || self.held_back.iter().any(touches)
    }

    fn let_go(&mut self) {
        let now = Instant::now();
        while self.held_back.front().is_some_and(|(until, _)| *until <= now) {
            self.held_back.pop_front();
        }
        self.overflowing_until = self.overflowing_until.filter(|until| *until > now);
    }
}
