//! What a download consists of.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;

use crate::{
    budget::{BLOCK, blocks},
    needle::{NeedleRead, SEAL},
};

/// One piece of an answer.
#[derive(Clone, Debug)]
pub enum Piece {
    /// That many zero bytes: a hole.
    Zeros(u64),
    /// Bytes that are here already.
    Inline(Bytes),
    /// Bytes of a needle.
    Needle(NeedleRead),
}

impl Piece {
    /// The length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Zeros(len) => *len,
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Needle(read) => read.end - read.start,
        }
    }

    /// Whether the piece has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a download does for a piece, or for several that come out of one chunk.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// As [`Piece::Zeros`].
    Zeros(u64),
    /// As [`Piece::Inline`].
    Inline(Bytes),
    /// As [`Piece::Needle`]. Behind the bytes of a chunk that is fetched whole come others out of the same needle.
    Needle {
        /// The chunk, and the first bytes of it.
        read: NeedleRead,
        /// What follows them.
        then: Vec<Slice>,
    },
}

impl From<Piece> for Step {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Zeros(len) => Self::Zeros(len),
            Piece::Inline(bytes) => Self::Inline(bytes),
            Piece::Needle(read) => Self::Needle { read, then: Vec::new() },
        }
    }
}

/// More of what comes with a chunk that is fetched whole.
#[derive(Clone, Debug)]
pub(crate) enum Slice {
    /// Bytes of the chunk.
    Chunk(Range<u64>),
    /// Bytes that are here already, and stand between others of the chunk.
    Inline(Bytes),
}

impl Slice {
    /// Where in the chunk it ends, if it is of the chunk.
    pub(crate) fn end(&self) -> Option<u64> {
        match self {
            Self::Chunk(range) => Some(range.end),
            Self::Inline(_) => None,
        }
    }
}

/// The bytes that slices give.
pub(crate) fn len(slices: &[Slice]) -> u64 {
    let lens = slices.iter().map(|slice| match slice {
        Slice::Chunk(range) => range.end - range.start,
        Slice::Inline(bytes) => bytes.len() as u64,
    });
    lens.sum()
}

/// The bytes that a read and what follows it give.
pub(crate) fn left(read: &NeedleRead, then: &[Slice]) -> u64 {
    read.end - read.start + len(then)
}

/// The bytes that are cut out of one needle at most: text between parts of an answer is held beside it.
fn room(size: u64) -> u64 {
    blocks(size.saturating_add(SEAL).saturating_mul(2)) as u64 * BLOCK as u64
}

/// The pieces of one answer, in order and without gap.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub(crate) pieces: VecDeque<Step>,
    len: u64,
}

impl Plan {
    /// The sum of the pieces' lengths: the bytes that the download gives.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing to give.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes that are here already in front of the first others.
    pub(crate) fn text(&self) -> u64 {
        let text = self.pieces.iter().map_while(|step| match step {
            Step::Inline(bytes) => Some(bytes.len() as u64),
            Step::Zeros(_) | Step::Needle { .. } => None,
        });
        text.sum()
    }
}

impl FromIterator<Piece> for Plan {
    fn from_iter<I: IntoIterator<Item = Piece>>(pieces: I) -> Self {
        let mut plan = Self::default();
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            plan.len += piece.len();
            plan.push(piece, false);
        }
        plan
    }
}

impl Plan {
    /// The plan for a download that fetches all chunks whole.
    pub(crate) fn of_whole_chunks(self) -> Self {
        let mut plan = Self { pieces: VecDeque::new(), len: self.len };
        for step in self.pieces {
            match step {
                Step::Needle { read, then } if then.is_empty() => plan.push(Piece::Needle(read), true),
                step => plan.pieces.push_back(step),
            }
        }
        plan
    }

    /// Adds a piece. One that is cut out of the same chunk as the piece before, or the one before a few bytes, needs no
    /// step of its own, as long as all of it fits the memory that opening the chunk takes.
    fn push(&mut self, piece: Piece, all: bool) {
        let Piece::Needle(next) = &piece else { return self.pieces.push_back(piece.into()) };
        let text = match self.pieces.back() {
            Some(Step::Inline(bytes)) => Some(bytes.clone()),
            _ => None,
        };
        let before = self.pieces.iter_mut().rev().nth(usize::from(text.is_some()));
        if let Some(Step::Needle { read, then }) = before
            && read.comes_with(next, all)
            && left(read, then) + text.as_ref().map_or(0, |text| text.len() as u64) + piece.len() <= room(read.size)
        {
            let inline = text.is_some();
            then.extend(text.map(Slice::Inline));
            then.push(Slice::Chunk(next.start..next.end));
            if inline {
                self.pieces.pop_back();
            }
            return;
        }
        self.pieces.push_back(piece.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::AsItIs;

    #[test]
    fn a_plan_without_bytes_is_empty() {
        assert!(Plan::default().is_empty());
        let nothing = Piece::Needle(NeedleRead { end: 0, ..NeedleRead::of(3, "3,01".to_owned(), 10) });
        let plan = Plan::from_iter([Piece::Zeros(0), Piece::Inline(Bytes::new()), nothing]);
        assert!(plan.is_empty() && plan.pieces.is_empty(), "nothing is done for it");
        assert!(!Plan::from_iter([Piece::Zeros(1)]).is_empty());
    }

    #[test]
    fn what_comes_out_of_one_needle_stays_together_when_all_are_fetched_whole() {
        let sealed = |start, end| {
            let opener: Option<Arc<dyn crate::Opener>> = Some(Arc::new(AsItIs));
            Piece::Needle(NeedleRead { start, end, opener, ..NeedleRead::of(3, "3,01".to_owned(), 1000) })
        };
        let bytes = |plan: &Plan| plan.pieces.iter().map(given).collect::<Vec<_>>();
        let text = Piece::Inline(Bytes::from_static(b"text"));
        let plan = Plan::from_iter([sealed(0, 10), text, sealed(20, 30), Piece::Zeros(5)]);
        assert_eq!((bytes(&plan), plan.len()), (vec![24, 5], 29));
        let plan = plan.of_whole_chunks();
        assert_eq!((bytes(&plan), plan.len()), (vec![24, 5], 29));
        // As far as it fits the memory of one opening: a block.
        for (text, steps) in [(BLOCK - 20, 1), (BLOCK - 19, 3)] {
            let text = Piece::Inline(vec![b'-'; text].into());
            assert_eq!(Plan::from_iter([sealed(0, 10), text, sealed(20, 30)]).pieces.len(), steps);
        }
    }

    fn given(step: &Step) -> u64 {
        match step {
            Step::Zeros(len) => *len,
            Step::Inline(bytes) => bytes.len() as u64,
            Step::Needle { read, then } => left(read, then),
        }
    }
}
