//! What a person who looks for a fault wants to know of one file: its chunks, whether each replica answers, how it is
//! encrypted, and whether its keys open.
//!
//! Knows the stages of a read by their results. Must not know how a report is laid out (`table`), and never holds a
//! secret in one: ids, lengths and yes or no.

mod gather;
mod opening;
mod report;
mod table;

use self::report::ExplainError;
pub use self::report::{Chunk, Envelope, Key, Replica, Report};
use std::time::Duration;

use crate::{entry::EntryPath, keys::KeyRing, read::Source};

impl Report {
    /// As a table for people.
    pub fn to_table(&self) -> String {
        table::lines(self)
    }
}

/// Explains the file at `path`. For `patience` chunks go on being asked for: where servers hang, those of a large file would
/// take hours.
///
/// # Errors
/// When there is no such file, or the filer cannot be asked.
pub(crate) async fn report(
    source: &Source,
    keys: &KeyRing,
    path: &str,
    patience: Duration,
) -> Result<Report, ExplainError> {
    // The name on the command line is not escaped.
    let wanted =
        EntryPath::parse_decoded(path).map_err(|_| format!("{path:?} is no path of a file; begin it with a slash"))?;
    gather::gather(source, keys, &wanted, patience).await
}
