//! Text, booleans, whole numbers and socket addresses.

use std::{cmp::Ordering, net::SocketAddr};

use figment::value::Value;

use super::quoted;
use crate::config::setting::{InvalidValue, Setting};

impl Setting for String {
    const EXPECTS: &'static str = "text";

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        Ok(text.to_owned())
    }

    fn show(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Setting for bool {
    const EXPECTS: &'static str = "true or false";

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        text.parse().map_err(|_| InvalidValue::type_or_form())
    }

    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
        match value {
            Value::Bool(_, flag) => Ok(*flag),
            other => other.as_str().ok_or(InvalidValue::type_or_form()).and_then(Self::parse),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for u32 {
    const EXPECTS: &'static str = "a whole number";

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        // `u32::from_str` takes "+5"; nobody who writes that means to.
        if text.starts_with('+') {
            return Err(InvalidValue::type_or_form());
        }
        text.parse().map_err(|_| InvalidValue::type_or_form())
    }

    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
        match value {
            Value::Num(..) => whole(value).and_then(|n| n.try_into().ok()).ok_or(InvalidValue::type_or_form()),
            other => other.as_str().ok_or(InvalidValue::type_or_form()).and_then(Self::parse),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn order(&self, bound: &Self) -> Option<Ordering> {
        Some(self.cmp(bound))
    }
}

/// A TOML number that is whole and not negative.
pub(super) fn whole(value: &Value) -> Option<u64> {
    value.to_u128().map_or_else(|| value.to_i128()?.try_into().ok(), |number| number.try_into().ok())
}

impl Setting for SocketAddr {
    const EXPECTS: &'static str = "an IP address and port such as \"127.0.0.1:8880\" or \"[::1]:8880\"";

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        text.parse().map_err(|_| InvalidValue::type_or_form())
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back_from_text_and_from_toml(number: u32) {
            prop_assert_eq!(u32::parse(&number.to_string()), Ok(number));
            prop_assert_eq!(u32::from_value(&Value::from(number)), Ok(number));
        }

        #[test]
        fn text_is_taken_as_it_stands(text: String) {
            let shown = String::parse(&text).unwrap().show().unwrap();
            prop_assert_eq!(shown.lines().count(), 1);
            let table: toml::Table = toml::from_str(&format!("k = {shown}")).unwrap();
            prop_assert_eq!(table["k"].as_str(), Some(&*text));
        }
    }

    #[test]
    fn what_is_not_a_whole_number_is_refused() {
        for text in ["", "+1", "-1", "1.0", " 1", "0x10", "4294967296"] {
            assert_eq!(u32::parse(text), Err(InvalidValue::type_or_form()), "{text:?}");
        }
        assert_eq!(u32::from_value(&Value::from(1.5)), Err(InvalidValue::type_or_form()));
        assert_eq!(u32::from_value(&Value::from(-1)), Err(InvalidValue::type_or_form()));
    }
}
