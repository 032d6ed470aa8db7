//! Where volumes are, by those who know.

use std::{future::Future, pin::Pin, sync::Arc};

use http::HeaderValue;

use crate::sources::SharedError;

/// The servers that hold a volume, as `host:port`, without order.
pub type Locations = Arc<[Arc<str>]>;

/// A lookup on its way. What an error says itself is a whole sentence: its sources are no part of it.
pub type LocationsFuture<'a> = Pin<Box<dyn Future<Output = Result<Locations, SharedError>> + Send + 'a>>;

/// Tells where volumes are.
pub trait Locate: Send + Sync {
    /// The servers of a volume; from memory where possible. With `fresh`, what is remembered is thrown away first.
    fn locate(&self, volume: u32, fresh: bool) -> LocationsFuture<'_>;

    /// Whether a server is to be asked only where the others fail or are slow, because it is far away.
    fn is_far(&self, authority: &str) -> bool {
        let _ = authority;
        false
    }

    /// The `Authorization` value for one request for `fid`, where the volume servers demand one. Asked for every request.
    fn authorize(&self, fid: &str) -> Option<HeaderValue> {
        let _ = fid;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Script;

    #[test]
    fn where_nothing_else_is_said_every_server_is_near_and_demands_no_token() {
        let nothing_said = Script::default();
        assert!(!nothing_said.is_far("a:1"));
        assert_eq!(nothing_said.authorize("3,01"), None);
    }
}
