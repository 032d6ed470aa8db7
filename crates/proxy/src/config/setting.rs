//! What a type needs to be that of a key, and why a value was not accepted.

use std::cmp::Ordering;

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
    fn parse(text: &str) -> Result<Self, InvalidValue>;

    /// The value as TOML, to be read back by this type; `None` where nothing is set.
    fn show(&self) -> Option<String>;

    /// Reads a value of the merged configuration.
    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
        value.as_str().ok_or(InvalidValue::type_or_form()).and_then(Self::parse)
    }

    /// What holds when the key is absent and has no default; `None`: it must be set.
    fn absent() -> Option<Self> {
        None
    }

    /// How it stands to a bound of its range; a type without an order has none, and no key of it has a range.
    fn order(&self, _bound: &Self) -> Option<Ordering> {
        None
    }
}

/// A key that may be left out. Empty text counts as left out: the S3 gateway's own configuration writes it so.
impl<T: Setting> Setting for Option<T> {
    const EXPECTS: &'static str = T::EXPECTS;
    const SECRET: bool = T::SECRET;
    const OPTIONAL: bool = true;

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
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
pub(super) struct InvalidValue(Option<String>);

impl InvalidValue {
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
