//! What the operator set: built-in defaults, then the TOML file, then the environment, read once and checked whole.
//!
//! Knows every key, its default, its range and where its value came from. Must not know what the settings are used for,
//! and opens no connection. A key is declared once, in `sections`; reading, the search for unknown keys, the output of
//! `tidegate check` and `docs/configuration.md` all follow from that declaration.

mod declare;
mod docs;
mod error;
mod page;
mod scope;
mod sections;
mod source;
mod values;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use docs::markdown;
pub use error::Error;
pub use sections::{
    Access, Aws, Azure, Bucket, Cache, Config, Filer, Gcp, Kms, Log, LogFormat, LogLevel, ManagedKeys, OpenBao,
    Prefetch, Provider, Server, Sse, SseS3,
};
pub use source::Environment;
pub use values::{CacheSize, FilerAddress, Seconds, Secret, Size, Window};

use crate::{security::Security, tls::Tls};
use page::Page;
use scope::{Loader, Origins, Scope};

/// The file that is read when no other is named.
pub const DEFAULT_PATH: &str = "/etc/tidegate/tidegate.toml";

/// A checked configuration, and where each of its values came from.
pub struct Loaded {
    /// The settings themselves.
    pub config: Config,
    /// What SeaweedFS's own `security.toml` and environment say.
    pub security: Security,
    /// Certificates and keys, read and found to go together.
    pub tls: Tls,
    path: PathBuf,
    origins: Origins,
}

impl Loaded {
    /// Reads `path` (or [`DEFAULT_PATH`]) and lays the environment over it.
    ///
    /// # Errors
    /// One [`Error`], the first that is found: it fits on one line and names the file or variable, the key and the fix.
    pub fn read(path: Option<&Path>, environment: &Environment) -> Result<Self, Error> {
        let path = chosen(path, Path::new(DEFAULT_PATH))?;
        let loader = Loader::new(path, environment)?;
        let merged = loader.merged()?;
        let scope = Scope::root(&loader, &merged);
        let mut config = Config::read(&scope)?;
        for name in names_of_files(&mut config) {
            *name = scope::resolve(name, path, environment).display().to_string();
        }
        let security = Security::load(config.filer.security_toml.as_deref().map(Path::new), environment.weed())?;
        if let Some(missing) = missing(&config, &security) {
            return Err(scope.table("access")?.unwrap_or(scope).error("managed_keys", missing));
        }
        let tls = Tls::new(&config.server, &security, &config.kms)?;
        Ok(Self { config, security, tls, path: path.to_owned(), origins: loader.into_origins() })
    }

    /// The error of a setting that could be read but not be used. `sentence` begins with the key's full name, or with that of
    /// a table; the error is laid at the source that set the key, or else at the file.
    pub(crate) fn unusable(&self, sentence: &str) -> Error {
        let rest_of = |key: &str| sentence.strip_prefix(key).filter(|rest| rest.starts_with([' ', ':']));
        match self.origins.iter().find_map(|(key, place)| Some((key, place, rest_of(key)?))) {
            Some((key, place, rest)) => Error::of(place, key, rest.trim_start_matches([':', ' '])),
            None => Error::at(self.path.display().to_string(), sentence),
        }
    }

    /// The effective configuration as TOML: secrets masked, and behind each value that is not a default its source.
    pub fn to_toml(&self) -> String {
        let mut page = Page::new(&self.origins);
        self.config.show(&mut page);
        let weed = match &self.security.set[..] {
            [] => String::new(),
            set => format!("\n# Set by SeaweedFS's security.toml or environment: {}\n", set.join(", ")),
        };
        format!(
            "# Effective configuration of {}; a line that names no source is a default.\n{}{weed}",
            self.path.display(),
            page.finish()
        )
    }
}

/// The settings that name files. Relative ones are found as those of secrets are.
fn names_of_files(config: &mut Config) -> impl Iterator<Item = &mut String> {
    let server = &mut config.server;
    let names = [&mut config.filer.security_toml, &mut server.tls_cert, &mut server.tls_key, &mut server.tls_client_ca];
    let providers = config.kms.providers.values_mut();
    let of_providers = providers.flat_map(|provider| match provider {
        Provider::OpenBao(bao) => vec![&mut bao.ca_cert, &mut bao.client_cert, &mut bao.client_key],
        _ => Vec::new(),
    });
    names.into_iter().chain(of_providers).flatten()
}

/// What `access.managed_keys` needs and nobody has set.
fn missing(config: &Config, security: &Security) -> Option<&'static str> {
    match config.access.managed_keys {
        ManagedKeys::Jwt if security.filer_read.is_none() => Some(
            "\"jwt\" needs jwt.filer_signing.read.key, in the file that filer.security_toml names or in WEED_JWT_FILER_SIGNING_READ_KEY",
        ),
        ManagedKeys::Mtls if config.server.tls_client_ca.is_none() => Some("\"mtls\" needs server.tls_client_ca"),
        _ => None,
    }
}

/// The file that is named, or else the default one if it is there.
fn chosen<'p>(named: Option<&'p Path>, default: &'p Path) -> Result<&'p Path, Error> {
    match named {
        Some(path) => Ok(path),
        // What cannot be looked at may exist; reading it says why it cannot be read.
        None if !matches!(default.try_exists(), Ok(false)) => Ok(default),
        None => {
            let place = default.display().to_string();
            Err(Error::at(place, "no such file; create it or name another with --config FILE"))
        }
    }
}
