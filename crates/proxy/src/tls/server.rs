//! The TLS that clients of the front speak.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use tokio::sync::watch;

use super::{Expiries, files};
use crate::settings::Error;

/// Answers handshakes with what the files said when they were last read. Clones share it.
#[derive(Clone)]
pub struct ServerTls {
    current: Arc<watch::Sender<ServerMaterial>>,
}

/// What one reading of the files gave.
#[derive(Clone)]
struct ServerMaterial {
    config: Arc<ServerConfig>,
    ends: Expiries,
}

/// The files of a listener (PEM).
pub(crate) struct ServerFiles {
    /// The certificate chain to show.
    pub(crate) cert: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
    /// The authorities whose certificates clients may show; `None`: they show none.
    pub(crate) client_ca: Option<PathBuf>,
}

impl ServerTls {
    /// TLS 1.2 and 1.3 with this certificate, HTTP/2 and HTTP/1.1 on it. Clients may show a certificate of the
    /// authorities in `client_ca`; one of another authority ends the handshake, none at all does not.
    ///
    /// # Errors
    /// One line that names the file which cannot be used.
    pub(super) fn new(files: ServerFiles) -> Result<Self, Error> {
        let mut ends = Expiries::new();
        ends.extend(files::ends(&files.cert)?.map(|(first, _)| ("", first)));
        if let Some(ca) = &files.client_ca {
            ends.extend(files::ends(ca)?.map(|(_, last)| ("_client_ca", last)));
        }
        let reading = ServerMaterial { config: files.read()?, ends };
        Ok(Self { current: Arc::new(watch::Sender::new(reading)) })
    }

    /// What the next connection is answered with.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow().config)
    }

    /// Connections from now on are made with what `newer` has read. Sessions of before are not resumed: their tickets were
    /// sealed with a key of the configuration that is gone.
    pub(super) fn adopt(&self, newer: &Self) {
        let reading = newer.current.borrow().clone();
        self.current.send_replace(reading);
    }

    /// When its certificates end.
    pub(super) fn ends(&self) -> Expiries {
        self.current.borrow().ends.clone()
    }
}

impl ServerFiles {
    fn read(&self) -> Result<Arc<ServerConfig>, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::at("TLS", error.to_string()).caused_by(error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let roots = Arc::new(files::roots(ca)?);
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots, provider).allow_unauthenticated().build();
                builder.with_client_cert_verifier(
                    verifier
                        .map_err(|error| Error::at(ca.display().to_string(), error.to_string()).caused_by(error))?,
                )
            }
        };
        let mut config = builder
            .with_single_cert(files::chain(&self.cert)?, files::key(&self.key)?)
            .map_err(|error| files::unfit(&self.cert, &self.key, error))?;
        if self.client_ca.is_some() {
            // A resumed session shows no certificate. It would be believed after the one that it began with has ended.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
