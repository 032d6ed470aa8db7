//! TLS on every side: what clients are shown, and how filer and volume servers are checked.
//!
//! Knows certificates, keys and the files they are in. Must not know what is said over the connections.

mod client;
mod files;
mod server;
mod verify;

use std::collections::BTreeMap;

pub use client::ClientTls;
pub(crate) use client::ServiceFiles;
pub(crate) use server::ServerFiles;
pub use server::ServerTls;

use crate::{security::Security, settings::Error};

/// What connections are made with; `None`: they are plain. Clones share it, reloads included.
#[derive(Clone, Default)]
pub struct Tls {
    /// For the filer front's clients.
    pub server: Option<ServerTls>,
    /// To the filer's gRPC.
    pub grpc: Option<ClientTls>,
    /// To filer and volume servers, HTTP.
    pub https: Option<ClientTls>,
    /// To the S3 gateways.
    pub gateway: Option<ClientTls>,
    /// To the KMS providers that have files of their own, by their names.
    pub kms: BTreeMap<String, ClientTls>,
}

impl Tls {
    /// Reads the files that `server`, `security`, `gateway` and `kms` (by provider) name.
    ///
    /// # Errors
    /// When one cannot be used; it is named.
    pub(crate) fn new(
        server: Option<ServerFiles>,
        security: &Security,
        gateway: Option<ServiceFiles>,
        kms: impl IntoIterator<Item = (String, ServiceFiles)>,
    ) -> Result<Self, Error> {
        let server = server.map(ServerTls::new).transpose()?;
        let grpc = security.grpc.as_ref().map(ClientTls::grpc).transpose()?;
        let https = security.https.as_ref().map(ClientTls::https).transpose()?;
        let gateway = gateway.map(ClientTls::service).transpose()?;
        let of_provider = |(name, files)| match ClientTls::service(files) {
            Ok(tls) => Ok((name, tls)),
            Err(error) => Err(Error::at(format!("kms.providers.{name}"), error.to_string())),
        };
        let kms = kms.into_iter().map(of_provider).collect::<Result<_, _>>()?;
        Ok(Self { server, grpc, https, gateway, kms })
    }

    /// Reads the files anew, for connections from now on; those that are open stay as they are. To the cluster, those that
    /// `security` names, or else those of before. What cannot be used is left as it was, and its error, which names the
    /// file, is returned. Blocks on the file system.
    pub(crate) fn reload(&self, security: Option<&Security>) -> Vec<Error> {
        let server = self.server.as_ref().map(ServerTls::reload);
        let (grpc, https) = match security {
            Some(security) => (
                renewed("grpc.client", self.grpc.as_ref(), security.grpc.as_ref(), ClientTls::reload_grpc),
                renewed("https.client", self.https.as_ref(), security.https.as_ref(), ClientTls::reload_https),
            ),
            None => (self.grpc.as_ref().map(ClientTls::reload), self.https.as_ref().map(ClientTls::reload)),
        };
        let services = self.gateway.iter().chain(self.kms.values()).map(ClientTls::reload);
        [server, grpc, https].into_iter().flatten().chain(services).filter_map(Result::err).collect()
    }
}

/// TLS with the `files` that are named now, if that is how connections are made at all.
fn renewed<F>(
    name: &str,
    tls: Option<&ClientTls>,
    files: Option<&F>,
    reload: impl Fn(&ClientTls, &F) -> Result<(), Error>,
) -> Option<Result<(), Error>> {
    match (tls, files) {
        (Some(tls), Some(files)) => Some(reload(tls, files)),
        (None, None) => None,
        (Some(_), None) => Some(Err(Error::at(name, "is no longer set; TLS is switched off by a restart only"))),
        (None, Some(_)) => Some(Err(Error::at(name, "is set now; TLS is switched on by a restart only"))),
    }
}
