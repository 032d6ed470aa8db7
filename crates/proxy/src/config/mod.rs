//! What the operator set: built-in defaults, then the TOML file, then the environment, read once and checked whole.
//!
//! Knows every key, its default, its range and where its value came from. Must not know what the settings are used for,
//! and opens no connection. A key is declared once, in `sections`; reading, the search for unknown keys, the output of
//! `tidegate check`, `docs/configuration.md` and the manual page all follow from that declaration.

mod declare;
mod docs;
mod key;
mod origin;
mod page;
mod scope;
mod sections;
mod setting;
mod source;
mod values;

use std::path::{Path, PathBuf};

use crate::settings::{Environment, Error};
pub use docs::{PREFACE, chapters, markdown};
pub use key::{Chapter, Key};
pub use sections::{
    Access, AccessLog, Admin, Aws, Azure, Bucket, Cache, Config, Filer, Gcp, Kms, Limits, Log, LogFormat, LogLevel,
    ManagedKeys, OpenBao, Prefetch, Provider, ProxyProtocol, S3, Server, Sse, SseS3, Tracing, Verify,
};
pub use values::{CacheSize, Ceiling, Domain, FilerAddress, GatewayUrl, Seconds, Secret, Size, Window};

use declare::Table as _;
use origin::Provenance;
use page::Page;
use scope::{Loader, Scope};

/// The file that is read when no other is named.
pub const DEFAULT_PATH: &str = "/etc/tidegate/tidegate.toml";

/// Where the settings came from.
pub struct Sources {
    path: PathBuf,
    secret_files: Vec<PathBuf>,
    origins: Provenance,
}

/// Reads `path` (or [`DEFAULT_PATH`]) and lays the environment over it.
///
/// # Errors
/// One [`Error`], the first that is found: it fits on one line and names the file or variable, the key and the fix.
pub fn read(path: Option<&Path>, environment: &Environment) -> Result<(Config, Sources), Error> {
    let path = chosen(path, Path::new(DEFAULT_PATH))?;
    let loader = Loader::new(path, environment, docs::chapters())?;
    let merged = loader.merged()?;
    let mut config = Config::read(&Scope::root(&loader, &merged))?;
    for name in names_of_files(&mut config) {
        *name = scope::resolve(name, path, environment).display().to_string();
    }
    let (origins, secret_files) = loader.into_sources();
    Ok((config, Sources { path: path.to_owned(), secret_files, origins }))
}

impl Sources {
    /// The error of a setting that could be read but not be used. `sentence` begins with the key's full name, or with that of
    /// a table; the error is laid at the source that set the key, or else at the file.
    pub(crate) fn unusable(&self, sentence: &str) -> Error {
        let rest_of = |key: &str| sentence.strip_prefix(key).filter(|rest| rest.starts_with([' ', ':']));
        match self.origins.iter().find_map(|(key, place)| Some((key, place, rest_of(key)?))) {
            Some((key, place, rest)) => Error::of(place, key, rest.trim_start_matches([':', ' '])),
            None => Error::at(self.path.display().to_string(), sentence),
        }
    }

    /// The file, and those of secrets that it names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.path).chain(&self.secret_files)
    }

    /// The effective configuration as TOML: secrets masked, and behind each value that is not a default its source.
    pub(crate) fn page(&self, config: &Config) -> String {
        let mut page = Page::new(&self.origins);
        config.show(&mut page);
        format!(
            "# Effective configuration of {}; a line that names no source is a default. A reload changes what is not marked.\n{}",
            self.path.display(),
            page.finish()
        )
    }
}

impl Config {
    /// The keys whose changes need a restart, with their values as TOML.
    pub(crate) fn fixed_by_a_start(&self) -> Vec<(String, Option<String>)> {
        let mut fixed = Vec::new();
        self.fixed("", &mut fixed);
        fixed
    }
}

/// The settings that name files. Relative ones are found as those of secrets are.
fn names_of_files(config: &mut Config) -> impl Iterator<Item = &mut String> {
    let server = &mut config.server;
    let names = [
        &mut config.filer.security_toml,
        &mut server.tls_cert,
        &mut server.tls_key,
        &mut server.tls_client_ca,
        &mut config.s3.gateway_ca,
        &mut config.log.access_file,
    ];
    let providers = config.kms.providers.values_mut();
    let of_providers = providers.flat_map(|provider| match provider {
        Provider::OpenBao(bao) => vec![&mut bao.ca_cert, &mut bao.client_cert, &mut bao.client_key],
        _ => Vec::new(),
    });
    names.into_iter().chain(of_providers).flatten()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::scratch::Scratch;

    #[test]
    fn every_declared_default_is_one() {
        let chapters = docs::chapters();
        let keys: Vec<_> = chapters.iter().flat_map(|chapter| chapter.keys).collect();
        assert!(keys.len() > 30);
        for key in keys {
            assert_eq!(key.default.is_some(), key.default_toml().is_some(), "{}", key.name);
        }
    }

    #[test]
    fn without_a_named_file_the_default_one_must_be_there() {
        let here = Scratch::new();
        let (default, named) = (here.join("default.toml"), here.join("named.toml"));
        assert_eq!(chosen(Some(&named), &default).unwrap(), named);
        let line = chosen(None, &default).unwrap_err().to_string();
        assert!(line.ends_with("default.toml: no such file; create it or name another with --config FILE"), "{line}");
        std::fs::write(&default, "").unwrap();
        assert_eq!(chosen(None, &default).unwrap(), default);
    }
}
