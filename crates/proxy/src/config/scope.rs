//! One table of the merged configuration while it is read: finds values, their origin, and keys that nobody declared.

use std::{
    cell::RefCell,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Profile, Provider as _,
    value::{Dict, Value},
};
use zeroize::Zeroizing;

use super::{
    key::{Chapter, Key},
    origin::{Provenance, dotted},
    setting::Setting,
    source::Layer,
};
use crate::settings::{Environment, Error};

/// A secret's file may not be larger, in bytes: whatever is larger is the wrong file.
const SECRET_LIMIT: u64 = 64 * 1024;
/// Nor may the configuration.
const FILE_LIMIT: u64 = 1024 * 1024;

/// A table in which nothing is set.
static NOTHING: Dict = Dict::new();

/// The merged layers, and what is needed to say where a value came from.
pub(super) struct Loader<'a> {
    figment: Figment,
    chapters: Vec<Chapter>,
    path: &'a Path,
    environment: &'a Environment,
    origins: RefCell<Provenance>,
    secret_files: RefCell<Vec<PathBuf>>,
}

impl<'a> Loader<'a> {
    /// Reads the file and lays the environment over it. `chapters` are all that can be set.
    pub(super) fn new(path: &'a Path, environment: &'a Environment, chapters: Vec<Chapter>) -> Result<Self, Error> {
        let place = path.display().to_string();
        let text = read_file(path).map_err(|why| Error::at(&place, why))?;
        let file = Layer::toml(&text).map_err(|message| Error::at(&place, format!("not valid TOML: {message}")))?;
        let figment = Figment::new().merge(file).merge(environment);
        Ok(Self { figment, chapters, path, environment, origins: RefCell::default(), secret_files: RefCell::default() })
    }

    /// The merged values, each tagged with its layer.
    pub(super) fn merged(&self) -> Result<Dict, Error> {
        let data = self.figment.data().map_err(|error| Error::at(self.place(), error.to_string()))?;
        Ok(data.into_iter().find(|(profile, _)| *profile == Profile::Default).map(|(_, dict)| dict).unwrap_or_default())
    }

    /// What was noted while reading: who set what, and which files of secrets were read.
    pub(super) fn into_sources(self) -> (Provenance, Vec<PathBuf>) {
        (self.origins.into_inner(), self.secret_files.into_inner())
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// The file or variable that set `value`, which stands at `path`; `None`: a default.
    fn origin(&self, path: &[String], value: &Value) -> Option<String> {
        // Merged tables carry the tag of the layer that began them; the values inside know better.
        if let Some((key, inner)) = value.as_dict().and_then(|dict| dict.iter().next()) {
            return self.origin(&below(path, key), inner);
        }
        match &*self.figment.get_metadata(value.tag())?.name {
            Layer::FILE => Some(self.place()),
            Layer::ENVIRONMENT => Some(Environment::variable(path)),
            _ => None,
        }
    }

    /// The same key in another section.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let sections = self.chapters.iter().filter(|chapter| !chapter.path.contains('.'));
        let mut holders = sections.filter(|chapter| chapter.keys.iter().any(|key| key.name == name));
        holders.next().map(|chapter| format!("{}.{name}", chapter.path))
    }

    /// Remembers where the value at `path` came from.
    fn note(&self, path: &[String], value: &Value) {
        if let Some(origin) = self.origin(path, value) {
            self.origins.borrow_mut().insert(dotted(path), origin);
        }
    }
}

fn below(path: &[String], key: &str) -> Vec<String> {
    path.iter().cloned().chain([key.to_owned()]).collect()
}

/// One table, with its place among the others.
pub(super) struct Scope<'a> {
    loader: &'a Loader<'a>,
    path: Vec<String>,
    table: &'a Dict,
    /// A key that somebody else has read.
    done: Option<&'static str>,
}

impl<'a> Scope<'a> {
    /// The whole configuration.
    pub(super) fn root(loader: &'a Loader<'a>, merged: &'a Dict) -> Self {
        Self { loader, path: Vec::new(), table: merged, done: None }
    }

    /// The table under `name`, in which nothing is set where there is none.
    pub(super) fn inside(&self, name: &str) -> Result<Scope<'a>, Error> {
        let table = match self.table.get(name) {
            None => &NOTHING,
            Some(Value::Dict(_, table)) => table,
            Some(_) => {
                return Err(self.error(name, format!("must be a table; write [{}]", dotted(&self.path_of(name)))));
            }
        };
        Ok(Self { loader: self.loader, path: self.path_of(name), table, done: None })
    }

    /// What stands in this table.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.table.keys().map(String::as_str)
    }

    /// The same table for a reader that does not declare `key`.
    pub(super) fn without(&self, key: &'static str) -> Scope<'a> {
        Self { loader: self.loader, path: self.path.clone(), table: self.table, done: Some(key) }
    }

    /// Refuses keys that nobody declared, with the nearest that somebody did.
    pub(super) fn only(&self, keys: &[Key], tables: &[&str]) -> Result<(), Error> {
        let known = |name: &str| {
            tables.contains(&name)
                || self.done == Some(name)
                || keys
                    .iter()
                    .any(|key| key.name == name || (key.secret && name.strip_suffix("_file") == Some(key.name)))
        };
        let Some(key) = self.table.keys().find(|name| !known(name)) else { return Ok(()) };
        let here: Vec<&str> = keys.iter().map(|key| key.name).chain(tables.iter().copied()).collect();
        let what = if self.path.is_empty() { "section" } else { "key" };
        let fix = match nearest(key, &here) {
            Some(near) => format!("did you mean {}?", dotted(&self.path_of(near))),
            None => match self.loader.elsewhere(key) {
                Some(other) => format!("did you mean {other}?"),
                None => format!("known here: {}", here.join(", ")),
            },
        };
        Err(self.error(key, format!("unknown {what}; {fix}")))
    }

    /// The text under `key` as it stands, if it is text.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        let value = self.table.get(key)?;
        self.loader.note(&self.path_of(key), value);
        value.as_str()
    }

    /// The value of `key`: what is set, for a secret also in the file that its `_file` twin names, or the default.
    pub(super) fn get<T: Setting>(&self, key: &Key) -> Result<T, Error> {
        let name = key.name;
        if key.secret
            && let Some(value) = self.secret_file::<T>(name)?
        {
            return Ok(value);
        }
        let Some(set) = self.table.get(name) else {
            let default = key.default.map_or_else(T::absent, |text| T::parse(text).ok());
            return default.ok_or_else(|| self.error(name, format!("must be set: {}", key.expects)));
        };
        self.loader.note(&self.path_of(name), set);
        let value = T::from_value(set).map_err(|invalid| {
            // A secret of a wrong form is still a secret.
            let found = if key.secret { kind(set) } else { shown(set) };
            self.error(name, invalid.sentence(key.expects, &found))
        })?;
        if !key.admits(&value) {
            let (expects, range) = (key.expects, key.range());
            return Err(self.error(name, format!("expected {expects}, {range}, got {}", shown(set))));
        }
        Ok(value)
    }

    /// An error of `key` in this table, laid at the source that set it.
    pub(super) fn error(&self, key: &str, message: impl Into<String>) -> Error {
        let path = self.path_of(key);
        let place = self.table.get(key).and_then(|value| self.loader.origin(&path, value));
        Error::of(place.unwrap_or_else(|| self.loader.place()), dotted(&path), message)
    }

    fn path_of(&self, key: &str) -> Vec<String> {
        below(&self.path, key)
    }

    fn secret_file<T: Setting>(&self, key: &str) -> Result<Option<T>, Error> {
        let file_key = format!("{key}_file");
        let Some(value) = self.table.get(&file_key) else { return Ok(None) };
        let name = value.as_str().ok_or_else(|| self.error(&file_key, "expected the path of a file, as text"))?;
        if name.is_empty() {
            return Ok(None);
        }
        if self.table.get(key).is_some_and(|value| value.as_str() != Some("")) {
            let [one, other] = [key, &file_key].map(|key| dotted(&self.path_of(key)));
            return Err(self.error(&file_key, format!("{one} is set too; keep only one of {one} and {other}")));
        }
        let path = self.resolve(name);
        self.loader.secret_files.borrow_mut().push(path.clone());
        let text = read_secret(&path).map_err(|why| {
            let by_hand =
                Path::new(name).is_relative() && self.loader.environment.credentials().is_none() && !path.exists();
            let hint =
                if by_hand { "; systemd's credentials are found where CREDENTIALS_DIRECTORY is set" } else { "" };
            self.error(&file_key, format!("{}: {why}{hint}", path.display()))
        })?;
        let secret = T::parse(&text).map_err(|invalid| {
            let place = format!("the text in {}", path.display());
            self.error(&file_key, invalid.sentence(T::EXPECTS, &place))
        })?;
        let set_by = self.loader.origin(&self.path_of(&file_key), value).unwrap_or_else(|| self.loader.place());
        let origin = format!("{} named by {set_by}", path.display());
        self.loader.origins.borrow_mut().insert(dotted(&self.path_of(key)), origin);
        Ok(Some(secret))
    }

    fn resolve(&self, name: &str) -> PathBuf {
        resolve(name, self.loader.path, self.loader.environment)
    }
}

/// A relative name is looked for among systemd's credentials, then beside the configuration file.
pub(super) fn resolve(name: &str, configuration: &Path, environment: &Environment) -> PathBuf {
    let beside = configuration.parent().unwrap_or(Path::new("")).join(name);
    match environment.credentials().map(|directory| directory.join(name)) {
        Some(credential) if Path::new(name).is_relative() && credential.exists() => credential,
        _ => beside,
    }
}

/// The text of the configuration's file.
fn read_file(path: &Path) -> Result<Zeroizing<String>, String> {
    let bytes = read_up_to(FILE_LIMIT, path, "a configuration")?;
    let text = std::str::from_utf8(&bytes).map_err(|_| unreadable(&std::io::ErrorKind::InvalidData.into()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// The text of a secret's file without the line break at its end; says why not in words that hold none of the text.
fn read_secret(path: &Path) -> Result<Zeroizing<String>, String> {
    let bytes = read_up_to(SECRET_LIMIT, path, "the file of a secret")?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "not UTF-8 text; store the secret as text".to_owned())?;
    match text.trim_end_matches(['\n', '\r']) {
        "" => Err("the file is empty; put the secret into it".to_owned()),
        secret => Ok(Zeroizing::new(secret.to_owned())),
    }
}

/// All of a file of at most `limit` bytes, which is to be `what`.
fn read_up_to(limit: u64, path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    // Room for all that may come: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit as usize + 1));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > limit {
        return Err(format!("larger than {} KiB; this is not {what}", limit / 1024));
    }
    Ok(bytes)
}

/// Why a file could not be read, and what to do.
fn unreadable(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "no such file; create it or correct the path".to_owned(),
        ErrorKind::PermissionDenied => "permission denied; let the user of tidegate read it".to_owned(),
        ErrorKind::IsADirectory => "is a directory; name a file in it".to_owned(),
        ErrorKind::InvalidData => "not UTF-8 text; save it as UTF-8".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

/// The candidate that `key` is most likely a slip of.
pub(super) fn nearest<'c>(key: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let score = |candidate: &&str| strsim::normalized_damerau_levenshtein(key, candidate);
    let best = candidates.iter().copied().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(&best) >= 0.6).then_some(best)
}

/// What a value is, without saying its content.
fn kind(value: &Value) -> String {
    match value {
        Value::String(..) | Value::Char(..) => "this text",
        Value::Bool(..) => "a boolean",
        Value::Num(..) => "a number",
        Value::Empty(..) => "nothing",
        Value::Dict(..) => "a table",
        Value::Array(..) => "a list",
    }
    .to_owned()
}

/// A value as an error quotes it: short, on one line.
fn shown(value: &Value) -> String {
    const LIMIT: usize = 80;
    match value {
        Value::String(_, text) if text.chars().count() > LIMIT => {
            format!("{:?}…", text.chars().take(LIMIT).collect::<String>())
        }
        Value::String(_, text) => format!("{text:?}"),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(..) => match (value.to_i128(), value.to_f64()) {
            (Some(number), _) => number.to_string(),
            (None, Some(number)) => number.to_string(),
            (None, None) => kind(value),
        },
        _ => kind(value),
    }
}
