//! What errors come of.

use std::{error::Error, sync::Arc};

/// An error that all get who waited for the same thing.
pub type SharedError = Arc<dyn Error + Send + Sync>;

/// The error as one that all get.
pub(crate) fn shared(error: impl Error + Send + Sync + 'static) -> SharedError {
    Arc::new(error)
}

/// An error with its sources in one sentence, `tcp connect error: Connection refused (os error 111)`.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
