//! The layers that figment merges: the file and the environment.

use std::fmt;

use figment::{
    Metadata, Profile, Provider,
    providers::Format,
    value::{Dict, Map, Value},
};
use serde::de::DeserializeOwned;

use crate::settings::Environment;

/// The environment as a layer. Values stay the strings that they are: figment's own provider would read the key "0012"
/// as the number 12.
impl Provider for &Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named(Layer::ENVIRONMENT)
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let mut root = Dict::new();
        for (path, value) in self.settings() {
            insert(&mut root, &path, value);
        }
        Ok(Profile::Default.collect(root))
    }
}

fn insert(dict: &mut Dict, path: &[String], value: &str) {
    match path {
        [] => {}
        [key] => {
            dict.insert(key.clone(), Value::from(value));
        }
        [key, rest @ ..] => {
            let child = dict.entry(key.clone()).or_insert_with(|| Value::from(Dict::new()));
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

/// The file as a layer.
pub(super) struct Layer(Dict);

impl Layer {
    /// The name by which the environment's values are known.
    pub(super) const ENVIRONMENT: &'static str = "environment";
    /// The name by which the file's values are known.
    pub(super) const FILE: &'static str = "file";

    /// The values of a TOML file's text.
    pub(super) fn toml(text: &str) -> Result<Self, String> {
        Toml::from_str(text).map(Self).map_err(|error| error.to_string())
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(Self::FILE)
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}
