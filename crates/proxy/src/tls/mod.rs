//! TLS on every side: what clients are shown, and how filer and volume servers are checked.
//!
//! Knows certificates, keys and the files they are in. Must not know what is said over the connections.

mod client;
mod files;
mod server;
mod verify;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use client::KmsFiles;

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
    /// To the KMS providers that have files of their own, by their names.
    pub kms: BTreeMap<String, ClientTls>,
}

impl Tls {
    /// Reads the files that `server`, `security` and `kms` name.
    ///
    /// # Errors
    /// When one cannot be used; it is named.
    pub(crate) fn new(server: &config::Server, security: &Security, kms: &config::Kms) -> Result<Self, Error> {
        let server = match (&server.tls_cert, &server.tls_key) {
            (Some(cert), Some(key)) => {
                let client_ca = server.tls_client_ca.as_deref().map(Path::new);
                Some(ServerTls::new(Path::new(cert), Path::new(key), client_ca)?)
            }
            _ => None,
        };
        let grpc = security.grpc.as_ref().map(ClientTls::grpc).transpose()?;
        let https = security.https.as_ref().map(ClientTls::https).transpose()?;
        let kms =
            kms.providers.iter().filter_map(|(name, provider)| Some((name.clone(), ClientTls::kms(files(provider)?))));
        let named = |name: &str, error: Error| Error::at(format!("kms.providers.{name}"), error.to_string());
        let kms = kms.map(|(name, tls)| tls.map_err(|error| named(&name, error)).map(|tls| (name, tls)));
        let kms = kms.collect::<Result<_, _>>()?;
        Ok(Self { server, grpc, https, kms })
    }

    /// Reads the files of before anew, for connections from now on; those that are open stay as they are. What cannot be
    /// used is left as it was, and its error, which names the file, is returned. Blocks on the file system.
    pub(crate) fn reload(&self) -> Vec<Error> {
        let server = self.server.as_ref().map(ServerTls::reload);
        let grpc = self.grpc.as_ref().map(ClientTls::reload);
        let https = self.https.as_ref().map(ClientTls::reload);
        let kms = self.kms.values().map(ClientTls::reload);
        [server, grpc, https].into_iter().flatten().chain(kms).filter_map(Result::err).collect()
    }
}

/// The files that the table of a provider names, if it names any.
fn files(provider: &config::Provider) -> Option<KmsFiles> {
    let config::Provider::OpenBao(bao) = provider else { return None };
    let ca = bao.ca_cert.as_ref().map(PathBuf::from);
    let identity = bao.client_cert.as_ref().zip(bao.client_key.as_ref());
    let identity = identity.map(|(certificate, key)| (certificate.into(), key.into()));
    (ca.is_some() || identity.is_some()).then_some(KmsFiles { ca, identity })
}
