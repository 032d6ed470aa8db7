//! What every connection of one listener is served with.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};

use tokio::net::TcpStream;

use super::{
    heads::HeadBudget,
    limits::Limits,
    refusal::{self, Refusals},
    shutdown::{Stage, Stages},
};
use crate::{
    metrics::{Connections, FrontLabel, RefusedConnection},
    peers::{Full, Networks, Slots},
};

/// Gives what the next TLS handshake is answered with.
pub type TlsConfig = Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>;

/// On what terms a listener takes connections.
#[derive(Clone, Default)]
pub struct Terms {
    /// Makes the TLS of its connections; `None`: they are plain.
    pub tls: Option<TlsConfig>,
    /// How the names of headers are written.
    pub names: HeaderNames,
    /// As whose its connections are counted.
    pub label: FrontLabel,
    /// Each connection comes from one of these, and begins with a header of the PROXY protocol; `None`: none does.
    pub proxies: Option<Arc<Networks>>,
}

impl Terms {
    /// These, for good.
    pub fn fixed(self) -> watch::Receiver<Self> {
        watch::channel(self).1
    }
}

/// How long the end of the daemon may take.
#[derive(Clone, Copy, Debug)]
pub struct DrainTimes {
    /// How long it serves without being ready.
    pub lame_duck: Duration,
    /// How long running answers may then take.
    pub drain_timeout: Duration,
}

/// Changes what a server serves with, while it serves.
#[derive(Clone)]
pub struct ServerControl {
    pub(super) limits: Arc<watch::Sender<Limits>>,
    pub(super) slots: Slots,
    pub(super) heads: HeadBudget,
}

impl ServerControl {
    /// From now on these limits hold. What is counted counts on; times are those of connections from now on.
    pub fn limit(&self, limits: Limits) {
        self.slots.resize(limits.max_connections, limits.max_connections_per_peer);
        self.heads.resize(limits.header_memory);
        self.limits.send_replace(limits);
    }
}

/// What a listener's next connection is served with, as far as it can change.
#[derive(Clone)]
pub(super) struct LiveTerms {
    pub(super) limits: watch::Receiver<Limits>,
    pub(super) terms: watch::Receiver<Terms>,
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
    pub(super) label: FrontLabel,
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
    /// How long a connection that has not asked for anything may then take for it. Its client could connect because somebody
    /// else holds the socket, who would have let it wait for the next daemon.
    pub(super) newcomers_grace: Duration,
}

impl<F> Serving<F> {
    /// Returns when a connection that has not asked for anything is to end.
    pub(super) async fn ends_for_newcomers(&mut self) {
        self.stages.reached(self.drains_at).await;
        if !self.newcomers_grace.is_zero() {
            sleep(self.newcomers_grace).await;
        }
    }

    /// The same with what holds now.
    pub(super) fn with(&self, current: &LiveTerms) -> Self {
        let Terms { tls, names, label, proxies } = current.terms.borrow().clone();
        Self { tls, names, label, proxies, limits: current.limits.borrow().clone(), ..self.clone() }
    }
}

impl<F> Clone for Serving<F> {
    fn clone(&self) -> Self {
        Self {
            front: Arc::clone(&self.front),
            tls: self.tls.clone(),
            names: self.names,
            label: self.label,
            proxies: self.proxies.clone(),
            limits: self.limits.clone(),
            slots: self.slots.clone(),
            heads: self.heads.clone(),
            refusals: self.refusals.clone(),
            counted: Arc::clone(&self.counted),
            stages: self.stages.clone(),
            drains_at: self.drains_at,
            newcomers_grace: self.newcomers_grace,
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
