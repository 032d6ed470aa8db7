//! TLS on every side: what clients are shown, and how filer and volume servers are checked.
//!
//! Knows certificates, keys and the files they are in. Must not know what is said over the connections.

mod client;
mod files;
mod server;
mod verify;

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, ServerConfig};

use crate::{
    config::{self, Error},
    security::Security,
};

/// What connections are made with; `None`: they are plain.
#[derive(Clone, Default)]
pub struct Tls {
    /// For the filer front's clients.
    pub server: Option<Arc<ServerConfig>>,
    /// To the filer's gRPC.
    pub grpc: Option<ClientConfig>,
    /// To filer and volume servers, HTTP.
    pub https: Option<ClientConfig>,
}

impl Tls {
    /// Reads the files that `server` and `security` name.
    ///
    /// # Errors
    /// When one cannot be used; it is named.
    pub(crate) fn new(server: &config::Server, security: &Security) -> Result<Self, Error> {
        let server = match (&server.tls_cert, &server.tls_key) {
            (Some(cert), Some(key)) => {
                let client_ca = server.tls_client_ca.as_deref().map(Path::new);
                Some(server::config(Path::new(cert), Path::new(key), client_ca)?)
            }
            _ => None,
        };
        let grpc = security.grpc.as_ref().map(client::grpc).transpose()?;
        let https = security.https.as_ref().map(client::https).transpose()?;
        Ok(Self { server, grpc, https })
    }
}
