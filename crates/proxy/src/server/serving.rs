//! What every connection of one listener is served with.

use std::sync::Arc;

use super::{
    limits::Limits,
    shutdown::{Stage, Stages},
};

/// Gives what the next TLS handshake is answered with.
pub type TlsConfig = Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>;

/// What the connections of one listener have in common.
pub(super) struct Serving<F> {
    pub(super) front: Arc<F>,
    /// `None`: connections are plain.
    pub(super) tls: Option<TlsConfig>,
    pub(super) limits: Limits,
    pub(super) stages: Stages,
    /// The stage at which the listener stops accepting, and its connections end after the running answer.
    pub(super) drains_at: Stage,
}

impl<F> Clone for Serving<F> {
    fn clone(&self) -> Self {
        Self {
            front: Arc::clone(&self.front),
            tls: self.tls.clone(),
            limits: self.limits.clone(),
            stages: self.stages.clone(),
            drains_at: self.drains_at,
        }
    }
}
