//! Amounts of memory: `"256MiB"`, `"1GiB"`, `"64KB"`, or a plain number of bytes.

use std::{cmp::Ordering, fmt};

use figment::value::Value;

use super::{plain::whole, quoted};
use crate::config::setting::{InvalidValue, Setting};

/// The units, largest first. `KiB` and up count in powers of 1024, `KB` and up in powers of 1000.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// An amount of memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// An amount of that many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = UNITS.iter().filter(|(unit, _)| unit.ends_with("iB"));
        match binary.into_iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Setting for Size {
    const EXPECTS: &'static str = "a size such as \"256MiB\", \"1GiB\" or a number of bytes";

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| InvalidValue::type_or_form())?;
        let factor = match unit.trim_start_matches(' ') {
            "" if unit.is_empty() => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| unknown_unit(unit))?.1,
        };
        number.checked_mul(factor).map(Self).ok_or_else(|| InvalidValue::because("more than 64 bits can count"))
    }

    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
        match (value, value.as_str()) {
            (Value::Num(..), _) => whole(value).map(Self).ok_or(InvalidValue::type_or_form()),
            (_, Some(text)) => Self::parse(text),
            _ => Err(InvalidValue::type_or_form()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }

    fn order(&self, bound: &Self) -> Option<Ordering> {
        Some(self.cmp(bound))
    }
}

fn unknown_unit(unit: &str) -> InvalidValue {
    let names: Vec<&str> = UNITS.iter().rev().map(|(name, _)| *name).collect();
    InvalidValue::because(format!("{unit:?} is not one of {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sizes_come_back_from_what_is_shown(number in 0u64..1 << 23, shift in 0u32..41) {
            let size = Size(number << shift);
            prop_assert_eq!(Size::parse(&size.to_string()), Ok(size));
            prop_assert_eq!(Size::parse(&size.bytes().to_string()), Ok(size));
            prop_assert_eq!(Size::from_value(&Value::from(size.bytes())), Ok(size));
        }

        #[test]
        fn only_digits_and_a_unit_are_a_size(text in "\\PC*") {
            if Size::parse(&text).is_ok() {
                prop_assert!(text.starts_with(|c: char| c.is_ascii_digit()));
                prop_assert!(text.ends_with('B') || text.ends_with(|c: char| c.is_ascii_digit()));
            }
        }
    }

    #[test]
    fn units_are_what_they_are_called() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("1KB", 1000),
            ("1KiB", 1024),
            ("8 MiB", 8 << 20),
            ("2MB", 2_000_000),
            ("1GiB", 1 << 30),
            ("1TB", 1_000_000_000_000),
            ("16777215TiB", 16_777_215 << 40),
        ] {
            assert_eq!(Size::parse(text), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "MiB", "1.5GiB", "-1", "1mib", "1M", "1 ", " 1", "16777216TiB", "99999999999999999999"] {
            assert!(Size::parse(text).is_err(), "{text:?}");
        }
    }
}
