//! The layers that figment merges: the file, the environment, and the defaults of the declared keys.

use std::{collections::BTreeMap, ffi::OsString, fmt, path::Path};

use figment::{
    Metadata, Profile, Provider,
    providers::Format,
    value::{Dict, Map, Value},
};
use serde::de::DeserializeOwned;

use super::Error;
use crate::security::WeedEnvironment;

/// What every variable of ours starts with.
const PREFIX: &str = "TIDEGATE_";
/// What parts a section from a key in a variable's name.
const SEPARATOR: &str = "__";

/// The variables that configuration looks at, taken once so that tests bring their own.
#[derive(Default)]
pub struct Environment {
    settings: BTreeMap<String, String>,
    weed: WeedEnvironment,
    credentials: Option<OsString>,
}

impl Environment {
    /// The environment of this process.
    ///
    /// # Errors
    /// A `TIDEGATE_…__…` or `WEED_…` variable that is not UTF-8.
    pub fn of_process() -> Result<Self, Error> {
        Self::new(std::env::vars_os())
    }

    /// The given variables. Those without `__` after the prefix are not settings: container platforms make up names
    /// such as `TIDEGATE_PORT` by themselves.
    ///
    /// # Errors
    /// A `TIDEGATE_…__…` variable that is not UTF-8.
    pub fn new<K: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, Error> {
        let mut environment = Self::default();
        for (name, value) in variables {
            let (name, value) = (name.into(), value.into());
            if name == "CREDENTIALS_DIRECTORY" {
                environment.credentials = Some(value);
                continue;
            }
            let Some(name) = name.to_str().filter(|name| is_setting(name) || WeedEnvironment::takes(name)) else {
                continue;
            };
            let value =
                value.into_string().map_err(|_| Error::at(name, "the value is not UTF-8; set it to plain text"))?;
            if WeedEnvironment::takes(name) {
                environment.weed.insert(name, value);
            } else {
                environment.settings.insert(name.to_owned(), value);
            }
        }
        Ok(environment)
    }

    /// SeaweedFS's own variables.
    pub(super) fn weed(&self) -> &WeedEnvironment {
        &self.weed
    }

    /// Where systemd put the credentials of the service.
    pub(super) fn credentials(&self) -> Option<&Path> {
        self.credentials.as_deref().map(Path::new)
    }

    /// The variable that sets the key at `path`.
    pub(super) fn variable(path: &[String]) -> String {
        format!("{PREFIX}{}", path.join(SEPARATOR).to_uppercase())
    }
}

fn is_setting(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|key| key.contains(SEPARATOR))
}

/// The environment as a layer. Values stay the strings that they are: figment's own provider would read the key "0012"
/// as the number 12.
impl Provider for &Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named(Layer::ENVIRONMENT)
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let mut root = Dict::new();
        for (name, value) in &self.settings {
            let path = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
            insert(&mut root, &path.split(SEPARATOR).collect::<Vec<_>>(), value);
        }
        Ok(Profile::Default.collect(root))
    }
}

fn insert(dict: &mut Dict, path: &[&str], value: &str) {
    match path {
        [] => {}
        [key] => {
            dict.insert((*key).to_owned(), Value::from(value));
        }
        [key, rest @ ..] => {
            let child = dict.entry((*key).to_owned()).or_insert_with(|| Value::from(Dict::new()));
            // `A__B=x` beside `A__B__C=y`: the longer name wins here, and the type check of A.B says what is wrong.
            if child.as_dict().is_none() {
                *child = Value::from(Dict::new());
            }
            if let Value::Dict(_, inner) = child {
                insert(inner, rest, value);
            }
        }
    }
}

/// figment's `Format` over the workspace's own `toml`; figment's feature would bring an older one into the build.
struct Toml;

/// A TOML error on one line, with its place in the text.
#[derive(Debug)]
struct TomlError(String);

impl Format for Toml {
    type Error = TomlError;

    const NAME: &'static str = "TOML";

    fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, TomlError> {
        toml::from_str(text).map_err(|error| {
            let message = error.message().replace('\n', ", ");
            let Some(span) = error.span() else { return TomlError(message) };
            let before = text.get(..span.start).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            TomlError(format!("line {line}:{column}: {message}"))
        })
    }
}

impl fmt::Display for TomlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TomlError {}

impl serde::de::Error for TomlError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// A layer whose values are already at hand.
pub(super) struct Layer {
    name: &'static str,
    data: Dict,
}

impl Layer {
    /// The name by which the environment's values are known.
    pub(super) const ENVIRONMENT: &'static str = "environment";
    /// The name by which the file's values are known.
    pub(super) const FILE: &'static str = "file";

    /// The values of a TOML file's text.
    pub(super) fn toml(text: &str) -> Result<Self, String> {
        let data = Toml::from_str(text).map_err(|error| error.to_string())?;
        Ok(Self { name: Self::FILE, data })
    }

    /// What holds where nobody set anything.
    pub(super) fn defaults(data: Dict) -> Self {
        Self { name: "defaults", data }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.data.clone()))
    }
}
