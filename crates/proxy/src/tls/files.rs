//! Certificates and keys from PEM files. An error names the file and says what is wrong with it.

use std::{fs, path::Path, time::Duration};

use rustls::{
    CertificateError, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use zeroize::Zeroizing;

use crate::settings::Error;

/// After the last second that a certificate can name, which is of the year 9999.
const AFTER_ALL: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1 << 38));

/// A chain of certificates, the end of it first.
pub(super) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(at(path, "no certificate in it; expected PEM")),
        Err(error) => Err(at(path, format!("not a PEM file: {error}")).caused_by(error)),
    }
}

/// When the first certificate of a file ends, and when the last, seconds since 1970. `None`: none of them says it.
pub(super) fn ends(path: &Path) -> Result<Option<(i64, i64)>, Error> {
    let ends: Vec<_> = chain(path)?.iter().filter_map(end).collect();
    Ok(ends.iter().min().copied().zip(ends.iter().max().copied()))
}

/// When a certificate ends. rustls says it of those that have ended, and all of them have at the time that it is asked about:
/// that is what it looks at first.
fn end(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (end_entity, nobody) = (ParsedCertificate::try_from(certificate).ok()?, RootCertStore::empty());
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let asked = verify_server_cert_signed_by_trust_anchor(&end_entity, &nobody, &[], AFTER_ALL, algorithms);
    match asked {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            i64::try_from(not_after.as_secs()).ok()
        }
        _ => None,
    }
}

/// A private key: PKCS #8, PKCS #1 or SEC 1.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| at(path, "no private key in it; expected one in PEM, without a passphrase"))
}

/// The authorities in a file.
pub(super) fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        roots.add(certificate).map_err(|error| at(path, format!("not an authority: {error}")).caused_by(error))?;
    }
    Ok(roots)
}

/// The authorities that the system believes.
pub(super) fn system_roots() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    match (roots.add_parsable_certificates(found.certs), found.errors.first()) {
        ((1.., _), _) => Ok(roots),
        (_, Some(error)) => Err(Error::at("the system's root certificates", format!("cannot be read: {error}"))),
        _ => Err(Error::at("the system's root certificates", "there are none; install ca-certificates")),
    }
}

/// The error of a certificate and a key that cannot be used together.
pub(super) fn unfit(cert: &Path, key: &Path, error: rustls::Error) -> Error {
    at(cert, format!("does not go with {}: {error}", key.display())).caused_by(error)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    fs::read(path).map(Zeroizing::new).map_err(|error| at(path, format!("cannot be read: {error}")).caused_by(error))
}

fn at(path: &Path, message: impl Into<String>) -> Error {
    Error::at(path.display().to_string(), message)
}
