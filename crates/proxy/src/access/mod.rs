//! Who may have what: read tokens, paths that never leave, who gets objects decrypted with the cluster's keys, and the
//! tokens that volume servers want of us.
//!
//! Knows a request's head, the connection's certificate and the operator's rules. Must not know how an entry is found or
//! how bytes are fetched. All that is refused here is refused before the filer or a KMS is asked for anything.

mod claims;
mod current_key;
mod demands;
mod managed;
mod paths;
mod system;
mod token;
mod verdict;
mod volume;

use http::{Method, StatusCode, request::Parts};

pub use self::managed::ManagedKeyPolicy;
pub(crate) use self::{
    current_key::CurrentKey,
    demands::{Demands, FilerConnections},
    volume::VolumeMint,
};
use crate::{
    Blame, Error, Result,
    entry::{EntryPath, EntryPathError},
    security::SigningKey,
    wire::{Peer, Subject},
};

use self::token::TokenError;

/// The rules of one front.
pub struct Access {
    /// Signs the tokens that readers must bring; where it is none, they need none.
    pub(crate) read_key: CurrentKey<SigningKey>,
    /// Whether the cluster's own files are served.
    pub(crate) system_paths: bool,
    /// Who gets SSE-KMS and SSE-S3 objects decrypted.
    pub(crate) managed_keys: ManagedKeyPolicy,
}

/// What a caller has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// A read token that covers this request.
    pub(crate) token: bool,
    /// A client certificate of the configured authority.
    pub(crate) certificate: bool,
}

impl Access {
    /// Lets a request in, whether it will be answered here or relayed.
    ///
    /// Tokens are asked for where the filer asks for them: for every GET and HEAD but those of the paths that the filer
    /// keeps for itself. Other methods are the filer's to judge, except for what they read: the source of a copy or a
    /// move is a read, since under its new path other tokens open it.
    ///
    /// # Errors
    /// 401 for a read without a token that covers it; 403 for what would give the content of a system path. Either way
    /// `subject` is whom its token was given to, where that is signed.
    pub(crate) fn admit(&self, request: &Parts, peer: &Peer, subject: &mut Option<Subject>) -> Result<Caller> {
        let certificate = peer.tls.as_ref().is_some_and(|tls| tls.client_verified);
        let mut caller = Caller { token: false, certificate };
        if let Some(key) = self.read_key.get() {
            if may_want_token(request) {
                token::check(&key, request, token::now(), subject).map_err(unauthorized)?;
                caller.token = true;
            } else {
                token::check_sources(&key, request, token::now()).map_err(unauthorized)?;
            }
        }
        if !self.system_paths && system::is_touched(request) {
            let message = "the path is one of the cluster's own (/etc, /topics/.system), which are not served; whoever \
                           operates tidegate can change that with access.system_paths = true";
            return Err(Error::new(Blame::Config, StatusCode::FORBIDDEN, message).code("AccessDenied"));
        }
        Ok(caller)
    }

    /// Whether the request is answered only to who brings a read token.
    pub(crate) fn wants_token(&self, request: &Parts) -> bool {
        self.read_key.is_some() && may_want_token(request)
    }
}

/// Whether the request wants a token where there is a key.
fn may_want_token(request: &Parts) -> bool {
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    reads && EntryPath::parse(request.uri.path()) != Err(EntryPathError::Reserved)
}

fn unauthorized(why: TokenError) -> Error {
    // The filer's words first: clients look for them.
    let message = format!("wrong jwt: {why}");
    Error::new(Blame::Client, StatusCode::UNAUTHORIZED, message).code("Unauthorized")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn admit(method: &str, uri: &str, read_key: bool, system_paths: bool) -> Result<Caller> {
        let read_key = CurrentKey::new(read_key.then(|| SigningKey::new(b"k")));
        let access = Access { read_key, system_paths, managed_keys: ManagedKeyPolicy::Any };
        let (parts, ()) = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
        access.admit(&parts, &Peer::plain("127.0.0.1:9".parse().unwrap()), &mut None)
    }

    #[test]
    fn tokens_are_wanted_for_reads_of_files_and_directories() {
        for uri in ["/a", "/d/", "/%2e%2e/x", "/?x", "//", "/healthz", "/x/..", "/?proxyChunkId=3,01637037d6"] {
            let open = uri == "/healthz";
            for method in ["GET", "HEAD"] {
                let refused = admit(method, uri, true, true).err().map(|error| error.status());
                assert_eq!(refused, (!open).then_some(StatusCode::UNAUTHORIZED), "{method} {uri}");
            }
            assert!(admit("PUT", uri, true, true).is_ok());
            assert_eq!(admit("GET", uri, false, true).unwrap(), Caller::default());
        }
    }

    #[test]
    fn only_where_there_is_a_key_and_something_is_read_a_token_is_wanted() {
        let wants = |method: &str, uri: &str, key: Option<SigningKey>| {
            let read_key = CurrentKey::new(key);
            let access = Access { read_key, system_paths: true, managed_keys: ManagedKeyPolicy::Any };
            access.wants_token(&Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0)
        };
        let key = || Some(SigningKey::new(b"k"));
        assert!(wants("GET", "/a", key()) && wants("HEAD", "/a", key()));
        assert!(!wants("PUT", "/a", key()) && !wants("GET", "/healthz", key()));
        assert!(!wants("GET", "/a", None) && !wants("PUT", "/a", None));
    }

    #[test]
    fn what_a_copy_or_a_move_reads_wants_a_token_whatever_the_method() {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            for query in ["cp.from=/b/y", "mv.from=/b/y", "cp.from=/a/x&mv.from=/b/y", "%63p.from=%2Fb/y"] {
                let uri = format!("/a/x?{query}");
                let refused = admit(method, &uri, true, true).unwrap_err();
                assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{method} {uri}");
                assert!(admit(method, &uri, false, true).is_ok());
            }
        }
    }

    #[test]
    fn system_paths_are_closed_unless_opened_and_the_token_comes_first() {
        assert_eq!(admit("GET", "/etc/s3/sse_kek", false, false).unwrap_err().status(), StatusCode::FORBIDDEN);
        assert_eq!(admit("GET", "/etc/s3/sse_kek", true, false).unwrap_err().status(), StatusCode::UNAUTHORIZED);
        assert!(admit("GET", "/etc/s3/sse_kek", false, true).is_ok());
    }
}
