//! The query of a read, where all of it is understood.
//!
//! Knows which parameters a read may have. Whatever the gateway could read in another way is not understood: `;`, which it
//! keeps and others drop, escapes in names, and names that stand there twice.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Parameters of a read by their names.
#[derive(Debug, Default)]
pub(crate) struct Query<'q> {
    pairs: Vec<(&'q str, Cow<'q, str>)>,
}

/// Of which a read may have any.
const KNOWN: [&str; 19] = [
    "versionId",
    // What some clients name the operation by.
    "x-id",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "X-Amz-Algorithm",
    "X-Amz-Content-Sha256",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "AWSAccessKeyId",
    "Expires",
    "Signature",
];

impl<'q> Query<'q> {
    /// Reads a query as it stood in the request. `None`: it cannot be read in one way only.
    pub(crate) fn parse(raw: &'q str) -> Option<Self> {
        let mut query = Self::default();
        if raw.is_empty() {
            return Some(query);
        }
        for pair in raw.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let is_plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let is_repeated = query.names().any(|known| known.eq_ignore_ascii_case(name));
            if !is_plain || is_repeated || pair.contains(';') {
                return None;
            }
            query.pairs.push((name, decoded(value)?));
        }
        Some(query)
    }

    /// Whether a read is asked for, and nothing else.
    pub(crate) fn is_of_read(&self) -> bool {
        self.pairs.iter().all(|(name, value)| KNOWN.contains(name) && (*name != "x-id" || value == "GetObject"))
    }

    /// The names, as they are written.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'q str> {
        self.pairs.iter().map(|(name, _)| *name)
    }

    /// The value of a parameter.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }

    /// What the answer's headers are wanted to be: `response-content-type` without `response-`, and the value. The gateway
    /// passes over those that are empty.
    pub(crate) fn overrides(&self) -> impl Iterator<Item = (&'q str, &str)> {
        let named = self.pairs.iter().filter_map(|(name, value)| Some((name.strip_prefix("response-")?, &**value)));
        named.filter(|(_, value)| !value.is_empty())
    }
}

/// `None`: a broken escape, or no text.
fn decoded(value: &str) -> Option<Cow<'_, str>> {
    let is_whole = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !value.split('%').skip(1).all(is_whole) {
        return None;
    }
    if !value.contains(['%', '+']) {
        return Some(Cow::Borrowed(value));
    }
    let spaced = value.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|text| Cow::Owned(text.into_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query =
            Query::parse("versionId=null&response-content-type=text%2Fplain%3B+charset&response-expires=").unwrap();
        assert!(query.is_of_read());
        assert_eq!(query.first("versionId"), Some("null"));
        assert_eq!(query.overrides().collect::<Vec<_>>(), [("content-type", "text/plain; charset")]);
        assert!(Query::parse("").unwrap().is_of_read());
        assert!(Query::parse("x-id=GetObject").unwrap().is_of_read());
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        for raw in [
            "a=1;b=2", "a;", "a=1&a=2", "a=1&A=2", "a=%", "a=%4", "a=%zz", "a=%ff", "=1", "&", "a=1&", "%61=1",
            "a+b=1", "a_b=1",
        ] {
            assert!(Query::parse(raw).is_none(), "{raw}");
        }
    }

    #[test]
    fn other_operations_are_not_reads() {
        for raw in [
            "acl",
            "tagging",
            "partNumber=1",
            "PartNumber=1",
            "uploadId=x",
            "versionid=1",
            "attributes",
            "torrent",
            "x-id=Other",
            "response-Content-Type=a",
            "legal-hold",
            "list-type=2",
        ] {
            assert!(!Query::parse(raw).unwrap().is_of_read(), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_left(raw in "\\PC*") {
            let _ = Query::parse(&raw).map(|query| query.is_of_read());
        }
    }
}
