//! TLS on every side: what clients are shown, and how filer and volume servers are checked.
//!
//! Knows certificates, keys and the files they are in. Must not know what is said over the connections.

mod client;
mod files;
mod server;
mod verify;

use std::path::Path;

pub use client::ClientTls;
pub use server::ServerTls;

use crate::{
    config::{self, Error},
    security::Security,
};

/// What connections are made with; `None`: they are plain. Clones share it, reloads included.
#[derive(Clone, Default)]
pub struct Tls {
    /// For the filer front's clients.
    pub server: Option<ServerTls>,
    /// To the filer's gRPC.
    pub grpc: Option<ClientTls>,
    /// To filer and volume servers, HTTP.
    pub https: Option<ClientTls>,
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
                Some(ServerTls::new(Path::new(cert), Path::new(key), client_ca)?)
            }
            _ => None,
        };
        let grpc = security.grpc.as_ref().map(ClientTls::grpc).transpose()?;
        let https = security.https.as_ref().map(ClientTls::https).transpose()?;
        Ok(Self { server, grpc, https })
    }

    /// Reads the files of before anew, for connections from now on; those that are open stay as they are. What cannot be
    /// used is left as it was, and its error, which names the file, is returned. Blocks on the file system.
    pub(crate) fn reload(&self) -> Vec<Error> {
        let server = self.server.as_ref().map(ServerTls::reload);
        let grpc = self.grpc.as_ref().map(ClientTls::reload);
        let https = self.https.as_ref().map(ClientTls::reload);
        [server, grpc, https].into_iter().flatten().filter_map(Result::err).collect()
    }
}
