//! The TLS that tidegate speaks to filer and volume servers, from what `security.toml` names, and to a KMS and S3 gateways with
//! certificates of their own.
//!
//! What connections are made with asks here at each handshake, so that files that were read anew are used by the next
//! connection. Sessions are not resumed: a resumed one shows and checks no certificate. (Nor are they at weed.)

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use tokio::sync::watch;

use super::{Expiries, files, verify::ChainVerifier};
use crate::{
    security::{Https, Identity},
    settings::Error,
};

/// Makes connections with what the files said when they were last read.
#[derive(Clone)]
pub struct ClientTls {
    current: Arc<CurrentMaterial>,
}

/// The files that are used, by who uses them.
#[derive(Clone, Debug)]
enum Files {
    /// The filer's gRPC.
    Grpc(Identity),
    /// HTTP, of filer and volume servers alike.
    Https(Https),
    /// A service with files of its own.
    Service(ServiceFiles),
}

/// The files of one service beside the cluster's own servers (PEM): a KMS provider, the S3 gateways.
#[derive(Clone, Debug)]
pub(crate) struct ServiceFiles {
    /// The authority that its certificate must come from; `None`: the system's.
    pub(crate) ca: Option<PathBuf>,
    /// The certificate chain to show, and its private key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// What one reading of the files gave.
#[derive(Debug)]
struct ClientMaterial {
    verifier: Arc<dyn ServerCertVerifier>,
    identity: Option<Arc<CertifiedKey>>,
    ends: Expiries,
}

/// The last reading that could be used. It stands in every configuration that was made of it.
#[derive(Debug)]
struct CurrentMaterial(watch::Sender<Arc<ClientMaterial>>);

impl ClientTls {
    /// For the filer's gRPC.
    ///
    /// # Errors
    /// When a file cannot be used; it is named.
    pub(super) fn grpc(files: &Identity) -> Result<Self, Error> {
        Self::new(Files::Grpc(files.clone()))
    }

    /// For HTTP. As weed's HTTP client (`weed/util/http/client/http_client.go` @4.48): with neither a certificate nor an
    /// authority of its own it trusts the system's.
    ///
    /// # Errors
    /// When a file cannot be used; it is named.
    pub(super) fn https(files: &Https) -> Result<Self, Error> {
        Self::new(Files::Https(files.clone()))
    }

    /// For a KMS, or an S3 gateway.
    ///
    /// # Errors
    /// When a file cannot be used; it is named.
    pub(super) fn service(files: ServiceFiles) -> Result<Self, Error> {
        Self::new(Files::Service(files))
    }

    fn new(files: Files) -> Result<Self, Error> {
        let current = Arc::new(CurrentMaterial(watch::Sender::new(Arc::new(files.read()?))));
        Ok(Self { current })
    }

    /// The configuration of connections. Those that are made after [`adopt`](Self::adopt) use what it was given.
    ///
    /// # Errors
    /// When there is no TLS at all.
    pub(crate) fn config(&self) -> Result<ClientConfig, Error> {
        let verifier: Arc<dyn ServerCertVerifier> = self.current.clone();
        let mut config = builder(Arc::new(aws_lc_rs::default_provider()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(self.current.clone());
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    /// That of connections which have TLS if there is `tls`.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn config_of(tls: Option<&Self>) -> Result<Option<ClientConfig>, Error> {
        tls.map(Self::config).transpose()
    }

    /// Connections from now on are made with what `newer` has read.
    pub(super) fn adopt(&self, newer: &Self) {
        self.current.0.send_replace(newer.current.reading());
    }

    /// When its certificates end.
    pub(super) fn ends(&self) -> Expiries {
        self.current.reading().ends.clone()
    }
}

impl Files {
    fn read(self) -> Result<ClientMaterial, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pair = match &self {
            Self::Grpc(files) => Some((files.cert.clone(), files.key.clone())),
            Self::Https(files) => files.identity.clone(),
            Self::Service(files) => files.identity.clone(),
        };
        let mut ends = Expiries::new();
        if let Some((cert, _)) = &pair {
            ends.extend(files::ends(cert)?.map(|(first, _)| ("", first)));
        }
        if let Some(ca) = self.ca() {
            ends.extend(files::ends(ca)?.map(|(_, last)| ("_ca", last)));
        }
        let identity = pair.map(|(cert, key)| certified(&cert, &key, &provider)).transpose()?;
        let verifier: Arc<dyn ServerCertVerifier> = match &self {
            Self::Grpc(files) => ChainVerifier::new(Some(files::roots(&files.ca)?), provider),
            Self::Https(files) if files.insecure_skip_verify => ChainVerifier::new(None, provider),
            // A certificate of its own and no authority: as at weed, nobody is believed.
            Self::Https(Https { ca: None, identity: Some(_), .. }) => {
                ChainVerifier::new(Some(RootCertStore::empty()), provider)
            }
            Self::Https(Https { ca, .. }) | Self::Service(ServiceFiles { ca, .. }) => {
                believing(ca.as_deref(), provider)?
            }
        };
        Ok(ClientMaterial { verifier, identity, ends })
    }

    /// The authorities that are believed, if they are not the system's.
    fn ca(&self) -> Option<&Path> {
        match self {
            Self::Grpc(files) => Some(&files.ca),
            Self::Https(Https { ca, .. }) | Self::Service(ServiceFiles { ca, .. }) => ca.as_deref(),
        }
    }
}

/// Checks the chain and the name, by the authorities in `ca` or else the system's.
fn believing(ca: Option<&Path>, provider: Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let roots = ca.map_or_else(files::system_roots, files::roots)?;
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(|error| {
        let place = ca.map_or_else(|| "the system's root certificates".to_owned(), |ca| ca.display().to_string());
        Error::at(place, error.to_string()).caused_by(error)
    })
}

fn certified(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Error> {
    let unfit = |error: rustls::Error| files::unfit(cert, key, error);
    CertifiedKey::from_der(files::chain(cert)?, files::key(key)?, provider).map(Arc::new).map_err(unfit)
}

fn builder(provider: Arc<CryptoProvider>) -> Result<ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::at("TLS", error.to_string()).caused_by(error))
}

impl CurrentMaterial {
    fn reading(&self) -> Arc<ClientMaterial> {
        Arc::clone(&self.0.borrow())
    }
}

impl ResolvesClientCert for CurrentMaterial {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], _sigschemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.reading().identity.clone()
    }

    fn has_certs(&self) -> bool {
        self.reading().identity.is_some()
    }
}

impl ServerCertVerifier for CurrentMaterial {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.reading().verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.reading().verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.reading().verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.reading().verifier.supported_verify_schemes()
    }
}
