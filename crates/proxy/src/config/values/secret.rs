//! Text that must not be seen.

use zeroize::Zeroizing;

use crate::config::setting::{InvalidValue, Setting};

/// A secret. It cannot be printed, compared or copied by accident, and its memory is overwritten when it is dropped.
///
/// That holds for this copy. A secret that stands in the TOML file or the environment has also passed through their
/// parsers and the process's environment block; one read from a `_file` has not.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; the caller sees to other copies of it.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Setting for Secret {
    const EXPECTS: &'static str = "text";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        Ok(Self::new(text.to_owned()))
    }

    fn show(&self) -> Option<String> {
        Some("\"********\"".to_owned())
    }
}
