//! All that a daemon is made of: the configuration, SeaweedFS's own settings, and the certificates that both name.
//!
//! Knows what needs what. Must not know what any of it is used for.

use std::path::{Path, PathBuf};

use super::{addresses, strangers};
use crate::{
    config::{self, Config, ManagedKeys, ProxyProtocol, Sources},
    security::{Security, SecurityFile},
    settings::{Environment, Error},
    tls::{ServerFiles, ServiceFiles, Tls},
};

/// A checked configuration, and what it names.
pub struct CheckedConfig {
    /// The settings themselves.
    pub config: Config,
    /// What SeaweedFS's own `security.toml` and environment say.
    pub security: Security,
    /// Certificates and keys, read and found to go together.
    pub tls: Tls,
    /// Where the settings came from.
    pub(super) sources: Sources,
    /// The file that was named, if one was.
    named: Option<PathBuf>,
}

impl CheckedConfig {
    /// Reads `path` (or [`config::DEFAULT_PATH`]), lays the environment over it, and reads what it names.
    ///
    /// # Errors
    /// One [`Error`], the first that is found: it fits on one line and names the file or variable, the key and the fix.
    pub fn read(path: Option<&Path>, environment: &Environment) -> Result<Self, Error> {
        let (config, sources) = config::read(path, environment)?;
        let security_file = SecurityFile {
            path: config.filer.security_toml.as_ref().map(PathBuf::from),
            environment: environment.weed().clone(),
        };
        let security = security_file.read()?;
        if let Some(missing) = missing(&config, &security) {
            return Err(sources.unusable(&format!("access.managed_keys {missing}")));
        }
        if let Some(wrong) = addresses::conflict(&config).or_else(|| s3_listener(&config)) {
            return Err(sources.unusable(&wrong));
        }
        let gateway = config.s3.gateway.iter().any(|gateway| gateway.tls).then_some(config.s3.gateway_ca.as_ref());
        let gateway = gateway.map(|ca| ServiceFiles { ca: ca.map(PathBuf::from), identity: None });
        let tls = Tls::new(listener(&config.server), &security, gateway, providers(&config.kms))
            .map_err(|error| error.named_by(|file| key_that_names(file, &config)))?;
        Ok(Self { config, security, tls, sources, named: path.map(Path::to_owned) })
    }

    /// What reads the same file again, under the environment of this process.
    pub(super) fn again(&self) -> impl Fn() -> Result<Self, Error> + Clone + Send + 'static {
        let named = self.named.clone();
        move || Self::read(named.as_deref(), &Environment::of_process()?)
    }

    /// All files that were read, but those of the system.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let Config { filer, server, s3, .. } = &self.config;
        let named = [&filer.security_toml, &server.tls_cert, &server.tls_key, &server.tls_client_ca, &s3.gateway_ca];
        let named = named.into_iter().flatten().map(PathBuf::from);
        let grpc = self.security.grpc.iter().flat_map(|files| [&files.ca, &files.cert, &files.key]).cloned();
        let https = self.security.https.iter().flat_map(|files| {
            let identity = files.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
            files.ca.iter().chain(identity).cloned().collect::<Vec<_>>()
        });
        let kms = providers(&self.config.kms).flat_map(|(_, ServiceFiles { ca, identity })| {
            ca.into_iter().chain(identity.into_iter().flat_map(|(certificate, key)| [certificate, key]))
        });
        self.sources.files().cloned().chain(named).chain(grpc).chain(https).chain(kms).collect()
    }

    /// The error of a setting that could be read but not be used; see [`Sources::unusable`].
    pub(crate) fn unusable(&self, sentence: &str) -> Error {
        self.sources.unusable(sentence)
    }

    /// The effective configuration as TOML: secrets masked, and behind each value that is not a default its source.
    pub fn to_toml(&self) -> String {
        let mut page = self.sources.page(&self.config);
        if !self.security.set.is_empty() {
            page += &format!("\n# Set by SeaweedFS's security.toml or environment: {}\n", self.security.set.join(", "));
        }
        // Names are not looked up for this.
        let gateways = strangers::literal(&self.config.s3.gateway);
        if let Some(objection) = strangers::objection(&gateways, &self.security.trusted_proxies) {
            page += &format!("\n# Warning: {objection}.\n");
        }
        page
    }
}

/// What is missing for `access.managed_keys = "jwt"`.
pub(super) const NO_READ_KEY: &str = "\"jwt\" needs jwt.filer_signing.read.key, in the file that filer.security_toml names or in WEED_JWT_FILER_SIGNING_READ_KEY";

/// What `access.managed_keys` needs and nobody has set.
fn missing(config: &Config, security: &Security) -> Option<&'static str> {
    match config.access.managed_keys {
        ManagedKeys::Jwt if security.filer_read.is_none() => Some(NO_READ_KEY),
        ManagedKeys::Mtls if config.server.tls_client_ca.is_none() => Some("\"mtls\" needs server.tls_client_ca"),
        _ => None,
    }
}

/// What is wrong with where the S3 front listens, and how.
fn s3_listener(config: &Config) -> Option<String> {
    let (server, s3) = (&config.server, &config.s3);
    s3.listen?;
    if s3.proxy_protocol == ProxyProtocol::Required && server.trusted_proxies.is_empty() {
        return Some("server.trusted_proxies must name a proxy, because s3.proxy_protocol is \"required\"".into());
    }
    let (front, gateways) = (server.tls_cert.is_some(), s3.gateway.iter().any(|gateway| gateway.tls));
    match (front, gateways) {
        (true, false) => {
            Some("s3.gateway must be https://, because server.tls_cert is set: policies may ask for TLS".into())
        }
        (false, true) => Some(
            "s3.gateway is https://: set server.tls_cert and server.tls_key, because policies may ask for TLS".into(),
        ),
        _ => None,
    }
}

/// The key that names a file of certificates or keys. What is wrong with those of a provider names its table already.
fn key_that_names(file: &str, config: &Config) -> Option<String> {
    let Config { server, s3, .. } = config;
    let named = [
        ("server.tls_cert", &server.tls_cert),
        ("server.tls_key", &server.tls_key),
        ("server.tls_client_ca", &server.tls_client_ca),
        ("s3.gateway_ca", &s3.gateway_ca),
    ];
    named.into_iter().find(|(_, name)| name.as_deref() == Some(file)).map(|(key, _)| key.to_owned())
}

/// The files that the listener's TLS is made from, if it has any.
fn listener(server: &config::Server) -> Option<ServerFiles> {
    let (cert, key) = server.tls_cert.as_ref().zip(server.tls_key.as_ref())?;
    let client_ca = server.tls_client_ca.as_ref().map(PathBuf::from);
    Some(ServerFiles { cert: cert.into(), key: key.into(), client_ca })
}

/// The files that the tables of providers name, by provider.
fn providers(kms: &config::Kms) -> impl Iterator<Item = (String, ServiceFiles)> {
    kms.providers.iter().filter_map(|(name, provider)| {
        let config::Provider::OpenBao(bao) = provider else { return None };
        let ca = bao.ca_cert.as_ref().map(PathBuf::from);
        let identity = bao.client_cert.as_ref().zip(bao.client_key.as_ref());
        let identity = identity.map(|(certificate, key)| (certificate.into(), key.into()));
        (ca.is_some() || identity.is_some()).then(|| (name.clone(), ServiceFiles { ca, identity }))
    })
}

#[cfg(test)]
mod tests;
