//! How much memory a cache may take, or that there is none.

use figment::value::Value;

use super::{Size, quoted};
use crate::config::setting::{InvalidValue, Setting};

/// The size of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheSize {
    /// There is no cache.
    Off,
    /// This much at most.
    Upto(Size),
}

impl CacheSize {
    /// The bytes; 0 when it is off.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Off => 0,
            Self::Upto(size) => size.bytes(),
        }
    }

    fn of(size: Size) -> Result<Self, InvalidValue> {
        if size.bytes() == 0 {
            return Err(InvalidValue::because("to have none, write \"off\""));
        }
        Ok(Self::Upto(size))
    }
}

impl Setting for CacheSize {
    const EXPECTS: &'static str = "\"off\", or a size such as \"64MiB\" or a number of bytes";

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        if text == "off" { Ok(Self::Off) } else { Size::parse(text).and_then(Self::of) }
    }

    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
        match value.as_str() {
            Some(text) => Self::parse(text),
            None => Size::from_value(value).and_then(Self::of),
        }
    }

    fn show(&self) -> Option<String> {
        match self {
            Self::Off => Some(quoted("off")),
            Self::Upto(size) => size.show(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_has_a_size_or_is_off() {
        assert_eq!(CacheSize::parse("off").map(CacheSize::bytes), Ok(0));
        assert_eq!(CacheSize::parse("64MiB").map(CacheSize::bytes), Ok(64 << 20));
        assert_eq!(CacheSize::from_value(&Value::from(4096)).map(CacheSize::bytes), Ok(4096));
        for text in ["", "0", "0MiB", "on", "OFF", "64M"] {
            assert!(CacheSize::parse(text).is_err(), "{text:?}");
        }
        assert!(CacheSize::from_value(&Value::from(false)).is_err());
        for size in [CacheSize::Off, CacheSize::Upto(Size::new(3 << 20))] {
            let shown = size.show().unwrap();
            assert_eq!(CacheSize::parse(shown.trim_matches('"')), Ok(size));
        }
    }
}
