//! What every connection of one listener is served with.

use std::sync::Arc;

use tokio::net::TcpStream;

use super::{
    heads::HeadBudget,
    limits::Limits,
    refusal::{self, Refusals},
    shutdown::{Stage, Stages},
};
use crate::{
    metrics::{Connections, RefusedConnection},
    peers::{Full, Networks, Slots},
};

/// Gives what the next TLS handshake is answered with.
pub type TlsConfig = Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>;

/// On what terms a listener takes connections.
#[derive(Default)]
pub struct Terms {
    /// Makes the TLS of its connections; `None`: they are plain.
    pub tls: Option<TlsConfig>,
    /// How the names of headers are written.
    pub names: HeaderNames,
    /// Each connection comes from one of these, and begins with a header of the PROXY protocol; `None`: none does.
    pub proxies: Option<Arc<Networks>>,
}

/// How the names of headers are written in HTTP/1. They mean the same, but there are clients to whom they do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderNames {
    /// As Go does, `Content-Length` and `Etag`: what the filer's clients are used to see.
    #[default]
    LikeGo,
    /// `x-amz-meta-name`. Libraries of S3 take what stands behind `meta-` for the name that the object's owner gave.
    LowerCase,
}

/// What the connections of one listener have in common.
pub(super) struct Serving<F> {
    pub(super) front: Arc<F>,
    /// `None`: connections are plain.
    pub(super) tls: Option<TlsConfig>,
    pub(super) names: HeaderNames,
    /// Who may say for whom a connection is made, and must; `None`: nobody does.
    pub(super) proxies: Option<Arc<Networks>>,
    pub(super) limits: Limits,
    /// Room for connections.
    pub(super) slots: Slots,
    /// Room for the headers of their requests.
    pub(super) heads: HeadBudget,
    pub(super) refusals: Refusals,
    pub(super) counted: Arc<Connections>,
    pub(super) stages: Stages,
    /// The stage at which the listener stops accepting, and its connections end after the running answer.
    pub(super) drains_at: Stage,
}

impl<F> Clone for Serving<F> {
    fn clone(&self) -> Self {
        Self {
            front: Arc::clone(&self.front),
            tls: self.tls.clone(),
            names: self.names,
            proxies: self.proxies.clone(),
            limits: self.limits.clone(),
            slots: self.slots.clone(),
            heads: self.heads.clone(),
            refusals: self.refusals.clone(),
            counted: Arc::clone(&self.counted),
            stages: self.stages.clone(),
            drains_at: self.drains_at,
        }
    }
}

impl<F> Serving<F> {
    /// There are too many connections: says so, where it can be said.
    pub(super) fn refuse(&self, stream: TcpStream, full: Full) {
        self.counted.refused(match full {
            Full::Everywhere => RefusedConnection::Limit,
            Full::ForPeer => RefusedConnection::PeerLimit,
        });
        if self.tls.is_none() {
            refusal::send(stream, &self.refusals);
        }
    }
}
