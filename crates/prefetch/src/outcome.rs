//! What the end of a request says about the server that was asked.

/// How a request ended, as far as it says something about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It gave what was asked for.
    Sound,
    /// It asked to be left alone for a moment.
    Busy,
    /// It failed.
    Failed,
    /// It said something about one needle, which is neither to its credit nor against it.
    OfNeedle,
}
