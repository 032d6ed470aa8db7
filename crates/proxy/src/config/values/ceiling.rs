//! The most of something, or that there is no most.

use std::cmp::Ordering;

use figment::value::Value;

use super::{Size, quoted};
use crate::config::setting::{InvalidValue, Setting};

/// The most of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceiling<T> {
    /// There is none.
    Off,
    /// This much.
    At(T),
}

impl<T> Ceiling<T> {
    /// The most, where there is one.
    pub fn at(self) -> Option<T> {
        match self {
            Self::Off => None,
            Self::At(most) => Some(most),
        }
    }
}

/// What can have a most.
pub(in crate::config) trait Countable: Setting {
    /// As [`Setting::EXPECTS`], with the word for none.
    const OR_OFF: &'static str;
}

impl Countable for u32 {
    const OR_OFF: &'static str = "\"off\" or a whole number";
}

impl Countable for Size {
    const OR_OFF: &'static str = "\"off\", or a size such as \"100MiB\" or a number of bytes";
}

impl<T: Countable> Setting for Ceiling<T> {
    const EXPECTS: &'static str = T::OR_OFF;

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        if text == "off" { Ok(Self::Off) } else { T::parse(text).map(Self::At) }
    }

    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
        if value.as_str() == Some("off") { Ok(Self::Off) } else { T::from_value(value).map(Self::At) }
    }

    fn show(&self) -> Option<String> {
        match self {
            Self::Off => Some(quoted("off")),
            Self::At(most) => most.show(),
        }
    }

    /// None at all is in every range.
    fn order(&self, bound: &Self) -> Option<Ordering> {
        match (self, bound) {
            (Self::At(most), Self::At(bound)) => most.order(bound),
            _ => Some(Ordering::Equal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::key::Key;

    #[test]
    fn it_is_a_number_or_a_size_or_off() {
        assert_eq!(Ceiling::<u32>::parse("off"), Ok(Ceiling::Off));
        assert_eq!(Ceiling::parse("7").map(Ceiling::at), Ok(Some(7_u32)));
        assert_eq!(Ceiling::from_value(&Value::from(7)), Ok(Ceiling::At(7_u32)));
        assert_eq!(Ceiling::parse("1MiB").map(Ceiling::at), Ok(Some(Size::new(1 << 20))));
        for text in ["", "on", "OFF", "-1", "none"] {
            assert!(Ceiling::<u32>::parse(text).is_err() && Ceiling::<Size>::parse(text).is_err(), "{text:?}");
        }
        for ceiling in [Ceiling::Off, Ceiling::At(Size::new(3 << 20))] {
            assert_eq!(Ceiling::parse(ceiling.show().unwrap().trim_matches('"')), Ok(ceiling));
        }
    }

    #[test]
    fn none_at_all_is_in_range_and_a_number_beyond_it_is_not() {
        let key = Key::of::<Ceiling<u32>>("k", "").min("2");
        assert_eq!([Ceiling::Off, Ceiling::At(1), Ceiling::At(2)].map(|value| key.admits(&value)), [true, false, true]);
    }
}
