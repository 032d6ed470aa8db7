//! What a key is: its type, default, range, and the sentence that documents it.

use figment::value::Value;

/// A type that a key can have. Text is always accepted, because the environment knows nothing else; a type may accept
/// TOML's own booleans, numbers and lists besides.
pub(super) trait Setting: Sized {
    /// What is accepted, as it follows "expected" in an error and stands in the documentation.
    const EXPECTS: &'static str;
    /// Whether the value must never be shown.
    const SECRET: bool = false;
    /// Whether the key may be absent without a default.
    const OPTIONAL: bool = false;

    /// Reads the text form.
    fn parse(text: &str) -> Result<Self, Invalid>;

    /// The value as TOML, to be read back by this type; `None` where nothing is set.
    fn show(&self) -> Option<String>;

    /// Reads a value of the merged configuration.
    fn from_value(value: &Value) -> Result<Self, Invalid> {
        value.as_str().ok_or(Invalid::type_or_form()).and_then(Self::parse)
    }

    /// What holds when the key is absent and has no default; `None`: it must be set.
    fn absent() -> Option<Self> {
        None
    }
}

/// A key that may be left out. Empty text counts as left out: the S3 gateway's own configuration writes it so.
impl<T: Setting> Setting for Option<T> {
    const EXPECTS: &'static str = T::EXPECTS;
    const SECRET: bool = T::SECRET;
    const OPTIONAL: bool = true;

    fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn from_value(value: &Value) -> Result<Self, Invalid> {
        if value.as_str() == Some("") { Ok(None) } else { T::from_value(value).map(Some) }
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// Why a value was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid(Option<String>);

impl Invalid {
    /// Not what is expected; there is no more to say.
    pub(super) fn type_or_form() -> Self {
        Self(None)
    }

    /// Nearly what is expected, and `why` it is not.
    pub(super) fn because(why: impl Into<String>) -> Self {
        Self(Some(why.into()))
    }

    /// The error's sentence.
    pub(super) fn sentence(&self, expects: &str, found: &str) -> String {
        match &self.0 {
            Some(why) => format!("expected {expects}, got {found}: {why}"),
            None => format!("expected {expects}, got {found}"),
        }
    }
}

/// A declared key, without its type.
pub(super) struct Opt {
    pub(super) key: &'static str,
    /// The declaration's doc lines.
    pub(super) about: &'static str,
    pub(super) expects: &'static str,
    pub(super) default: Option<&'static str>,
    /// The default as TOML.
    pub(super) default_toml: fn() -> Option<String>,
    pub(super) min: Option<&'static str>,
    pub(super) max: Option<&'static str>,
    pub(super) secret: bool,
    /// Whether it may be absent without a default.
    pub(super) optional: bool,
}

impl Opt {
    /// The range in words, or nothing.
    pub(super) fn range(&self) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("from {min} to {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => String::new(),
        }
    }
}

/// A heading of the documentation with the keys below it.
pub(super) struct Chapter {
    pub(super) heading: String,
    pub(super) about: &'static str,
    pub(super) options: &'static [Opt],
}
