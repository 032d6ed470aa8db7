//! What comes next: the steps of a plan that have not begun.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    NeedleRead, Verify,
    budget::{BLOCK, blocks},
    checksum::Checksum,
    fetch::Version,
    plan::{Slice, Step, left},
    whole,
};

/// A chunk of up to this many bytes is held back until its checksum is known, so that one that arrives wrong can always be
/// had from another replica. Of a larger one the client would feel the wait.
const WITHHELD: u64 = 1 << 20;

/// The steps of a plan that have not begun, in order.
pub(super) struct PendingSteps {
    steps: VecDeque<Step>,
    /// Of the first step, where it is a chunk that is read in full.
    checksum: Option<Arc<Checksum>>,
    versions: Versions,
    verify: Verify,
}

/// What all that is read of each needle must be of.
struct Versions {
    /// Of the needle that is next, or was last, and whether more of it may follow behind others.
    last: (Arc<str>, Arc<Version>),
    may_come_again: bool,
    /// Of those before it that may come again: which were not read in full, for others lay between. Where an answer has several
    /// parts, all.
    before: HashMap<Arc<str>, Arc<Version>>,
    has_parts: bool,
}

impl Versions {
    /// The version of the chunk that is next. `read` is what of it no part has begun of.
    fn of(&mut self, read: &NeedleRead) -> Arc<Version> {
        if self.last.0 != read.fid {
            let version = self.before.remove(&read.fid).unwrap_or_default();
            let (fid, last) = std::mem::replace(&mut self.last, (Arc::clone(&read.fid), version));
            if self.may_come_again {
                self.before.insert(fid, last);
            }
            self.may_come_again = self.has_parts || read.start > 0 || read.end < read.size;
        }
        Arc::clone(&self.last.1)
    }
}

/// What can be done next.
pub(super) enum NextStep {
    /// That many zeros.
    Zeros(u64),
    /// Bytes that are here already.
    Inline(Bytes),
    /// Bytes of a needle.
    Needle,
}

/// What one request could bring.
pub(super) struct Span {
    /// From the first byte that has not begun to the last that is wanted.
    pub(super) read: NeedleRead,
    /// Bytes that it gives, where it has all the memory that it can use.
    pub(super) len: u64,
    pub(super) kind: Kind,
    pub(super) version: Arc<Version>,
}

/// What is done with the bytes, and so how much memory they take.
pub(super) enum Kind {
    /// They are passed on as they come, as many as there is memory for.
    Streamed(Option<Arc<Checksum>>),
    /// They are a chunk that is held until its checksum is known.
    Withheld(Arc<Checksum>),
    /// They are cut out of a chunk that is fetched whole, with what follows them, and begin with so many blocks.
    CutOut(Vec<Slice>, usize),
}

impl Span {
    /// The blocks that it needs at least, and can use at most.
    pub(super) fn blocks(&self) -> (usize, usize) {
        match &self.kind {
            Kind::Streamed(_) => (1, blocks(self.len)),
            Kind::Withheld(_) => (blocks(self.len), blocks(self.len)),
            Kind::CutOut(_, blocks) => (*blocks, *blocks),
        }
    }

    /// The bytes that it gives with that many blocks.
    pub(super) fn len_in(&self, blocks: usize) -> u64 {
        match &self.kind {
            Kind::Streamed(_) => self.len.min((blocks * BLOCK) as u64),
            Kind::Withheld(_) | Kind::CutOut(..) => self.len,
        }
    }
}

impl PendingSteps {
    /// All of a plan's steps. `verify` says which chunks get a checksum, or are fetched whole for it.
    pub(super) fn new(steps: VecDeque<Step>, verify: Verify) -> Self {
        let has_parts = steps.iter().any(|step| matches!(step, Step::Inline(_)));
        let last = ("".into(), Arc::default());
        let versions = Versions { last, may_come_again: false, before: HashMap::new(), has_parts };
        Self { steps, checksum: None, versions, verify }
    }

    /// One needle alone, of that version.
    pub(super) fn of_needle(read: NeedleRead, version: Arc<Version>, verify: Verify) -> Self {
        let last = (Arc::clone(&read.fid), version);
        let versions = Versions { last, may_come_again: false, before: HashMap::new(), has_parts: false };
        Self { steps: [Step::Needle { read, then: Vec::new() }].into(), checksum: None, versions, verify }
    }

    /// Whether nothing more is to come.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What is next. Whatever is no needle is taken out.
    pub(super) fn next(&mut self) -> Option<NextStep> {
        match self.steps.front_mut()? {
            Step::Needle { .. } => return Some(NextStep::Needle),
            Step::Zeros(_) | Step::Inline(_) => {}
        }
        match self.steps.pop_front()? {
            Step::Zeros(len) => Some(NextStep::Zeros(len)),
            Step::Inline(bytes) => Some(NextStep::Inline(bytes)),
            Step::Needle { .. } => None,
        }
    }

    /// The needle that is next, where no part of it has begun and ranges of it can be read.
    pub(super) fn needle(&self) -> Option<&NeedleRead> {
        match self.steps.front()? {
            Step::Needle { read, then } if !read.is_read_in_full() && then.is_empty() && self.checksum.is_none() => {
                Some(read)
            }
            _ => None,
        }
    }

    /// Takes out the needle that is next, and what all that is read of it must be of.
    pub(super) fn take_needle(&mut self) -> Option<(NeedleRead, Arc<Version>)> {
        self.needle()?;
        match self.steps.pop_front()? {
            Step::Needle { read, .. } => {
                let version = self.versions.of(&read);
                Some((read, version))
            }
            Step::Zeros(_) | Step::Inline(_) => None,
        }
    }

    /// The next span of the needle that is next: `most` gives the bytes of a request of so many that are left, and a
    /// chunk that does not fit `memory` blocks is not held.
    pub(super) fn span(&mut self, most: impl Fn(u64) -> u64, memory: usize) -> Option<Span> {
        let Some(Step::Needle { read, then }) = self.steps.front() else { return None };
        let version = self.versions.of(read);
        let left = left(read, then);
        let is_full = read.start == 0 && read.end == read.size;
        let is_withheld = is_full && then.is_empty() && left <= WITHHELD && blocks(left) <= memory;
        if read.is_read_in_full() || self.verify == Verify::Always && !is_withheld {
            let blocks = whole::blocks_to_begin(read, memory);
            return Some(Span { read: read.clone(), len: left, kind: Kind::CutOut(then.clone(), blocks), version });
        }
        if is_full && self.verify != Verify::Off && self.checksum.is_none() {
            self.checksum = Some(Arc::new(Checksum::new(read.size)));
        }
        let checksum = self.checksum.clone();
        let (len, kind) = match checksum {
            Some(checksum) if is_withheld => (left, Kind::Withheld(checksum)),
            checksum => (most(left), Kind::Streamed(checksum)),
        };
        Some(Span { read: read.clone(), len, kind, version })
    }

    /// The first `len` bytes of the span have begun.
    pub(super) fn begun(&mut self, len: u64) {
        let Some(Step::Needle { read, .. }) = self.steps.front_mut() else { return };
        read.start += len;
        // What is fetched whole is fetched at once, with all that is cut out of it.
        if read.start >= read.end || read.is_read_in_full() {
            self.checksum = None;
            self.steps.pop_front();
        }
    }
}
