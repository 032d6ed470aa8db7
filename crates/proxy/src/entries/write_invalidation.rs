//! Which paths a request changes that passes through to the filer.

use std::sync::Arc;

use http::{HeaderName, Method, Response, request::Parts};

use super::Entries;
use crate::entry::{EntryPath, EntryPathError, query};

/// What a relayed request may change. It is forgotten when the filer has accepted the request, before the client knows.
/// What a request did that was refused, failed, or was given up by its client, only the filer's events tell: else whoever
/// may change nothing could empty the cache.
pub(crate) struct WriteInvalidation<D: Send + Sync + 'static> {
    entries: Arc<Entries<D>>,
    changed: Vec<ChangedPath>,
    /// The path, if a resumable upload may begin there.
    begins: Option<String>,
}

/// What all requests of resumable uploads (tus) have.
const TUS: HeaderName = HeaderName::from_static("tus-resumable");

/// What one path of a request stands for.
enum ChangedPath {
    /// This entry, and what is below.
    At(EntryPath),
    /// Only the filer knows what it makes of such a path.
    Anything,
}

impl<D: Send + Sync + 'static> WriteInvalidation<D> {
    /// Reads a request's head. A write names its path; a move (`mv.from`) also where it takes the entry from.
    pub(crate) fn by(request: &Parts, entries: &Arc<Entries<D>>) -> Self {
        let mut changed = Vec::new();
        if !matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            changed.extend(at(EntryPath::parse(request.uri.path())));
            if let Some(from) = query::first(request.uri.query().unwrap_or(""), "mv.from") {
                let from = String::from_utf8(from).map_err(|_| EntryPathError::Odd);
                changed.extend(at(from.and_then(|from| EntryPath::parse_decoded(&from))));
            }
        }
        let (path, is_of_upload) = (request.uri.path(), request.headers.contains_key(TUS));
        if is_of_upload && request.method == Method::PATCH {
            // It may be the last piece.
            changed.extend(entries.uploads.file(path).map(ChangedPath::At));
        }
        let begins = (is_of_upload && request.method == Method::POST).then(|| path.to_owned());
        Self { entries: Arc::clone(entries), changed, begins }
    }

    /// The filer has answered, and the client does not have the answer yet.
    pub(crate) fn answered<B>(self, answer: &Response<B>) {
        if !answer.status().is_success() {
            return;
        }
        if let Some(file) = self.begins.and_then(|path| self.entries.uploads.begun(&path, answer.headers())) {
            // It may have come with the request.
            self.entries.forget(file.as_str());
        }
        for changed in &self.changed {
            match changed {
                ChangedPath::At(path) => self.entries.forget(path.as_str()),
                ChangedPath::Anything => self.entries.forget_all(),
            }
        }
    }
}

/// What a path stands for. `None`: no entry is there. Uploads in pieces (tus) are sent to such a path.
fn at(path: Result<EntryPath, EntryPathError>) -> Option<ChangedPath> {
    match path {
        Ok(path) => Some(ChangedPath::At(path)),
        Err(EntryPathError::Reserved) => None,
        Err(EntryPathError::Root | EntryPathError::Odd) => Some(ChangedPath::Anything),
    }
}
