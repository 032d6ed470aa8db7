//! Lists of values that have a text form each: in TOML a list, in the environment separated by commas.

use std::{fmt::Display, str::FromStr};

use figment::value::Value;

use super::{comma_separated, quoted};
use crate::config::setting::{InvalidValue, Setting};

/// What stands in such a list. The error of its text form says what is wrong with it.
pub(in crate::config) trait Item: FromStr<Err = String> + Display + PartialEq {
    /// What a list of them is, as it follows "expected" in an error.
    const EXPECTS: &'static str;
    /// Why a list without any is refused; `None`: it is not.
    const NONE: Option<&'static str>;
}

impl<T: Item> Setting for Vec<T> {
    const EXPECTS: &'static str = <T as Item>::EXPECTS;

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        list(comma_separated(text))
    }

    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
        match (value, value.as_str()) {
            (Value::Array(_, items), _) => {
                let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
                list(items.ok_or_else(|| InvalidValue::because("an item is not text"))?)
            }
            (_, Some(text)) => Self::parse(text),
            _ => Err(InvalidValue::type_or_form()),
        }
    }

    fn show(&self) -> Option<String> {
        let items: Vec<String> = self.iter().map(|item| quoted(&item.to_string())).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

fn list<'t, T: Item>(items: impl IntoIterator<Item = &'t str>) -> Result<Vec<T>, InvalidValue> {
    let mut list = Vec::new();
    for text in items {
        let item: T = text.parse().map_err(InvalidValue::because)?;
        if list.contains(&item) {
            return Err(InvalidValue::because(format!("{text:?} stands in it twice")));
        }
        list.push(item);
    }
    match T::NONE {
        Some(why) if list.is_empty() => Err(InvalidValue::because(why)),
        _ => Ok(list),
    }
}
