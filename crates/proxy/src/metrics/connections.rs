//! Connections of the fronts: how many there are, and why some could not be.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::FrontLabel;

/// Counts connections. Those of the admin listener are nobody's business.
pub struct Connections {
    open: IntGaugeVec,
    accepted: IntCounterVec,
    refused: IntCounterVec,
    accept_errors: IntCounter,
    tls_errors: IntCounter,
}

/// Why a connection was closed that its client wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedConnection {
    /// There are `server.max_connections`.
    Limit,
    /// Its peer has `server.max_connections_per_peer`.
    PeerLimit,
    /// The headers of all connections took `server.header_memory`.
    HeaderMemory,
    /// It did not begin with a header of the PROXY protocol, or came from whom `server.trusted_proxies` does not name.
    ProxyHeader,
}

impl RefusedConnection {
    const ALL: [Self; 4] = [Self::Limit, Self::PeerLimit, Self::HeaderMemory, Self::ProxyHeader];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::PeerLimit => "peer_limit",
            Self::HeaderMemory => "header_memory",
            Self::ProxyHeader => "proxy_header",
        }
    }
}

impl Connections {
    /// Counters that nobody reads yet.
    ///
    /// # Errors
    /// When a name is not one, which is a bug.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let refused = IntCounterVec::new(
            Opts::new(
                "tidegate_connections_refused_total",
                "Connections that were closed, by what was used up or missing.",
            ),
            &["reason"],
        )?;
        for reason in RefusedConnection::ALL {
            refused.with_label_values(&[reason.as_str()]);
        }
        let open = Opts::new("tidegate_connections", "Connections of clients that are open, by the front.");
        let open = IntGaugeVec::new(open, &["front"])?;
        let accepted = Opts::new(
            "tidegate_connections_accepted_total",
            "Connections of clients that were accepted and not refused at once, by the front.",
        );
        let accepted = IntCounterVec::new(accepted, &["front"])?;
        for front in FrontLabel::ALL {
            open.with_label_values(&[front.as_str()]);
            accepted.with_label_values(&[front.as_str()]);
        }
        Ok(Self {
            open,
            accepted,
            refused,
            accept_errors: IntCounter::new(
                "tidegate_accept_errors_total",
                "Connections that could not be accepted, most of all because no more files may be open.",
            )?,
            tls_errors: IntCounter::new(
                "tidegate_tls_handshake_errors_total",
                "TLS handshakes of clients that failed.",
            )?,
        })
    }

    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let connections = Self::new()?;
        registry.register(Box::new(connections.open.clone()))?;
        registry.register(Box::new(connections.accepted.clone()))?;
        registry.register(Box::new(connections.refused.clone()))?;
        registry.register(Box::new(connections.accept_errors.clone()))?;
        registry.register(Box::new(connections.tls_errors.clone()))?;
        Ok(connections)
    }

    /// One was accepted. The number of open ones of that front, which counts it already, and is to be told of its end.
    pub(crate) fn accepted(&self, front: FrontLabel) -> IntGauge {
        self.accepted.with_label_values(&[front.as_str()]).inc();
        let open = self.open.with_label_values(&[front.as_str()]);
        open.inc();
        open
    }

    /// One was closed that its client wanted.
    pub fn refused(&self, reason: RefusedConnection) {
        self.refused.with_label_values(&[reason.as_str()]).inc();
    }

    /// One could not be accepted.
    pub fn accept_failed(&self) {
        self.accept_errors.inc();
    }

    /// The TLS handshake of one failed.
    pub fn tls_failed(&self) {
        self.tls_errors.inc();
    }
}
