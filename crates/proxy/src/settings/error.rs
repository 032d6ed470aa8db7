//! The one line that says what is wrong with the configuration, where, and how to mend it.

use std::fmt;

/// Why the configuration cannot be used. It is shown as one line and never carries a secret's value.
#[derive(Debug)]
pub struct Error {
    place: String,
    key: Option<String>,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of a whole file or variable, named by `place`.
    pub(crate) fn at(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), key: None, message: message.into(), source: None }
    }

    /// An error of one key as `place` sets it.
    pub(crate) fn of(place: impl Into<String>, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), key: Some(key.into()), message: message.into(), source: None }
    }

    /// Keeps the error that this one comes of, which must not carry a secret either.
    #[must_use]
    pub(crate) fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Names the key that names the file which this error is of, if `key_of` knows it.
    #[must_use]
    pub(crate) fn named_by(mut self, key_of: impl FnOnce(&str) -> Option<String>) -> Self {
        self.key = self.key.take().or_else(|| key_of(&self.place));
        self
    }

    /// The key's full name, such as `prefetch.window`, unless the error is of a whole file.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = match &self.key {
            Some(key) => format!("{}: {key}: {}", self.place, self.message),
            None => format!("{}: {}", self.place, self.message),
        };
        // Paths and quoted keys may hold any character; the promise of one line must not hang on them.
        without_passwords(&line).chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_default()) } else { fmt::Write::write_char(f, c) }
        })
    }
}

/// What a value is quoted with may be an address with `user:password@` before it, where none belongs.
fn without_passwords(line: &str) -> String {
    let mut parts = line.split('@');
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let begin = shown.rfind(['"', '\'', '/', ' ', '@']).map_or(0, |before| before + 1);
        if shown[begin..].contains(':') {
            shown.replace_range(begin.., "…");
        }
        shown.push('@');
        shown.push_str(part);
    }
    shown
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
