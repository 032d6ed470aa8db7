//! The variables that configuration looks at, ours and SeaweedFS's.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use super::{Error, WeedEnvironment};

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
    pub(crate) fn weed(&self) -> &WeedEnvironment {
        &self.weed
    }

    /// Where systemd put the credentials of the service.
    pub(crate) fn credentials(&self) -> Option<&Path> {
        self.credentials.as_deref().map(Path::new)
    }

    /// What is set, by path: `TIDEGATE_A__B` as `["a", "b"]`.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (Vec<String>, &str)> {
        self.settings.iter().map(|(name, value)| {
            let path = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
            (path.split(SEPARATOR).map(str::to_owned).collect(), value.as_str())
        })
    }

    /// The variable that sets the key at `path`.
    pub(crate) fn variable(path: &[String]) -> String {
        format!("{PREFIX}{}", path.join(SEPARATOR).to_uppercase())
    }
}

fn is_setting(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|key| key.contains(SEPARATOR))
}
