//! What a filer token says, read as Go's `encoding/json` reads it into weed's `SeaweedFilerClaims`
//! (`weed/security/jwt.go` @4.48): names in any case, the last of several, `null` as nothing, anything of a wrong type refused.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Number, Value};

/// The claims that count, and those whose form counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// Subtrees that may be read; empty: all.
    pub(super) allowed_prefixes: Vec<String>,
    /// Methods that may be used; empty: all.
    pub(super) allowed_methods: Vec<String>,
    /// Seconds since 1970 from which on the token is over.
    pub(super) exp: Option<i64>,
    /// Seconds since 1970 before which the token does not hold.
    pub(super) nbf: Option<i64>,
    /// Whom the token was given to; empty: it does not say.
    pub(super) sub: String,
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Claims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
        let mut claims = Claims::default();
        while let Some(name) = map.next_key::<String>()? {
            let wrong = || A::Error::custom("a claim of a wrong type");
            match folded(&name).as_str() {
                "allowed_prefixes" => claims.allowed_prefixes = texts(&map.next_value()?).ok_or_else(wrong)?,
                "allowed_methods" => claims.allowed_methods = texts(&map.next_value()?).ok_or_else(wrong)?,
                "exp" => claims.exp = date(&map.next_value()?).ok_or_else(wrong)?,
                "nbf" => claims.nbf = date(&map.next_value()?).ok_or_else(wrong)?,
                "iat" => drop(date(&map.next_value()?).ok_or_else(wrong)?),
                "sub" => claims.sub = text(&map.next_value()?).ok_or_else(wrong)?,
                "iss" | "jti" => drop(text(&map.next_value()?).ok_or_else(wrong)?),
                "aud" => {
                    let audience: Value = map.next_value()?;
                    if !is_audience(&audience) {
                        return Err(wrong());
                    }
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(claims)
    }
}

/// In small letters, as far as Go takes two names for one: the long s and the sign of the kelvin are an s and a k to it.
fn folded(name: &str) -> String {
    let letter = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(letter).collect()
}

/// Text, a list of texts, or nothing.
fn is_audience(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().all(Value::is_string),
        other => other.is_string() || other.is_null(),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Null => Some(String::new()),
        _ => None,
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        Value::Null => Some(Vec::new()),
        _ => None,
    }
}

/// A number, or a number as text, in whole seconds; outer `None`: neither.
fn date(value: &Value) -> Option<Option<i64>> {
    let seconds = match value {
        Value::Null => return Some(None),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => serde_json::from_str::<Number>(text).ok().filter(|_| text.trim() == text)?.as_f64(),
        _ => None,
    }?;
    // Beyond this weed's own arithmetic wraps around.
    (seconds.abs() < 9e18).then(|| Some(seconds.floor() as i64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Option<Claims> {
        serde_json::from_str(json).ok()
    }

    #[test]
    fn reads_like_go() {
        let claims =
            read(r#"{"Allowed_Prefixes":["/a","/b"],"exp":1,"EXP":"12.9","nbf":null,"extra":{"x":[1]},"aud":"x"}"#);
        let expected = Claims { allowed_prefixes: vec!["/a".into(), "/b".into()], exp: Some(12), ..Claims::default() };
        assert_eq!(claims, Some(expected));
        assert_eq!(read(r#"{"allowed_methods":["GET"],"allowed_methods":null}"#), Some(Claims::default()));
        assert_eq!(read(r#"{"exp":1.7e9,"aud":["a"],"iat":0}"#).unwrap().exp, Some(1_700_000_000));
        assert_eq!(read(r#"{"allowed_prefixes":[null]}"#).unwrap().allowed_prefixes, [""]);
        assert_eq!(read(r#"{"iss":"weed","jti":null,"aud":null}"#), Some(Claims::default()));
        assert_eq!(read(r#"{"allowed_prefixe\u017f":["/a"]}"#).unwrap().allowed_prefixes, ["/a"]);
    }

    #[test]
    fn a_wrong_type_is_refused() {
        for json in [
            r#"{"exp":"soon"}"#,
            r#"{"exp":" 1"}"#,
            r#"{"exp":true}"#,
            r#"{"exp":1e30}"#,
            r#"{"nbf":{}}"#,
            r#"{"iat":[]}"#,
            r#"{"exp":9e18}"#,
            r#"{"nbf":-9e18}"#,
            r#"{"sub":1}"#,
            r#"{"iss":1}"#,
            r#"{"jti":[]}"#,
            r#"{"aud":1}"#,
            r#"{"aud":[1]}"#,
            r#"{"aud":["x",null]}"#,
            r#"{"ALLOWED_PREFIXE\u017f":"/a"}"#,
            r#"{"allowed_prefixes":"/a"}"#,
            r#"{"allowed_methods":[1]}"#,
            r#"{"exp":1} x"#,
            "[]",
            "null",
            "",
        ] {
            assert_eq!(read(json), None, "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(json in "\\PC*") {
            let _ = read(&json);
        }
    }
}
