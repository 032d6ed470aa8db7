//! The envelope around a data key that a KMS has wrapped.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    error::{MetadataError, Place, Problem},
    json::JsonObject,
};

/// What SeaweedFS keeps of a KMS's answer to "make me a data key". Source: `weed/kms/envelope.go` @4.48.
#[derive(Clone, PartialEq)]
pub struct Envelope {
    /// Which provider wrapped it: `aws`, `openbao`, `gcp`, `azure` or `local`.
    pub provider: String,
    /// The provider's id of the wrapping key.
    pub key_id: String,
    /// The wrapped data key, written as the provider writes it.
    pub ciphertext: String,
    /// Version of the format, 1 so far.
    pub version: u64,
    /// What else the provider wants back.
    pub provider_specific: Option<Map<String, Value>>,
}

impl Envelope {
    /// Reads an envelope, found at `place`. Provider, key id and ciphertext must be there.
    pub(crate) fn parse(json: &[u8], place: &Place) -> Result<Self, MetadataError> {
        let object = JsonObject::parse(json, place.clone())?;
        let version = match object.integer("version")? {
            // Zero is what its writer's JSON library makes of a missing number.
            None | Some(0 | 1) => 1,
            Some(_) => return Err(object.at("version").fails(Problem::Unsupported)),
        };
        Ok(Self {
            provider: object.required("provider")?.to_owned(),
            key_id: object.required("key_id")?.to_owned(),
            ciphertext: object.required("ciphertext")?.to_owned(),
            version,
            provider_specific: object.map("provider_specific")?.cloned(),
        })
    }
}

/// An encryption context as JSON, byte for byte as SeaweedFS writes it: sorted keys, no blanks, and `<`, `>`, `&`, U+2028
/// and U+2029 escaped as Go does.
///
/// Both the echo header and what OpenBao gets as `context` are base64 of this.
pub fn context_json(context: &BTreeMap<String, String>) -> String {
    let plain = serde_json::to_string(context).expect("a map of strings is JSON");
    let mut json = String::with_capacity(plain.len());
    for character in plain.chars() {
        // Outside of strings JSON has none of these.
        match character {
            '<' => json.push_str("\\u003c"),
            '>' => json.push_str("\\u003e"),
            '&' => json.push_str("\\u0026"),
            '\u{2028}' => json.push_str("\\u2028"),
            '\u{2029}' => json.push_str("\\u2029"),
            other => json.push(other),
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place::Chunk { index: 2, field: "sse_metadata.encryptedDataKey".to_owned() }
    }

    fn fails(json: &str) -> String {
        Envelope::parse(json.as_bytes(), &place()).err().unwrap().to_string()
    }

    #[test]
    fn reads_all_fields() {
        let json = r#"{"provider":"aws","key_id":"k","ciphertext":"YQ==","version":1,"provider_specific":{"a":[1]}}"#;
        let envelope = Envelope::parse(json.as_bytes(), &place()).unwrap();
        assert_eq!(envelope.provider, "aws");
        assert_eq!(envelope.key_id, "k");
        assert_eq!(envelope.ciphertext, "YQ==");
        assert_eq!(envelope.version, 1);
        assert_eq!(envelope.provider_specific.unwrap().len(), 1);
    }

    #[test]
    fn names_the_field_at_fault() {
        let at = "sse_metadata.encryptedDataKey";
        assert_eq!(fails("[]"), format!("{at} of chunk 2: not a JSON object"));
        assert_eq!(fails(r#"{"key_id":"k","ciphertext":"c"}"#), format!("{at}.provider of chunk 2: missing"));
        assert_eq!(fails(r#"{"provider":"aws","ciphertext":"c"}"#), format!("{at}.key_id of chunk 2: missing"));
        let empty = r#"{"provider":"aws","key_id":"k","ciphertext":""}"#;
        assert_eq!(fails(empty), format!("{at}.ciphertext of chunk 2: missing"));
        let number = r#"{"provider":"aws","key_id":"k","ciphertext":5}"#;
        assert_eq!(fails(number), format!("{at}.ciphertext of chunk 2: not a string"));
        let newer = r#"{"provider":"aws","key_id":"k","ciphertext":"c","version":2}"#;
        assert_eq!(fails(newer), format!("{at}.version of chunk 2: not supported by this version"));
    }

    #[test]
    fn context_is_written_as_go_does() {
        let context = [("z", "<a&b>\u{2028}"), ("a", "\"\\\n\té\u{1}")];
        let context = context.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let json = r#"{"a":"\"\\\n\té\u0001","z":"\u003ca\u0026b\u003e\u2028"}"#;
        assert_eq!(context_json(&context), json);
        assert_eq!(context_json(&BTreeMap::new()), "{}");
    }
}
