//! The read token of a request: found, verified and held against the request as the filer does it (`weed/security/jwt.go` @4.48,
//! `weed/server/filer_server_handlers.go` @4.48).

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine as _, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::NO_PAD},
};
use http::{HeaderMap, HeaderValue, Method, header, request::Parts};

use super::{claims::Claims, paths};
use crate::{
    entry::query,
    security::{Algorithm, SigningKey},
    wire::Subject,
};

/// Without padding; bits that are left over don't count.
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, lenient(NO_PAD));

const fn lenient(config: GeneralPurposeConfig) -> GeneralPurposeConfig {
    config.with_decode_allow_trailing_bits(true)
}

/// `{"alg":"HS256","typ":"JWT"}`.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// The `Authorization` value with a token of `claims`, signed with `key` and HS256.
pub(super) fn bearer(key: &SigningKey, claims: &serde_json::Value) -> Option<HeaderValue> {
    let signed = format!("{HEADER}.{}", BASE64.encode(claims.to_string()));
    let signature = BASE64.encode(key.sign(signed.as_bytes()));
    let mut value = HeaderValue::try_from(format!("Bearer {signed}.{signature}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Why a request is refused. What is said of the token's content is said only to who has one that is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    Missing,
    Unsigned,
    Unreadable,
    Over,
    Early,
    Method,
    Path,
    Source,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the request brings no read token; send one as Authorization: Bearer",
            Self::Unsigned => "the token is not one that was signed with the filer's read key",
            Self::Unreadable => "a claim of the token has a wrong type",
            Self::Over => "the token has expired; get a new one",
            Self::Early => "the token does not hold yet",
            Self::Method => "the token's allowed_methods don't have this one",
            Self::Path => "the path is not within the token's allowed_prefixes",
            Self::Source => {
                "a copy or a move reads its source, which takes a read token that covers it, beside the write token: \
                 one of them in ?jwt= or in Authorization: Bearer, and the other in the header or in the cookie AT"
            }
        })
    }
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// Whether the token of `request` covers it at `now` (seconds since 1970). `subject`: whom a token was given to that is signed.
pub(super) fn check(
    key: &SigningKey,
    request: &Parts,
    now: i64,
    subject: &mut Option<Subject>,
) -> Result<(), TokenError> {
    let claims = verify(key, &of(request).ok_or(TokenError::Missing)?)?;
    *subject = (!claims.sub.is_empty()).then(|| Subject(claims.sub.as_str().into()));
    holds(&claims, now)?;
    if !has_method(&claims, &request.method) {
        return Err(TokenError::Method);
    }
    if !covers(&claims, &paths::of_request(request)) || !paths::sources(request).all(|from| covers(&claims, &from)) {
        return Err(TokenError::Path);
    }
    Ok(())
}

/// Whether `request`, which is no read itself, may read what it names as the source of a copy or a move: a token that it
/// brings must let it GET each. It may be any of those that it brings, since the one that the filer looks at is for
/// writing.
pub(super) fn check_sources(key: &SigningKey, request: &Parts, now: i64) -> Result<(), TokenError> {
    let mut sources = paths::sources(request).peekable();
    if sources.peek().is_none() {
        return Ok(());
    }
    let claims = brought(request).filter_map(|token| verify(key, &token).ok());
    let claims = claims.filter(|claims| holds(claims, now).is_ok() && has_method(claims, &Method::GET));
    let claims: Vec<_> = claims.collect();
    // The filer takes it from the root, whether it says so or not.
    let readable = |from: &[u8]| claims.iter().any(|claims| covers(claims, &[b"/", from].concat()));
    if sources.all(|from| readable(&from)) { Ok(()) } else { Err(TokenError::Source) }
}

fn holds(claims: &Claims, now: i64) -> Result<(), TokenError> {
    if claims.exp.is_some_and(|exp| now >= exp) {
        return Err(TokenError::Over);
    }
    if claims.nbf.is_some_and(|nbf| now < nbf) {
        return Err(TokenError::Early);
    }
    Ok(())
}

fn has_method(claims: &Claims, method: &Method) -> bool {
    let methods = &claims.allowed_methods;
    methods.is_empty() || methods.iter().any(|allowed| allowed == method.as_str())
}

fn covers(claims: &Claims, path: &[u8]) -> bool {
    let prefixes = &claims.allowed_prefixes;
    prefixes.is_empty() || prefixes.iter().any(|prefix| paths::is_within(path, prefix.as_bytes()))
}

/// The token that the filer looks at: from the query, else from the Authorization header, else from the cookie `AT`.
fn of(request: &Parts) -> Option<Vec<u8>> {
    brought(request).next()
}

/// The tokens of `request`, in the order in which the filer looks for one.
fn brought(request: &Parts) -> impl Iterator<Item = Vec<u8>> {
    let query = request.uri.query().and_then(|query| query::first(query, "jwt"));
    let found = [query, in_header(&request.headers), cookie(&request.headers)];
    found.into_iter().flatten().filter(|token| !token.is_empty())
}

fn in_header(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    // Any one byte may part the scheme from the token.
    (value.len() > 7 && value[..6].eq_ignore_ascii_case(b"bearer")).then(|| value[7..].to_vec())
}

fn cookie(headers: &HeaderMap) -> Option<Vec<u8>> {
    let lines = headers.get_all(header::COOKIE).iter();
    let mut pairs = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b';'));
    pairs.find_map(|pair| {
        let pair = pair.trim_ascii();
        let (name, value) = pair.split_at_checked(pair.iter().position(|&byte| byte == b'=')?)?;
        let value = value.strip_prefix(b"=").filter(|_| name.trim_ascii() == b"AT")?;
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some(quoted.unwrap_or(value).to_vec())
    })
}

fn verify(key: &SigningKey, token: &[u8]) -> Result<Claims, TokenError> {
    let mut parts = token.split(|&byte| byte == b'.');
    let (Some(head), Some(claims), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenError::Unsigned);
    };
    let signed = &token[..head.len() + 1 + claims.len()];
    let head: serde_json::Map<_, _> = serde_json::from_slice(&decoded(head)?).map_err(|_| TokenError::Unsigned)?;
    let algorithm =
        head.get("alg").and_then(|name| name.as_str()).and_then(Algorithm::named).ok_or(TokenError::Unsigned)?;
    if !key.verifies(algorithm, signed, &decoded(signature)?) {
        return Err(TokenError::Unsigned);
    }
    serde_json::from_slice(&decoded(claims)?).map_err(|_| TokenError::Unreadable)
}

/// Go's decoder skips line breaks.
fn decoded(part: &[u8]) -> Result<Vec<u8>, TokenError> {
    let part: Vec<u8> = part.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    BASE64.decode(part).map_err(|_| TokenError::Unsigned)
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn key() -> SigningKey {
        SigningKey::new(b"read key")
    }

    fn token_of(header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = BASE64.encode(key().sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn token(claims: &str) -> String {
        token_of(r#"{"alg":"HS256","typ":"JWT"}"#, claims)
    }

    fn request(uri: &str, headers: &[(&str, String)]) -> Parts {
        let mut request = Request::builder().method("GET").uri(uri);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn who_has_a_signed_token_is_known_whether_it_covers_the_request_or_not() {
        let subject = |claims: &str, key: &SigningKey| {
            let (asked, mut subject) =
                (request("/a/x", &[("authorization", format!("Bearer {}", token(claims)))]), None);
            let checked = check(key, &asked, NOW, &mut subject).is_ok();
            (checked, subject.map(|Subject(subject)| subject.to_string()))
        };
        assert_eq!(subject(r#"{"sub":"ann"}"#, &key()), (true, Some("ann".into())));
        assert_eq!(subject(r#"{"sub":"ann","exp":1}"#, &key()), (false, Some("ann".into())));
        assert_eq!(subject("{}", &key()), (true, None));
        assert_eq!(subject(r#"{"sub":"ann"}"#, &SigningKey::new(b"another key")), (false, None));
    }

    fn checked(uri: &str, token: &str) -> Result<(), TokenError> {
        check(&key(), &request(uri, &[("authorization", format!("Bearer {token}"))]), NOW, &mut None)
    }

    #[test]
    fn now_is_by_this_machines_clock() {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        let before = clock();
        let found = now();
        assert!((before..=clock()).contains(&found));
    }

    #[test]
    fn who_is_refused_for_want_of_a_token_reads_how_to_send_one() {
        assert!(TokenError::Missing.to_string().contains("Authorization: Bearer"));
    }

    #[test]
    fn holds_from_nbf_until_exp() {
        for (claims, outcome) in [
            ("{}".to_owned(), Ok(())),
            (format!(r#"{{"exp":{}}}"#, NOW + 1), Ok(())),
            (format!(r#"{{"exp":{NOW}}}"#), Err(TokenError::Over)),
            (r#"{"exp":0}"#.to_owned(), Err(TokenError::Over)),
            (format!(r#"{{"nbf":{NOW}}}"#), Ok(())),
            (format!(r#"{{"nbf":{}}}"#, NOW + 1), Err(TokenError::Early)),
            (format!(r#"{{"iat":{}}}"#, NOW + 99), Ok(())),
            (r#"{"exp":"x"}"#.to_owned(), Err(TokenError::Unreadable)),
        ] {
            assert_eq!(checked("/a", &token(&claims)), outcome, "{claims}");
        }
    }

    #[test]
    fn covers_its_methods_and_subtrees_only() {
        for (claims, uri, outcome) in [
            (r#"{"allowed_methods":["PUT","GET"]}"#, "/a", Ok(())),
            (r#"{"allowed_methods":["get"]}"#, "/a", Err(TokenError::Method)),
            (r#"{"allowed_prefixes":["/x","/d"]}"#, "/d/a", Ok(())),
            (r#"{"allowed_prefixes":["/d"]}"#, "/d", Ok(())),
            (r#"{"allowed_prefixes":["/d"]}"#, "/dd", Err(TokenError::Path)),
            (r#"{"allowed_prefixes":["/d"]}"#, "/d/../e", Err(TokenError::Path)),
            (r#"{"allowed_prefixes":["/d"]}"#, "/d/%2e%2e/e", Err(TokenError::Path)),
            (r#"{"allowed_prefixes":["/d"]}"#, "/%64/e", Ok(())),
            (r#"{"allowed_prefixes":["/d"]}"#, "/d/a?cp.from=/e", Err(TokenError::Path)),
            (r#"{"allowed_prefixes":[""]}"#, "/d", Err(TokenError::Path)),
            (r#"{"allowed_prefixes":[]}"#, "/d", Ok(())),
        ] {
            assert_eq!(checked(uri, &token(claims)), outcome, "{claims} {uri}");
        }
    }

    #[test]
    fn only_a_signed_token_of_a_known_algorithm_counts() {
        let good = token("{}");
        assert_eq!(checked("/a", &token_of(r#"{"alg":"none"}"#, "{}")), Err(TokenError::Unsigned));
        assert_eq!(checked("/a", &token_of(r#"{"alg":"RS256"}"#, "{}")), Err(TokenError::Unsigned));
        assert_eq!(checked("/a", &token_of("{}", "{}")), Err(TokenError::Unsigned));
        assert_eq!(checked("/a", &token_of(r#"{"alg":"HS256"}"#, "{}")), Ok(()));
        assert_eq!(checked("/a", good.rsplit_once('.').unwrap().0), Err(TokenError::Unsigned));
        assert_eq!(checked("/a", &format!("{good}.x")), Err(TokenError::Unsigned));
        assert_eq!(checked("/a", &format!("{good}=")), Err(TokenError::Unsigned));
        assert_eq!(checked("/a", &format!("{}.", good.rsplit_once('.').unwrap().0)), Err(TokenError::Unsigned));
        let other = SigningKey::new(b"write key");
        let brought = request("/a", &[("authorization", format!("Bearer {good}"))]);
        assert_eq!(check(&other, &brought, NOW, &mut None), Err(TokenError::Unsigned));
    }

    #[test]
    fn is_looked_for_where_the_filer_looks_and_the_first_found_decides() {
        let (good, bad) = (token("{}"), token(r#"{"exp":1}"#));
        let outcome = |uri: &str, headers: &[(&str, String)]| check(&key(), &request(uri, headers), NOW, &mut None);
        let uri = |token: &str| format!("/a?jwt={token}");
        assert_eq!(outcome(&uri(&good), &[]), Ok(()));
        assert_eq!(outcome(&uri(&bad), &[("authorization", format!("Bearer {good}"))]), Err(TokenError::Over));
        assert_eq!(outcome("/a?jwt=", &[("authorization", format!("bEARER:{good}"))]), Ok(()));
        assert_eq!(outcome("/a", &[("authorization", format!("Token {good}"))]), Err(TokenError::Missing));
        assert_eq!(outcome("/a", &[("authorization", format!("Bearer  {good}"))]), Err(TokenError::Unsigned));
        assert_eq!(outcome("/a", &[("cookie", format!("x=y; AT={good}"))]), Ok(()));
        assert_eq!(outcome("/a", &[("cookie", format!("at={good}"))]), Err(TokenError::Missing));
        let both = [("authorization", "Bearer x.y.z".to_owned()), ("cookie", format!("AT={good}"))];
        assert_eq!(outcome("/a", &both), Err(TokenError::Unsigned));
    }

    #[test]
    fn the_source_of_a_copy_is_read_with_any_token_that_was_brought() {
        let (read, write) =
            (token(r#"{"allowed_prefixes":["/a","/c"],"allowed_methods":["GET"]}"#), "w.r.ite".to_owned());
        let bearer = |token: &str| [("authorization", format!("Bearer {token}"))];
        let outcome = |uri: &str, headers: &[(&str, String)]| {
            let mut request = request(uri, headers);
            request.method = Method::POST;
            check_sources(&key(), &request, NOW)
        };
        for (source, readable) in [
            ("cp.from=/a/x", true),
            ("mv.from=/c", true),
            ("cp.from=/a/x&mv.from=/c/y", true),
            ("cp.from=a/x", true),
            ("cp.from=&cp.from=/b/y", true), // the filer looks at the first, and refuses it
            ("cp.from=/b/y", false),
            ("cp.from=/a/../b/y", false),
            ("cp.from=/a/%2e%2e/b/y", false),
            ("cp.from=//b/y", false),
            ("cp.from=/b/y&cp.from=/a/x", false),
            ("cp.from=/a/x&mv.from=/b/y", false),
            ("x;y&mv.from=/b/y", false),
            ("mv.from=/", false),
        ] {
            let expected = if readable { Ok(()) } else { Err(TokenError::Source) };
            assert_eq!(outcome(&format!("/a/z?{source}"), &bearer(&read)), expected, "{source}");
            assert_eq!(outcome(&format!("/a/z?{source}&jwt={write}"), &bearer(&read)), expected, "{source}");
            assert_eq!(outcome(&format!("/a/z?{source}&jwt={read}"), &bearer(&write)), expected, "{source}");
        }
        let (over, head) = (token(r#"{"exp":1}"#), token(r#"{"allowed_methods":["HEAD","POST"]}"#));
        for unfit in [&write, &over, &head] {
            assert_eq!(outcome("/a/z?cp.from=/a/x", &bearer(unfit)), Err(TokenError::Source));
            assert_eq!(outcome("/a/z", &bearer(unfit)), Ok(()));
        }
        let both = [("authorization", format!("Bearer {write}")), ("cookie", format!("AT={read}"))];
        assert_eq!(outcome("/a/z?cp.from=/a/x", &both), Ok(()));
    }

    proptest! {
        #[test]
        fn nothing_but_the_token_itself_passes(at in 0_usize..60, with in "[A-Za-z0-9_.-]") {
            let good = token("{}");
            let mut changed = good.clone();
            let at = at % (good.len() - 1);
            changed.replace_range(at..=at, &with);
            prop_assert_eq!(checked("/a", &changed).is_ok(), changed == good);
        }

        #[test]
        fn any_bytes_are_refused(token in "[ -~]{0,64}") {
            prop_assert!(checked("/a", &token).is_err());
        }
    }
}
