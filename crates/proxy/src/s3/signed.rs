//! What of a request its signature covers.
//!
//! Knows where S3 puts signatures. Must not verify one: the gateway does. It tells whether a header can be added to a
//! request without changing what was signed, and where that is not plain, that it is unclear.

use http::{HeaderMap, header::AUTHORIZATION};

use super::query::Query;

/// How a request is signed, if at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signature {
    /// Nobody signed it.
    None,
    /// By version 4; these headers are signed, whether the request has them or not. In lower case.
    V4(Vec<String>),
    /// By version 2, which signs `x-amz-*`, `Content-*` and `Date` and no other header.
    V2,
    /// A token is shown; nothing is signed.
    Bearer,
}

impl Signature {
    /// How the request is signed. `None`: that is not plain.
    pub(crate) fn of(headers: &HeaderMap, query: &Query) -> Option<Self> {
        let mut authorizations = headers.get_all(AUTHORIZATION).iter();
        let authorization = authorizations.next();
        if authorizations.next().is_some() {
            return None;
        }
        let is_v4 = query.names().any(|name| name.to_ascii_lowercase().starts_with("x-amz-"));
        let is_v2 = query.names().any(|name| matches!(&*name.to_ascii_lowercase(), "signature" | "awsaccesskeyid"));
        match (authorization, is_v4, is_v2) {
            (Some(value), false, false) => by_header(value.to_str().ok()?),
            (None, true, false) => {
                let has = |name| query.first(name).is_some_and(|value| !value.is_empty());
                let is_whole = has("X-Amz-Signature") && has("X-Amz-Algorithm") && has("X-Amz-Credential");
                is_whole.then(|| query.first("X-Amz-SignedHeaders").and_then(names)).flatten().map(Self::V4)
            }
            (None, false, true) => {
                (query.first("Signature").is_some() && query.first("AWSAccessKeyId").is_some()).then_some(Self::V2)
            }
            (None, false, false) => Some(Self::None),
            _ => None,
        }
    }

    /// Whether the header (in lower case) can stand or not stand in the request, as far as the signature goes.
    pub(crate) fn leaves_free(&self, header: &str) -> bool {
        match self {
            Self::None | Self::Bearer | Self::V2 => true,
            Self::V4(signed) => !signed.iter().any(|name| name == header),
        }
    }
}

fn by_header(value: &str) -> Option<Signature> {
    if value.starts_with("AWS ") {
        return Some(Signature::V2);
    }
    if value.starts_with("Bearer ") {
        return Some(Signature::Bearer);
    }
    let fields = value.strip_prefix("AWS4-HMAC-SHA256")?;
    let mut signed = fields.split(',').filter_map(|field| field.trim().strip_prefix("SignedHeaders="));
    let (first, second) = (signed.next()?, signed.next());
    if second.is_some() || fields.matches("SignedHeaders").count() != 1 {
        return None;
    }
    names(first).map(Signature::V4)
}

/// `host;range;x-amz-date`. `None`: it is not such a list.
fn names(list: &str) -> Option<Vec<String>> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let names: Vec<_> = list.split(';').map(str::to_ascii_lowercase).collect();
    names.iter().all(|name| is_name(name)).then_some(names)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const V4: &str = "AWS4-HMAC-SHA256 Credential=AK/20261126/us-east-1/s3/aws4_request, SignedHeaders=host;Range;x-amz-date, Signature=ab";
    const PRESIGNED: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F1&X-Amz-Date=1&X-Amz-Expires=9&X-Amz-SignedHeaders=host%3Bif-none-match&X-Amz-Signature=ab";

    fn of(authorizations: &[&str], query: &str) -> Option<Signature> {
        let mut headers = HeaderMap::new();
        for value in authorizations {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        Signature::of(&headers, &Query::parse(query).unwrap())
    }

    #[test]
    fn a_signature_of_version_4_names_its_headers() {
        let signature = of(&[V4], "").unwrap();
        assert!(!signature.leaves_free("range") && !signature.leaves_free("host"));
        assert!(signature.leaves_free("if-none-match"));
        let signature = of(&[], PRESIGNED).unwrap();
        assert!(!signature.leaves_free("if-none-match"));
        assert!(signature.leaves_free("range"));
    }

    #[test]
    fn other_requests_sign_neither_range_nor_conditions() {
        assert_eq!(of(&["AWS AK:c2ln"], ""), Some(Signature::V2));
        assert_eq!(of(&[], "AWSAccessKeyId=AK&Expires=1&Signature=ab"), Some(Signature::V2));
        assert_eq!(of(&["Bearer ey"], ""), Some(Signature::Bearer));
        assert_eq!(of(&[], "versionId=1"), Some(Signature::None));
    }

    #[test]
    fn what_is_not_plain_is_unclear() {
        for (authorizations, query) in [
            (&[V4, V4][..], ""),
            (&[V4], PRESIGNED),
            (&["AWS AK:c2ln"], PRESIGNED),
            (&["Bearer ey"], "Signature=ab"),
            (&[], "Signature=ab"),
            (&[], "X-Amz-Signature=ab"),
            (&[], "x-amz-signature=ab"),
            (&[], "X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-SignedHeaders="),
            (&[], "X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-SignedHeaders=host,range"),
            (&["Basic abc"], ""),
            (&["AWS4-HMAC-SHA256 Credential=a, Signature=ab"], ""),
            (&["AWS4-HMAC-SHA256 SignedHeaders=host, SignedHeaders=host;range"], ""),
            (&["AWS4-HMAC-SHA256 SignedHeaders=host;;range"], ""),
            (&["AWS4-HMAC-SHA256 XSignedHeaders=host"], ""),
            (&["aws4-hmac-sha256 SignedHeaders=host"], ""),
            (&["AWS4-ECDSA-P256-SHA256 SignedHeaders=host"], ""),
        ] {
            assert_eq!(of(authorizations, query), None, "{authorizations:?} {query}");
        }
    }

    proptest! {
        #[test]
        fn a_signed_header_is_never_free(
            signed in prop::collection::vec("[a-zA-Z0-9-]{1,12}", 1..8), which in any::<prop::sample::Index>(),
        ) {
            let value = format!("AWS4-HMAC-SHA256 Credential=a, SignedHeaders={}, Signature=b", signed.join(";"));
            let name = which.get(&signed).to_ascii_lowercase();
            prop_assert!(!of(&[&value], "").unwrap().leaves_free(&name));
        }

        #[test]
        fn any_text_is_taken_or_left(value in "[ -~]*") {
            let _ = of(&[&value], "");
        }
    }
}
