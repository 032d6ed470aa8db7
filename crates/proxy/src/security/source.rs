//! Looking a setting up: the environment first, then the file.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::settings::{Error, WeedEnvironment};

/// Both places together.
pub(super) struct Settings<'a> {
    environment: &'a WeedEnvironment,
    path: Option<&'a Path>,
    file: toml::Table,
}

impl<'a> Settings<'a> {
    pub(super) fn new(path: Option<&'a Path>, environment: &'a WeedEnvironment) -> Result<Self, Error> {
        let file = path.map_or_else(|| Ok(toml::Table::new()), read)?;
        Ok(Self { environment, path, file })
    }

    /// A setting's text; weed takes numbers and booleans for text too. `None` when it is not set or empty.
    pub(super) fn text(&self, setting: &str) -> Result<Option<Zeroizing<String>>, Error> {
        if let Some((_, value)) = self.environment.get(setting) {
            return Ok(Some(Zeroizing::new(value.to_owned())));
        }
        let text = match self.in_file(setting) {
            None => return Ok(None),
            Some(toml::Value::String(text)) => text.clone(),
            Some(toml::Value::Integer(number)) => number.to_string(),
            Some(toml::Value::Float(number)) => number.to_string(),
            Some(toml::Value::Boolean(flag)) => flag.to_string(),
            Some(_) => return Err(self.error(setting, "expected text")),
        };
        Ok((!text.is_empty()).then(|| Zeroizing::new(text)))
    }

    pub(super) fn flag(&self, setting: &str) -> Result<bool, Error> {
        match self.text(setting)?.as_deref().map(String::as_str) {
            None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some(_) => Err(self.error(setting, "expected true or false")),
        }
    }

    pub(super) fn seconds(&self, setting: &str) -> Result<Option<u32>, Error> {
        let Some(text) = self.text(setting)? else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|_| self.error(setting, "expected a whole number of seconds"))
    }

    /// The name of a file.
    pub(super) fn file(&self, setting: &str) -> Result<Option<PathBuf>, Error> {
        let directory = self.path.and_then(Path::parent).unwrap_or(Path::new(""));
        Ok(self.text(setting)?.map(|name| directory.join(&*name)))
    }

    /// Two names of files, of which there are both or none.
    pub(super) fn pair(&self, one: &str, other: &str) -> Result<Option<(PathBuf, PathBuf)>, Error> {
        match (self.file(one)?, self.file(other)?) {
            (Some(one), Some(other)) => Ok(Some((one, other))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.error(other, format!("must be set, because {one} is"))),
            (None, Some(_)) => Err(self.error(one, format!("must be set, because {other} is"))),
        }
    }

    /// An error of a setting, laid at what sets it.
    pub(super) fn error(&self, setting: &str, message: impl Into<String>) -> Error {
        let place = match (self.environment.get(setting), self.path) {
            (Some((variable, _)), _) => variable,
            (None, Some(path)) => path.display().to_string(),
            (None, None) => "environment".to_owned(),
        };
        Error::of(place, setting, message)
    }

    fn in_file(&self, setting: &str) -> Option<&toml::Value> {
        below(&self.file, setting)
    }
}

/// Walks down the tables; names match in any case, so that one name may lead into several.
fn below<'t>(table: &'t toml::Table, setting: &str) -> Option<&'t toml::Value> {
    let (first, rest) = setting.split_once('.').map_or((setting, None), |(first, rest)| (first, Some(rest)));
    let mut named = table.iter().filter(|(name, _)| name.eq_ignore_ascii_case(first)).map(|(_, value)| value);
    match rest {
        None => named.next(),
        Some(rest) => named.find_map(|value| below(value.as_table()?, rest)),
    }
}

fn read(path: &Path) -> Result<toml::Table, Error> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| Error::at(&place, format!("filer.security_toml cannot be read: {error}")).caused_by(error))?;
    // The parser's own words could quote a key.
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        Error::at(&place, line.map_or("not valid TOML".to_owned(), |line| format!("line {line}: not valid TOML")))
    })
}
