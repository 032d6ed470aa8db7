//! Certificates and keys from PEM files. An error names the file and says what is wrong with it.

use std::{fs, path::Path};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use zeroize::Zeroizing;

use crate::settings::Error;

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
