//! SeaweedFS's own `security.toml`, and the `WEED_…` environment over it: the keys that read tokens are signed with, the
//! files of the TLS that the cluster speaks, and whom its S3 gateways believe.
//!
//! Knows the names of those settings and how weed looks them up (`weed/util/config.go` @4.48, viper: names in any case, an
//! environment variable that is not empty before the file). Must not know what a token says or how a connection is made.

mod key;
mod source;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) use self::key::Algorithm;
pub use self::key::SigningKey;
use self::source::Settings;
use crate::{
    peers::Networks,
    settings::{Error, WeedEnvironment},
};

/// How long a volume token lives where nothing is said, as at weed (`weed/server/filer_server.go` @4.48).
const VOLUME_TOKEN_SECONDS: u32 = 60;

/// Where [`Security`] comes from: kept, so that it can be read again.
#[derive(Clone)]
pub(crate) struct SecurityFile {
    /// The file, if one is named. Relative names in it are relative to its directory.
    pub(crate) path: Option<PathBuf>,
    /// What is laid over it. It does not change while the process runs.
    pub(crate) environment: WeedEnvironment,
}

impl SecurityFile {
    /// Reads the file, and lays the environment over it. Blocks on the file system.
    ///
    /// # Errors
    /// When the file cannot be read or is no TOML, or a setting has a wrong form or lacks its other half; never with a
    /// key's value.
    pub(crate) fn read(&self) -> Result<Security, Error> {
        Security::load(self.path.as_deref(), &self.environment)
    }
}

/// What a reader takes from `security.toml`. The default is a cluster without any of it.
#[derive(Default)]
pub struct Security {
    /// Signs the tokens that readers of the filer must bring (`jwt.filer_signing.read.key`).
    pub filer_read: Option<SigningKey>,
    /// Signs the tokens that volume servers want for reads (`jwt.signing.read.*`).
    pub volume_read: Option<VolumeTokens>,
    /// mTLS of the filer's gRPC (`grpc.ca`, `grpc.client.*`); it takes all three files.
    pub grpc: Option<Identity>,
    /// HTTPS of filer and volume servers (`https.client.*`).
    pub https: Option<Https>,
    /// Whose word the S3 gateways take for a client's address (`s3.trusted_proxies.white_list`).
    pub trusted_proxies: Networks,
    /// The names of what was set, in the order of this struct; no values.
    pub(crate) set: Vec<&'static str>,
}

/// How volume read tokens are minted.
pub struct VolumeTokens {
    /// The key.
    pub key: SigningKey,
    /// How long a token lives; `None`: for ever.
    pub lifetime: Option<Duration>,
}

/// The files of one TLS client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The authority that servers' certificates must come from (PEM).
    pub ca: PathBuf,
    /// The client's certificate chain (PEM).
    pub cert: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
}

/// `https.client.*`, where it is enabled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Https {
    /// The authority that servers' certificates must come from; `None`: the system's, or nobody if there is a client
    /// certificate (as at weed).
    pub ca: Option<PathBuf>,
    /// The client's certificate chain and its private key (PEM).
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether servers' certificates go unchecked.
    pub insecure_skip_verify: bool,
}

impl Security {
    fn load(file: Option<&Path>, environment: &WeedEnvironment) -> Result<Self, Error> {
        let settings = Settings::new(file, environment)?;
        let security = Self {
            filer_read: settings.text("jwt.filer_signing.read.key")?.map(|key| SigningKey::new(key.as_bytes())),
            volume_read: volume_tokens(&settings)?,
            grpc: grpc(&settings)?,
            https: https(&settings)?,
            trusted_proxies: trusted_proxies(&settings),
            set: Vec::new(),
        };
        Ok(Self { set: names(&security), ..security })
    }
}

/// It is the gateway's: one that cannot be read is none of ours, and names nobody.
fn trusted_proxies(settings: &Settings<'_>) -> Networks {
    let list = settings.text("s3.trusted_proxies.white_list").ok().flatten();
    list.map(|list| Networks::parse(&list)).unwrap_or_default()
}

fn names(security: &Security) -> Vec<&'static str> {
    let set = [
        (security.filer_read.is_some(), "jwt.filer_signing.read.key"),
        (security.volume_read.is_some(), "jwt.signing.read.key"),
        (security.grpc.is_some(), "grpc.client"),
        (security.https.is_some(), "https.client"),
    ];
    set.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)).collect()
}

fn volume_tokens(settings: &Settings<'_>) -> Result<Option<VolumeTokens>, Error> {
    let Some(key) = settings.text("jwt.signing.read.key")? else { return Ok(None) };
    let seconds = settings.seconds("jwt.signing.read.expires_after_seconds")?.unwrap_or(VOLUME_TOKEN_SECONDS);
    let lifetime = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
    Ok(Some(VolumeTokens { key: SigningKey::new(key.as_bytes()), lifetime }))
}

/// A certificate that may only be a client's is preferred, as at weed (`weed/security/tls.go` @4.48). Weed falls back to plain
/// gRPC when a file is missing; half of a setting is refused here instead.
fn grpc(settings: &Settings<'_>) -> Result<Option<Identity>, Error> {
    let mut pair = settings.pair("grpc.client.client_cert", "grpc.client.client_key")?;
    if pair.is_none() {
        pair = settings.pair("grpc.client.cert", "grpc.client.key")?;
    }
    match (settings.file("grpc.ca")?, pair) {
        (Some(ca), Some((cert, key))) => Ok(Some(Identity { ca, cert, key })),
        (None, Some(_)) => Err(settings.error("grpc.ca", "must be set, because grpc.client.cert is")),
        // Servers read the same file: an authority by itself is theirs.
        (_, None) => Ok(None),
    }
}

fn https(settings: &Settings<'_>) -> Result<Option<Https>, Error> {
    if !settings.flag("https.client.enabled")? {
        return Ok(None);
    }
    Ok(Some(Https {
        ca: settings.file("https.client.ca")?,
        identity: settings.pair("https.client.cert", "https.client.key")?,
        insecure_skip_verify: settings.flag("https.client.insecure_skip_verify")?,
    }))
}
