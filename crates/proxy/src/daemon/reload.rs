//! What is read again while the daemon runs: at the start, and whenever it is told to reload.
//!
//! Knows what can be read again. Must not know how it is read, or what it is for.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{keys::KeyRing, tls::Tls};

/// Reads the SSE-S3 key, then everything that can be read again each time `told`. None of it ends the daemon: what cannot
/// be used is logged, and what was there before stays in use.
pub(super) async fn run(mut told: mpsc::Receiver<()>, tls: Tls, keys: Arc<KeyRing>) {
    read_sse_s3(&keys).await;
    while told.recv().await.is_some() {
        tracing::info!("reloading certificates and keys");
        let files = tls.clone();
        match tokio::task::spawn_blocking(move || files.reload()).await {
            Ok(errors) => {
                for error in errors {
                    tracing::error!(%error, "a TLS file cannot be used; what was read before stays in use");
                }
            }
            Err(error) => tracing::error!(%error, "TLS files were not read again"),
        }
        keys.forget().await;
        read_sse_s3(&keys).await;
        tracing::info!("reloaded");
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
