//! Lengths of time: `"30s"`, `"5m"`, `"1h 30m"`, `"250ms"`.

use std::{cmp::Ordering, time::Duration};

use figment::value::Value;

use super::{plain::whole, quoted};
use crate::config::setting::{InvalidValue, Setting};

impl Setting for Duration {
    const EXPECTS: &'static str = "a duration with its unit, such as \"250ms\", \"30s\" or \"5m\"";

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        humantime::parse_duration(text).map_err(|_| InvalidValue::type_or_form())
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&humantime::format_duration(*self).to_string()))
    }

    fn order(&self, bound: &Self) -> Option<Ordering> {
        Some(self.cmp(bound))
    }
}

/// A length of time that the S3 gateway's configuration writes as a number of seconds; a duration with a unit is
/// accepted besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(
    /// The length of time.
    pub Duration,
);

impl Seconds {
    /// Makes 0 mean `seconds`, as the gateway does.
    pub(in crate::config) fn zero_counts_as(&mut self, seconds: u64) {
        if self.0.is_zero() {
            self.0 = Duration::from_secs(seconds);
        }
    }
}

impl Setting for Seconds {
    const EXPECTS: &'static str = "a number of seconds, or a duration such as \"30s\"";

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        match text.parse::<u32>() {
            Ok(seconds) => Ok(Self(Duration::from_secs(seconds.into()))),
            Err(_) => Duration::parse(text).map(Self),
        }
    }

    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
        match (value, value.as_str()) {
            (Value::Num(..), _) => {
                whole(value).map(|n| Self(Duration::from_secs(n))).ok_or(InvalidValue::type_or_form())
            }
            (_, Some(text)) => Self::parse(text),
            _ => Err(InvalidValue::type_or_form()),
        }
    }

    fn show(&self) -> Option<String> {
        if self.0.subsec_nanos() == 0 { Some(self.0.as_secs().to_string()) } else { self.0.show() }
    }

    fn order(&self, bound: &Self) -> Option<Ordering> {
        Some(self.cmp(bound))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unquote(shown: Option<String>) -> String {
        shown.unwrap().trim_matches('"').to_owned()
    }

    proptest! {
        #[test]
        fn durations_come_back_from_what_is_shown(millis in 0u64..100_000_000_000) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(Duration::parse(&unquote(duration.show())), Ok(duration));
            prop_assert_eq!(Seconds::parse(&unquote(Seconds(duration).show())), Ok(Seconds(duration)));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = Duration::parse(&text);
            prop_assert_eq!(Seconds::parse(&text).is_ok(), text.parse::<u32>().is_ok() || Duration::parse(&text).is_ok());
        }
    }

    #[test]
    fn a_number_is_seconds_only_where_the_gateway_writes_it_so() {
        assert_eq!(Seconds::from_value(&Value::from(10)), Ok(Seconds(Duration::from_secs(10))));
        assert_eq!(Seconds::parse("1m"), Ok(Seconds(Duration::from_secs(60))));
        assert_eq!(Duration::parse("10"), Err(InvalidValue::type_or_form()));
        assert_eq!(Duration::from_value(&Value::from(10)), Err(InvalidValue::type_or_form()));
    }
}
