//! How many files the process may have open, and so how many connections.
//!
//! Knows the system's limit. Must not know what a connection is for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are no connections of clients: connections to volume servers and filers, listeners, files of keys.
const OTHERS: u64 = 512;

/// Raises the limit as far as it may be without privileges: the low one that is the default is for programs that cannot
/// cope with more (`select`).
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::debug!(%error, "the limit of open files could not be raised");
    }
}

/// The most connections of clients that there may be: each may need another one, to the filer, for as long.
pub(crate) fn connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // However few files there are, some are served.
    usize::try_from((files.saturating_sub(OTHERS) / 2).max(16)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_may_be_fewer_connections_than_files() {
        raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        let files = limit.current.unwrap_or(u64::MAX);
        assert!(connections() as u64 <= files / 2 || files < 32);
    }
}
