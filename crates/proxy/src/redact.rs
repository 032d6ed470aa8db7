//! Takes wrapped keys out of the entries that the filer shows as JSON: `?metadata=true`, and directories.
//!
//! The bytes pass through as they come, in the memory of one member's name. A value that is taken out becomes `null` and
//! blanks of the same length, so that neither Content-Length nor the rest of the answer changes.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{Method, Response, StatusCode, header, request::Parts};
use http_body_util::BodyExt;

use crate::{
    Blame, Error, Result,
    entry::query,
    wire::{Body, BoxError},
};

/// Names of `filer_pb.FileChunk` whose values are or hold keys, as Go and as protobuf's own JSON write them.
const NAMES: [&[u8]; 4] = [b"sse_metadata", b"ssemetadata", b"cipher_key", b"cipherkey"];
/// What the Extended attributes of an encrypted entry begin with.
const PREFIX: &[u8] = b"x-seaweedfs-sse-";
/// Longer names are none of these. Bytes.
const LONGEST_NAME: usize = 128;

/// What a relayed request may be shown of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disclosure {
    /// Nothing: it is no GET.
    Nothing,
    /// Those of a directory, if it is one.
    Listing,
    /// One as it is stored.
    Entry,
}

impl Disclosure {
    /// By the request alone.
    pub(crate) fn to(request: &Parts) -> Self {
        if request.method != Method::GET {
            return Self::Nothing;
        }
        let metadata = query::first(request.uri.query().unwrap_or(""), "metadata");
        if metadata.is_some_and(|value| value == b"true") { Self::Entry } else { Self::Listing }
    }

    /// Whether the answer is a script about entries: with a `callback` in the query, or in a form in the body of a GET,
    /// filers before 4.30 write JSON as a call of the client's own words, which nobody can look through. Scripts that are
    /// files can be had in ranges.
    fn is_script(self, answer: &Response<Body>) -> bool {
        self != Self::Nothing
            && answer.status().is_success()
            && media_type(answer).ends_with(b"/javascript")
            && !answer.headers().contains_key(header::ACCEPT_RANGES)
    }

    /// Whether the answer is about entries and not the bytes of a file. A file always has an ETag, a listing never.
    fn is_in(self, answer: &Response<Body>) -> bool {
        match self {
            Self::Nothing => false,
            _ if !answer.status().is_success() => false,
            Self::Entry => true,
            Self::Listing => {
                media_type(answer).starts_with(b"application/json") && !answer.headers().contains_key(header::ETAG)
            }
        }
    }
}

fn media_type(answer: &Response<Body>) -> &[u8] {
    answer.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes())
}

/// The filer's `answer` to a relayed request, without the keys that it may show.
///
/// # Errors
/// 400 if it was asked for as a script, 502 if it is compressed: nobody can see what is in it.
pub(crate) fn redacted(shown: Disclosure, answer: Response<Body>) -> Result<Response<Body>> {
    if shown.is_script(&answer) {
        let message = "what the filer says of entries is not served as a script; ask for it without a callback";
        return Err(Error::new(Blame::Client, StatusCode::BAD_REQUEST, message).code("InvalidArgument"));
    }
    if !shown.is_in(&answer) {
        return Ok(answer);
    }
    // What is relayed for its metadata is never to come back as the bytes of a file: those may be ciphertext.
    if shown == Disclosure::Entry && answer.headers().contains_key(header::ETAG) {
        let message = "the filer was asked for metadata and answers with a file";
        return Err(Error::new(Blame::Filer, StatusCode::BAD_GATEWAY, message));
    }
    if answer.headers().contains_key(header::CONTENT_ENCODING) {
        let message = "the filer compressed what it says of an entry, so the keys in it cannot be taken out";
        return Err(Error::new(Blame::Filer, StatusCode::BAD_GATEWAY, message));
    }
    let length = http_body::Body::size_hint(answer.body()).exact();
    Ok(answer.map(|body| {
        let mut scrubber = Scrubber::default();
        let pieces = body.into_data_stream().map(Some).chain(futures_util::stream::iter([None]));
        let scrubbed = pieces.filter_map(move |piece| {
            let piece = match piece {
                Some(Ok(bytes)) => Some(Ok(scrubber.take(&bytes))),
                Some(Err(error)) => Some(Err(error)),
                None => Some(Ok::<_, BoxError>(scrubber.finish())),
            };
            std::future::ready(piece.filter(|piece| !piece.as_ref().is_ok_and(Bytes::is_empty)))
        });
        Body::from_stream(length, scrubbed)
    }))
}

/// Where in the text the scrubber is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between strings.
    Outside,
    /// In a string; `escaped`: right behind a backslash.
    String { escaped: bool },
    /// Behind the colon of a name whose value is to be taken out.
    Before,
    /// In the value that is taken out.
    Value { depth: usize, string: bool, escaped: bool, at: usize },
}

/// Blanks values by the names of their members. Any text is taken; what is not JSON comes out as some text of that length.
struct Scrubber {
    place: Place,
    /// The last string, as far as it may be a name.
    name: Vec<u8>,
    name_is_whole: bool,
    /// The first bytes of a value, held until it is long enough for `null`.
    held: Vec<u8>,
    out: BytesMut,
}

impl Default for Scrubber {
    fn default() -> Self {
        Self {
            place: Place::Outside,
            name: Vec::with_capacity(LONGEST_NAME),
            name_is_whole: false,
            held: Vec::with_capacity(NULL.len()),
            out: BytesMut::new(),
        }
    }
}

const NULL: &[u8] = b"null";

impl Scrubber {
    fn take(&mut self, bytes: &[u8]) -> Bytes {
        self.out.reserve(bytes.len() + NULL.len());
        for &byte in bytes {
            self.step(byte);
        }
        self.out.split().freeze()
    }

    /// What was held at the end of the text.
    fn finish(&mut self) -> Bytes {
        self.end_value();
        self.out.split().freeze()
    }

    fn step(&mut self, byte: u8) {
        match self.place {
            Place::Outside => self.outside(byte),
            Place::String { escaped } => self.string(byte, escaped),
            Place::Before => self.before(byte),
            Place::Value { depth, string, escaped, at } => self.value(byte, depth, string, escaped, at),
        }
    }

    fn outside(&mut self, byte: u8) {
        self.out.extend_from_slice(&[byte]);
        match byte {
            b'"' => {
                self.name.clear();
                self.name_is_whole = false;
                self.place = Place::String { escaped: false };
            }
            b':' if self.name_is_whole && is_secret(&self.name) => self.place = Place::Before,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => self.name_is_whole = false,
        }
    }

    fn string(&mut self, byte: u8, escaped: bool) {
        self.out.extend_from_slice(&[byte]);
        if byte == b'"' && !escaped {
            self.name_is_whole = true;
            self.place = Place::Outside;
            return;
        }
        if self.name.len() < LONGEST_NAME {
            self.name.push(byte.to_ascii_lowercase());
        }
        self.place = Place::String { escaped: byte == b'\\' && !escaped };
    }

    fn before(&mut self, byte: u8) {
        if byte.is_ascii_whitespace() {
            self.out.extend_from_slice(&[byte]);
            return;
        }
        self.name_is_whole = false;
        self.value(byte, 0, false, false, 0);
    }

    fn value(&mut self, byte: u8, depth: usize, string: bool, escaped: bool, at: usize) {
        if string {
            self.blank(byte, at);
            let closes = byte == b'"' && !escaped;
            if closes && depth == 0 {
                self.end_value();
                return;
            }
            self.place = Place::Value { depth, string: !closes, escaped: byte == b'\\' && !escaped, at: at + 1 };
            return;
        }
        let depth = match byte {
            b'"' => {
                self.blank(byte, at);
                self.place = Place::Value { depth, string: true, escaped: false, at: at + 1 };
                return;
            }
            b'{' | b'[' => depth + 1,
            b'}' | b']' if depth > 1 => depth - 1,
            b'}' | b']' if depth == 1 => {
                self.blank(byte, at);
                self.end_value();
                return;
            }
            // The end of a number or a word.
            b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => {
                self.end_value();
                self.outside(byte);
                return;
            }
            _ => depth,
        };
        self.blank(byte, at);
        self.place = Place::Value { depth, string: false, escaped: false, at: at + 1 };
    }

    /// Writes `null` once there are four bytes of a value, and a blank for each one after.
    fn blank(&mut self, byte: u8, at: usize) {
        if at >= NULL.len() {
            self.out.extend_from_slice(b" ");
            return;
        }
        self.held.push(byte);
        if self.held.len() == NULL.len() {
            self.held.clear();
            self.out.extend_from_slice(NULL);
        }
    }

    /// A value of less than four bytes is empty or a number, and stands.
    fn end_value(&mut self) {
        self.out.extend_from_slice(&self.held);
        self.held.clear();
        self.place = Place::Outside;
    }
}

fn is_secret(name: &[u8]) -> bool {
    name.starts_with(PREFIX) || NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn scrubbed(text: &str, step: usize) -> String {
        let mut scrubber = Scrubber::default();
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(step) {
            out.extend_from_slice(&scrubber.take(piece));
        }
        out.extend_from_slice(&scrubber.finish());
        String::from_utf8(out).unwrap()
    }

    /// The same by way of a whole document.
    fn without_secrets(value: Value) -> Value {
        match value {
            Value::Object(members) => members
                .into_iter()
                .map(|(name, value)| {
                    let short = serde_json::to_string(&value).unwrap().len() < NULL.len();
                    let hide = is_secret(name.to_ascii_lowercase().as_bytes()) && !short;
                    (name, if hide { Value::Null } else { without_secrets(value) })
                })
                .collect(),
            Value::Array(values) => values.into_iter().map(without_secrets).collect(),
            other => other,
        }
    }

    #[test]
    fn a_key_becomes_null_and_blanks() {
        let text =
            r#"{"Extended":{"X-SeaweedFS-Sse-Kms-Key":"c2VjcmV0","a":"b"},"chunks":[{"sse_metadata":"c2Vj"},1]}"#;
        let expected =
            r#"{"Extended":{"X-SeaweedFS-Sse-Kms-Key":null      ,"a":"b"},"chunks":[{"sse_metadata":null  },1]}"#;
        for step in 1..text.len() {
            assert_eq!(scrubbed(text, step), expected);
        }
    }

    #[test]
    fn only_names_count_and_all_of_a_value() {
        for (text, expected) in [
            (r#"["sse_metadata","x"]"#, r#"["sse_metadata","x"]"#),
            (r#"{"a":"sse_metadata","b":"c2Vj"}"#, r#"{"a":"sse_metadata","b":"c2Vj"}"#),
            (r#"{"\"sse_metadata":"c2Vj"}"#, r#"{"\"sse_metadata":"c2Vj"}"#),
            (r#"{"sse_metadata":""}"#, r#"{"sse_metadata":""}"#),
            (r#"{"sse_metadata" : "ab\"c" , "x":1}"#, r#"{"sse_metadata" : null    , "x":1}"#),
            (r#"{"sse_metadata":{"k":["]}"]},"x":1}"#, r#"{"sse_metadata":null        ,"x":1}"#),
            (r#"{"cipher_key":12345}"#, r#"{"cipher_key":null }"#),
        ] {
            assert_eq!(scrubbed(text, 1), expected);
            assert_eq!(scrubbed(text, 100), expected);
        }
    }

    #[test]
    fn a_script_about_entries_is_refused_however_it_was_asked_for() {
        let answer = |headers: &[(&str, &str)]| {
            let mut answer = Response::builder();
            for (name, value) in headers {
                answer = answer.header(*name, *value);
            }
            answer.body(Body::empty()).unwrap()
        };
        let script = ("content-type", "application/javascript");
        for shown in [Disclosure::Listing, Disclosure::Entry] {
            assert_eq!(redacted(shown, answer(&[script])).err().map(|error| error.status().as_u16()), Some(400));
        }
        assert!(redacted(Disclosure::Nothing, answer(&[script])).is_ok());
        assert!(
            redacted(Disclosure::Listing, answer(&[script, ("accept-ranges", "bytes"), ("etag", "\"x\"")])).is_ok()
        );
    }

    fn document() -> impl Strategy<Value = Value> {
        let name =
            prop_oneof!["[a-z\\\\\" ]{0,6}", Just("sse_metadata".to_owned()), Just("X-Seaweedfs-Sse-C-Iv".to_owned())];
        let leaf =
            prop_oneof![any::<i64>().prop_map(|n| json!(n)), "\\PC{0,9}".prop_map(|s| json!(s)), Just(Value::Null)];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec((name.clone(), inner), 0..4).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn as_if_the_document_were_read_whole(document in document(), pretty: bool, step in 1_usize..40) {
            let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
            let text = write(&document).unwrap();
            let out = scrubbed(&text, step);
            prop_assert_eq!(out.len(), text.len());
            prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), without_secrets(document));
        }

        #[test]
        fn any_text_keeps_its_length(text in "\\PC*", step in 1_usize..9) {
            let mut scrubber = Scrubber::default();
            let mut length = 0;
            for piece in text.as_bytes().chunks(step) {
                length += scrubber.take(piece).len();
            }
            prop_assert_eq!(length + scrubber.finish().len(), text.len());
        }
    }
}
