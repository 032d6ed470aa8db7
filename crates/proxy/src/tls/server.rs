//! The TLS that clients of the front speak.

use std::{path::Path, sync::Arc};

use rustls::{ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};

use super::files;
use crate::config::Error;

/// TLS 1.2 and 1.3 with this certificate, HTTP/2 and HTTP/1.1 on it. Clients may show a certificate of the authorities in
/// `client_ca`; one of another authority ends the handshake, none at all does not.
///
/// # Errors
/// One line that names the file which cannot be used.
pub(super) fn config(cert: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::at("TLS", error.to_string()))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let roots = Arc::new(files::roots(ca)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).allow_unauthenticated().build();
            builder.with_client_cert_verifier(
                verifier.map_err(|error| Error::at(ca.display().to_string(), error.to_string()))?,
            )
        }
    };
    let mut config = builder
        .with_single_cert(files::chain(cert)?, files::key(key)?)
        .map_err(|error| files::unfit(cert, key, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
