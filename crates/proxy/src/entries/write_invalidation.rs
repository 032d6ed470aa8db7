//! Which paths a request changes that passes through to the filer.

use std::sync::Arc;

use http::{Method, request::Parts};

use super::Entries;
use crate::entry::{EntryPath, query};

/// What a relayed request may have changed. Forgets it when dropped: with the filer's answer in hand and before the
/// client has it, or when nobody waits for that answer any more.
pub(crate) struct WriteInvalidation<D: Send + Sync + 'static> {
    entries: Arc<Entries<D>>,
    paths: Vec<Option<EntryPath>>,
}

impl<D: Send + Sync + 'static> WriteInvalidation<D> {
    /// Reads a request's head. A write names its path; a move (`mv.from`) also where it takes the entry from.
    pub(crate) fn by(request: &Parts, entries: &Arc<Entries<D>>) -> Self {
        let mut paths = Vec::new();
        if !matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            paths.push(EntryPath::parse(request.uri.path()).ok());
            if let Some(from) = query::first(request.uri.query().unwrap_or(""), "mv.from") {
                // Decoded already; escaped again because that is how a path is read.
                let from = String::from_utf8(from).ok().map(|from| from.replace('%', "%25"));
                paths.push(from.and_then(|from| EntryPath::parse(&from).ok()));
            }
        }
        Self { entries: Arc::clone(entries), paths }
    }
}

impl<D: Send + Sync + 'static> Drop for WriteInvalidation<D> {
    fn drop(&mut self) {
        for path in &self.paths {
            match path {
                Some(path) => self.entries.forget(path.as_str()),
                // Only the filer knows what it makes of such a path.
                None => self.entries.forget_all(),
            }
        }
    }
}
