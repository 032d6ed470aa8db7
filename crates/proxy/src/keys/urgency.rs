//! Who waits for a data key.

/// Who waits for a data key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A client, for the answer to begin.
    Head,
    /// A download that has not come to it yet.
    Ahead,
}
