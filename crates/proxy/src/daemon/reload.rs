//! What is read again while the daemon runs: at the start, and whenever it is told to reload.
//!
//! Knows what can be read again. Must not know how it is read, or what it is for.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{loaded::NO_READ_KEY, strangers};
use crate::{
    access::{CurrentKey, Demands},
    config::GatewayUrl,
    keys::KeyRing,
    peers::Networks,
    security::{Security, SecurityFile, SigningKey, VolumeTokens},
    settings::Error,
    tls::Tls,
};

/// What is read again, and where it is put.
pub(super) struct Reload {
    pub(super) tls: Tls,
    pub(super) keys: Arc<KeyRing>,
    pub(super) security: SecurityFile,
    pub(super) demands: Arc<Demands>,
    pub(super) read_key: CurrentKey<SigningKey>,
    pub(super) volume_tokens: CurrentKey<VolumeTokens>,
    /// The S3 gateways, which believe what is told of clients, or not.
    pub(super) gateways: Vec<GatewayUrl>,
    /// Whether settings that stay as they are want a read key.
    pub(super) needs_read_key: bool,
}

/// Reads the SSE-S3 key, then everything that can be read again each time `told`. None of it ends the daemon: what cannot
/// be used is logged, and what was there before stays in use. `trusted` was read before.
pub(super) async fn run(mut told: mpsc::Receiver<()>, reread: Reload, trusted: Networks) {
    let reread = Arc::new(reread);
    read_sse_s3(&reread.keys).await;
    warn_of_strangers(&reread.gateways, &trusted).await;
    while told.recv().await.is_some() {
        tracing::info!("reloading certificates and keys");
        let files = Arc::clone(&reread);
        let trusted = tokio::task::spawn_blocking(move || files.read()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "security.toml and TLS files were not read again");
            None
        });
        reread.demands.doubt();
        reread.keys.forget().await;
        read_sse_s3(&reread.keys).await;
        tracing::info!("reloaded");
        if let Some(trusted) = trusted {
            warn_of_strangers(&reread.gateways, &trusted).await;
        }
    }
}

impl Reload {
    /// Reads the files, and puts in force what they say. Answers whom the S3 gateways believe, if that could be read.
    fn read(&self) -> Option<Networks> {
        let security = self.security();
        for error in self.tls.reload(security.as_ref().ok()) {
            tracing::error!(%error, "a TLS file cannot be used; what was read before stays in use");
        }
        match security {
            Ok(security) => {
                warn_of_unchecked(&security);
                self.read_key.replace(security.filer_read);
                self.volume_tokens.replace(security.volume_read);
                Some(security.trusted_proxies)
            }
            Err(error) => {
                tracing::error!(%error, "security.toml cannot be used; all that was read of it before stays in use");
                None
            }
        }
    }

    fn security(&self) -> Result<Security, Error> {
        let security = self.security.read()?;
        if self.needs_read_key && security.filer_read.is_none() {
            return Err(Error::at("access.managed_keys", NO_READ_KEY));
        }
        Ok(security)
    }
}

/// Warns of what `security` leaves open.
pub(super) fn warn_of_unchecked(security: &Security) {
    if security.https.as_ref().is_some_and(|https| https.insecure_skip_verify) {
        tracing::warn!(
            "https.client.insecure_skip_verify is set: whoever is in the way can pass for a filer or volume server"
        );
    }
}

async fn warn_of_strangers(gateways: &[GatewayUrl], trusted: &Networks) {
    if let Some(objection) = strangers::objection(&strangers::looked_up(gateways).await, trusted) {
        tracing::warn!("{objection}");
    }
}

async fn read_sse_s3(keys: &KeyRing) {
    match keys.read_sse_s3().await {
        Ok(true) => tracing::info!("read the SSE-S3 key of the filer"),
        // Installations without SSE-S3 have none, nor those that configure it.
        Ok(false) => tracing::debug!("no SSE-S3 key to read from the filer"),
        Err(error) if error.delay().is_some() => {
            tracing::warn!(%error, "the SSE-S3 key cannot be read from the filer now; the first need tries again");
        }
        Err(error) => tracing::error!(%error, "the filer's SSE-S3 key file cannot be used"),
    }
}
