//! What is read again while the daemon runs: everything, whenever it is told to reload or a file has changed.
//!
//! Knows when, and what becomes of it. Must not know what a setting is for.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    access_lines::AccessOutput, checked_config::CheckedConfig, files::Files, parts::Parts, process_state::ProcessState,
    start_error::StartError, strangers, tasks::Tasks,
};
use crate::{
    config::GatewayUrl,
    keys::KeyRing,
    metrics::LostLines,
    peers::Networks,
    server::{Draining, Notice, systemd},
    settings,
};

/// The configuration in force, and what it takes to put another in its place.
pub(super) struct Reload<R, P> {
    /// Reads it again. Blocks on the file system.
    pub(super) again: R,
    pub(super) process: Arc<ProcessState>,
    pub(super) parts: Parts,
    pub(super) access: AccessOutput,
    pub(super) lost: Arc<LostLines>,
    pub(super) tasks: Tasks,
    pub(super) files: Files,
    /// Has requests and connections from now on served with these parts.
    pub(super) put: P,
    pub(super) requests: mpsc::Receiver<()>,
    pub(super) draining: Draining,
}

impl<R, P> Reload<R, P>
where
    R: Fn() -> Result<CheckedConfig, settings::Error> + Clone + Send + 'static,
    P: Fn(&Parts, &AccessOutput) + Send,
{
    /// Reads the SSE-S3 key, then everything each time it is told to or a file has changed. None of it ends the daemon: what
    /// cannot be used is logged, and all stays as it was.
    pub(super) async fn run(mut self) {
        self.ask().await;
        loop {
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(()) => tracing::info!("reloading"),
                    None => return,
                },
                () = self.files.changed() => tracing::info!("a file has changed: reloading"),
            }
            // The service manager has been told that this is the end.
            if self.draining.is_draining() {
                return;
            }
            self.reload().await;
        }
    }

    async fn reload(&mut self) {
        let reloads = Arc::clone(&self.process.metrics.reloads);
        systemd(Notice::Reloading);
        match self.next().await {
            Ok((parts, access)) => {
                self.put_in_force(parts, access).await;
                reloads.applied();
                let waits = &self.parts.waits;
                if !waits.is_empty() {
                    let keys = waits.join(", ");
                    tracing::warn!(keys, "these keys have changed, and keep their old values until the next start");
                }
                self.ask().await;
                systemd(Notice::Status("Serving".to_owned()));
                tracing::info!("reloaded");
            }
            Err(error) => {
                reloads.refused();
                systemd(Notice::Status(format!("Serving with the configuration of before: {error}")));
                tracing::error!(%error, "not reloaded: all stays as it was until this is mended");
            }
        }
        systemd(Notice::Ready);
    }

    /// What the configuration is now, nothing of which is in force.
    async fn next(&mut self) -> Result<(Parts, AccessOutput), StartError> {
        self.files.are_read().await;
        let loaded = tokio::task::spawn_blocking(self.again.clone()).await??;
        let access = AccessOutput::of(&loaded.config.log, &self.lost, Some(&self.access));
        let access = access.map_err(|sentence| loaded.unusable(&sentence))?;
        let parts = Parts::new(&self.process, loaded, Some(&self.parts))?;
        Ok((parts, access))
    }

    async fn put_in_force(&mut self, mut parts: Parts, access: AccessOutput) {
        parts.take_over(&self.process, Some(&self.parts));
        (self.put)(&parts, &access);
        self.files.watch(parts.files.iter().cloned());
        self.tasks.renew(&parts, &self.process).await;
        (self.parts, self.access) = (parts, access);
    }

    /// Asks those who are asked once for each configuration.
    async fn ask(&self) {
        read_sse_s3(&self.parts.keys).await;
        warn_of_strangers(&self.parts.config.s3.gateway, &self.parts.believed).await;
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
