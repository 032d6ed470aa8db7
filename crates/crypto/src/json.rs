//! Access to the fields of a JSON object, where every error names the field and never tells its value.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use crate::error::{MetadataError, Place, Problem};

/// Characters of an unknown field's name that an error tells.
const LONGEST_NAME: usize = 64;

/// A JSON object and where it was found. An empty string and `null` count as missing, as in what Go writes.
pub(crate) struct JsonObject {
    fields: Map<String, Value>,
    place: Place,
}

impl JsonObject {
    pub(crate) fn parse(json: &[u8], place: Place) -> Result<Self, MetadataError> {
        // serde_json's own message can quote the value, so it goes no further.
        match serde_json::from_slice(json) {
            Ok(fields) => Ok(Self { fields, place }),
            Err(_) => Err(place.fails(Problem::NotJson("object"))),
        }
    }

    /// Refuses any field beside these: one that is not known can change what the known ones mean.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), MetadataError> {
        match self.fields.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            // It can be any text.
            Some(name) => {
                let name: String = name.escape_debug().take(LONGEST_NAME).collect();
                Err(self.at(&name).fails(Problem::Unknown))
            }
        }
    }

    /// Where a field of it is.
    pub(crate) fn at(&self, name: &str) -> Place {
        self.place.join(name)
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, MetadataError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(self.at(name).fails(Problem::NotA("string"))),
        }
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, MetadataError> {
        self.text(name)?.ok_or_else(|| self.at(name).fails(Problem::Missing))
    }

    /// A whole number that is not negative.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<u64>, MetadataError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Number(number)) => match number.as_u64() {
                Some(number) if i64::try_from(number).is_ok() => Ok(Some(number)),
                _ => Err(self.at(name).fails(Problem::OutOfRange)),
            },
            Some(_) => Err(self.at(name).fails(Problem::NotA("number"))),
        }
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, MetadataError> {
        match self.value(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.at(name).fails(Problem::NotA("boolean"))),
        }
    }

    pub(crate) fn map(&self, name: &str) -> Result<Option<&Map<String, Value>>, MetadataError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(_) => Err(self.at(name).fails(Problem::NotA("JSON object"))),
        }
    }

    /// A map from strings to strings, empty if missing.
    pub(crate) fn text_map(&self, name: &str) -> Result<BTreeMap<String, String>, MetadataError> {
        let text = |(key, value): (&String, &Value)| match value {
            Value::String(text) => Ok((key.clone(), text.clone())),
            _ => Err(self.at(name).fails(Problem::NotA("map of strings"))),
        };
        self.map(name)?.into_iter().flatten().map(text).collect()
    }

    /// Decoded base64.
    pub(crate) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, MetadataError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let bytes = STANDARD.decode(text).map_err(|_| self.at(name).fails(Problem::NotBase64))?;
        Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    /// Decoded base64 of exactly `N` bytes.
    pub(crate) fn fixed<const N: usize>(&self, name: &str) -> Result<Option<[u8; N]>, MetadataError> {
        match self.text(name)? {
            Some(text) => decode(text.as_bytes(), &self.at(name)).map(Some),
            None => Ok(None),
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }
}

/// Exactly `N` bytes from base64.
pub(crate) fn decode<const N: usize>(base64: &[u8], place: &Place) -> Result<[u8; N], MetadataError> {
    let bytes = STANDARD.decode(base64).map_err(|_| place.fails(Problem::NotBase64))?;
    let found = bytes.len();
    bytes.try_into().map_err(|_| place.fails(Problem::Length { found, expected: N }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: &str) -> JsonObject {
        let place = Place::Chunk { index: 0, field: String::new() };
        JsonObject::parse(json.as_bytes(), place).ok().unwrap()
    }

    /// Go keeps it in an `int64`.
    #[test]
    fn a_number_past_63_bits_is_out_of_range() {
        let most = object(r#"{"n":9223372036854775807}"#);
        assert_eq!(most.integer("n").ok(), Some(Some(u64::MAX >> 1)));
        for json in [r#"{"n":9223372036854775808}"#, r#"{"n":-1}"#, r#"{"n":0.5}"#] {
            assert!(object(json).integer("n").is_err(), "{json}");
        }
    }

    #[test]
    fn a_flag_is_what_it_says() {
        let flags = object(r#"{"yes":true,"no":false,"null":null,"text":"true"}"#);
        assert!(flags.flag("yes").is_ok_and(|flag| flag));
        for name in ["no", "null", "missing"] {
            assert!(flags.flag(name).is_ok_and(|flag| !flag), "{name}");
        }
        assert!(flags.flag("text").is_err());
    }
}
