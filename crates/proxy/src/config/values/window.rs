//! How many chunks of one download may be in flight.

use figment::value::Value;

use super::plain::whole;
use crate::config::setting::{InvalidValue, Setting};

/// The prefetch window of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Sized by what the download sees.
    Auto,
    /// This many chunks, 1 to 1024; 1 fetches one after the other.
    Fixed(u16),
}

impl Window {
    /// The largest fixed window.
    pub const MAX: u16 = 1024;

    fn fixed(chunks: u64) -> Result<Self, InvalidValue> {
        u16::try_from(chunks)
            .ok()
            .filter(|chunks| (1..=Self::MAX).contains(chunks))
            .map(Self::Fixed)
            .ok_or(InvalidValue::type_or_form())
    }
}

impl Setting for Window {
    const EXPECTS: &'static str = "\"auto\" or a number of chunks from 1 to 1024";

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "auto" => Ok(Self::Auto),
            number => Self::fixed(u32::parse(number)?.into()),
        }
    }

    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
        match (value, value.as_str()) {
            (Value::Num(..), _) => whole(value).ok_or(InvalidValue::type_or_form()).and_then(Self::fixed),
            (_, Some(text)) => Self::parse(text),
            _ => Err(InvalidValue::type_or_form()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(match self {
            Self::Auto => "\"auto\"".to_owned(),
            Self::Fixed(chunks) => chunks.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_reach_from_1_to_1024() {
        assert_eq!(Window::parse("auto"), Ok(Window::Auto));
        assert_eq!(Window::parse("1"), Ok(Window::Fixed(1)));
        assert_eq!(Window::from_value(&Value::from(1024)), Ok(Window::Fixed(1024)));
        for text in ["", "0", "1025", "65537", "AUTO", "4.0", "-1"] {
            assert_eq!(Window::parse(text), Err(InvalidValue::type_or_form()), "{text:?}");
        }
        assert_eq!(Window::from_value(&Value::from(0)), Err(InvalidValue::type_or_form()));
        assert_eq!(Window::from_value(&Value::from(true)), Err(InvalidValue::type_or_form()));
    }
}
