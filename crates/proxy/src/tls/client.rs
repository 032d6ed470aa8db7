//! The TLS that tidegate speaks to filer and volume servers, from what `security.toml` names.

use std::{path::PathBuf, sync::Arc};

use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore,
    client::WantsClientCert,
    crypto::{CryptoProvider, aws_lc_rs},
};

use super::{files, verify::WithoutName};
use crate::config::Error;
use crate::security::{Https, Identity};

/// For the filer's gRPC.
pub(super) fn grpc(files: &Identity) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WithoutName::new(Some(files::roots(&files.ca)?), Arc::clone(&provider));
    let builder = builder(provider)?.dangerous().with_custom_certificate_verifier(verifier);
    identify(builder, Some(&(files.cert.clone(), files.key.clone())))
}

/// For HTTP, of filer and volume servers alike. As weed's HTTP client (`weed/util/http/client/http_client.go`): with neither a certificate nor an authority of its own
/// it trusts the system's.
pub(super) fn https(files: &Https) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    if files.insecure_skip_verify {
        let verifier = WithoutName::new(None, Arc::clone(&provider));
        return identify(
            builder(provider)?.dangerous().with_custom_certificate_verifier(verifier),
            files.identity.as_ref(),
        );
    }
    let builder = builder(provider)?;
    let builder = match (&files.ca, &files.identity) {
        (Some(ca), _) => builder.with_root_certificates(files::roots(ca)?),
        (None, Some(_)) => builder.with_root_certificates(RootCertStore::empty()),
        (None, None) => builder.with_native_roots().map_err(|error| {
            Error::at("https.client", format!("the system's root certificates cannot be read: {error}"))
        })?,
    };
    identify(builder, files.identity.as_ref())
}

fn builder(provider: Arc<CryptoProvider>) -> Result<ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::at("TLS", error.to_string()))
}

fn identify(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    identity: Option<&(PathBuf, PathBuf)>,
) -> Result<ClientConfig, Error> {
    let Some((cert, key)) = identity else { return Ok(builder.with_no_client_auth()) };
    builder
        .with_client_auth_cert(files::chain(cert)?, files::key(key)?)
        .map_err(|error| files::unfit(cert, key, &error))
}
