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

/// What connections are made with; `None`: they are plain. Clones share it, and what it adopts.
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

    /// What connections are made with from now on: what this one makes them with, as far as there is TLS before and after, so
    /// that whoever has it need not be made anew; else what `newer` says. [`Tls::adopt`] puts it in force.
    pub(crate) fn continued(&self, newer: &Self) -> Self {
        let one = |before: &Option<ClientTls>, newer: &Option<ClientTls>| {
            newer.as_ref().map(|newer| before.clone().unwrap_or_else(|| newer.clone()))
        };
        Self {
            server: newer.server.as_ref().map(|newer| self.server.clone().unwrap_or_else(|| newer.clone())),
            grpc: one(&self.grpc, &newer.grpc),
            https: one(&self.https, &newer.https),
            gateway: one(&self.gateway, &newer.gateway),
            // Providers are made anew with every configuration.
            kms: newer.kms.clone(),
        }
    }

    /// Makes connections from now on with what `newer` has read.
    pub(crate) fn adopt(&self, newer: &Self) {
        if let (Some(tls), Some(newer)) = (&self.server, &newer.server) {
            tls.adopt(newer);
        }
        for (tls, newer) in [(&self.grpc, &newer.grpc), (&self.https, &newer.https), (&self.gateway, &newer.gateway)] {
            if let (Some(tls), Some(newer)) = (tls, newer) {
                tls.adopt(newer);
            }
        }
    }

    /// When certificates end, seconds since 1970, by what they are for.
    pub(crate) fn ends(&self) -> BTreeMap<String, i64> {
        let clients = [("filer_grpc", &self.grpc), ("filer_https", &self.https), ("s3_gateway", &self.gateway)];
        let clients = clients.into_iter().filter_map(|(role, tls)| Some((role.to_owned(), tls.as_ref()?.ends())));
        let kms = self.kms.iter().map(|(name, tls)| (format!("kms_{name}"), tls.ends()));
        let server = self.server.iter().map(|tls| ("server".to_owned(), tls.ends()));
        let all = server.chain(clients).chain(kms);
        all.flat_map(|(role, ends)| ends.into_iter().map(move |(what, end)| (format!("{role}{what}"), end))).collect()
    }
}

/// When certificates end, seconds since 1970, by what is added to the name of whose they are.
type Expiries = Vec<(&'static str, i64)>;
