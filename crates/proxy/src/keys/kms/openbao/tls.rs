//! TLS towards OpenBao or Vault: which authorities are trusted, and which certificate is shown.
//!
//! Knows certificate files. Must not know what is sent.

use std::path::Path;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{super::http::tls_config, Settings, broken};
use crate::Result;

/// The TLS settings of a provider.
///
/// # Errors
/// [`Blame::Config`](crate::Blame::Config) that names the file at fault.
pub(super) fn config(name: &str, settings: &Settings, https: bool) -> Result<ClientConfig> {
    let unreadable = |setting: &str, path: &Path, why: &dyn std::fmt::Display| {
        broken(format!("kms.providers.{name}.{setting}: {}: {why}", path.display()))
    };
    if settings.ca_cert.is_none() && settings.client_cert.is_none() {
        return tls_config(https);
    }
    let mut roots = RootCertStore::empty();
    let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| broken(format!("no TLS: {error}")))?;
    let builder = match &settings.ca_cert {
        Some(path) => {
            let authorities = CertificateDer::pem_file_iter(path).map_err(|why| unreadable("ca_cert", path, &why))?;
            for authority in authorities {
                let authority = authority.map_err(|why| unreadable("ca_cert", path, &why))?;
                roots.add(authority).map_err(|why| unreadable("ca_cert", path, &why))?;
            }
            if roots.is_empty() {
                return Err(unreadable("ca_cert", path, &"no certificate in it"));
            }
            builder.with_root_certificates(roots)
        }
        None => {
            use hyper_rustls::ConfigBuilderExt;
            builder.with_native_roots().map_err(|why| {
                broken(format!("no root certificates to check a KMS by; install ca-certificates: {why}"))
            })?
        }
    };
    let Some((certificate, key)) = &settings.client_cert else { return Ok(builder.with_no_client_auth()) };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(|chain| chain.collect::<Result<Vec<_>, _>>())
        .map_err(|why| unreadable("client_cert", certificate, &why))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|why| unreadable("client_key", key, &why))?;
    builder.with_client_auth_cert(chain, secret).map_err(|why| unreadable("client_cert", certificate, &why))
}
