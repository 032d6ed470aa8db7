//! What the list of downloads is sorted by.

use clap::ValueEnum;

/// What downloads are sorted by, the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Bytes a second.
    #[default]
    Rate,
    /// How long they run.
    Age,
    /// Bytes that are still to go.
    Left,
}

impl Sort {
    /// The one that follows it.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Rate => Self::Age,
            Self::Age => Self::Left,
            Self::Left => Self::Rate,
        }
    }
}
