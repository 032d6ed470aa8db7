//! Errors in one sentence.

use std::error::Error;

/// An error with its sources, `tcp connect error: Connection refused (os error 111)`.
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
