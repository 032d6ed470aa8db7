//! What is told of an answer from further in, among its extensions.

use std::sync::Arc;

/// The answer is that of a filer or an S3 gateway, passed on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelayedAnswer;

/// Whom the token of the request was given to, by its claim `sub`. The token is one that was signed with the
/// read key, whether it covers the request or not.
#[derive(Clone, Debug)]
pub(crate) struct Subject(pub(crate) Arc<str>);
