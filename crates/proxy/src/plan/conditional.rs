//! Preconditions of a GET or HEAD against what the file is now, in the order of RFC 9110, section 13.2.2.
//!
//! The filer reads one bare ETag where lists, weak tags and `*` may stand, knows no `If-Range`, and compares dates
//! with fractions of a second that `Last-Modified` does not show. None of that is copied; an ETag without quotes is
//! taken as the filer takes it.

use std::time::SystemTime;

use http::{
    HeaderMap, HeaderName,
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE},
};

/// How the answer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Send the file.
    Proceed {
        /// Whether a `Range` header applies. `false`: the client's part is of another version, send the whole.
        range: bool,
    },
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client wants.
    PreconditionFailed,
}

/// What the file is now.
#[derive(Clone, Copy, Debug)]
pub struct Validators<'a> {
    /// The strong ETag without its quotes, if there is one.
    pub etag: Option<&'a str>,
    /// When the file last changed, in whole seconds, if known.
    pub modified: Option<SystemTime>,
}

/// Judges the conditional headers of a GET or HEAD for an existing file.
pub fn evaluate(headers: &HeaderMap, now: Validators<'_>) -> Outcome {
    if let Some(list) = joined(headers, &IF_MATCH) {
        if !is_listed(&list, |tag| !tag.weak && Some(tag.opaque) == now.etag) {
            return Outcome::PreconditionFailed;
        }
    } else if let (Some(since), Some(modified)) = (date(headers, &IF_UNMODIFIED_SINCE), now.modified)
        && modified > since
    {
        return Outcome::PreconditionFailed;
    }
    if let Some(list) = joined(headers, &IF_NONE_MATCH) {
        if is_listed(&list, |tag| Some(tag.opaque) == now.etag) {
            return Outcome::NotModified;
        }
    } else if let (Some(since), Some(modified)) = (date(headers, &IF_MODIFIED_SINCE), now.modified)
        && modified <= since
    {
        return Outcome::NotModified;
    }
    Outcome::Proceed { range: range_applies(headers, now) }
}

/// `If-Range`: an ETag must match strongly, a date exactly. What is neither, or nothing at all, matches nothing: to send
/// the whole is always right.
fn range_applies(headers: &HeaderMap, now: Validators<'_>) -> bool {
    if !headers.contains_key(IF_RANGE) {
        return true;
    }
    let condition = joined(headers, &IF_RANGE).unwrap_or_default();
    if let Ok(date) = httpdate::parse_http_date(&condition) {
        return now.modified == Some(date);
    }
    matches!(tags(&condition).as_slice(), [Tag { weak: false, opaque }] if Some(*opaque) == now.etag)
}

/// An entity tag as it stands in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag<'a> {
    weak: bool,
    opaque: &'a str,
}

fn is_listed(list: &str, matches: impl Fn(&Tag<'_>) -> bool) -> bool {
    list.trim() == "*" || tags(list).iter().any(matches)
}

/// The tags of a list. Commas within quotes belong to the tag; a tag without quotes goes to the next comma.
fn tags(list: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut rest = list;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return tags;
        }
        let (weak, tag) = match rest.strip_prefix("W/") {
            Some(tag) if tag.starts_with('"') => (true, tag),
            _ => (false, rest),
        };
        let quoted = tag.strip_prefix('"').and_then(|tag| tag.split_once('"'));
        let (opaque, after) = quoted.unwrap_or_else(|| {
            let (bare, after) = tag.split_once(',').unwrap_or((tag, ""));
            // The filer drops a quote at either end, even a single one.
            let bare = bare.trim_end();
            let bare = bare.strip_prefix('"').unwrap_or(bare);
            (bare.strip_suffix('"').unwrap_or(bare), after)
        });
        tags.push(Tag { weak, opaque });
        rest = after;
    }
}

/// All values of a header as one list. Empty counts as absent. A byte that is no text stays in its tag, as a character that
/// no tag of ours has: a tag may hold it (RFC 9110, 8.8.3), and a condition that is not understood is still one.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<_> = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    Some(values.join(",")).filter(|list| !list.trim().is_empty())
}

/// A date that can be read; others are ignored, as the RFC wants.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AT_OLD_STYLE: &str = "Sunday, 06-Nov-94 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const WHOLE: Outcome = Outcome::Proceed { range: false };
    const SEND: Outcome = Outcome::Proceed { range: true };

    fn judge(conditions: &[(HeaderName, &str)]) -> Outcome {
        let conditions: Vec<_> = conditions.iter().map(|(name, value)| (name.clone(), value.as_bytes())).collect();
        judge_bytes(&conditions)
    }

    fn judge_bytes(conditions: &[(HeaderName, &[u8])]) -> Outcome {
        let mut headers = HeaderMap::new();
        for (name, value) in conditions {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let modified = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777));
        evaluate(&headers, Validators { etag: Some("a,b"), modified })
    }

    #[test]
    fn etags_match_in_lists_and_as_a_star() {
        for (value, expected) in [
            ("\"a,b\"", Outcome::NotModified),
            ("W/\"a,b\"", Outcome::NotModified),
            ("\"x\", W/\"y\" ,\"a,b\"", Outcome::NotModified),
            ("*", Outcome::NotModified),
            ("\"x\"", SEND),
            ("\"a\", \"b\"", SEND),
            ("\"a,b\"x", Outcome::NotModified),
            ("", SEND),
        ] {
            assert_eq!(judge(&[(IF_NONE_MATCH, value)]), expected, "{value}");
        }
        for (value, expected) in [
            ("\"a,b\"", SEND),
            ("W/\"a,b\"", Outcome::PreconditionFailed),
            ("\"x\",\"a,b\"", SEND),
            ("*", SEND),
            ("\"x\"", Outcome::PreconditionFailed),
        ] {
            assert_eq!(judge(&[(IF_MATCH, value)]), expected, "{value}");
        }
    }

    #[test]
    fn bare_etags_are_taken() {
        let now = Validators { etag: Some("781e"), modified: None };
        for value in ["781e", "781e\"", "\"781e", " 781e ,x"] {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_str(value).unwrap())]);
            assert_eq!(evaluate(&headers, now), Outcome::NotModified, "{value}");
        }
    }

    #[test]
    fn what_stands_before_a_bare_etag_belongs_to_it() {
        let read = |list| tags(list).iter().map(|tag| (tag.weak, tag.opaque)).collect::<Vec<_>>();
        assert_eq!(read(r#"W/a, W/"b""#), [(false, "W/a"), (true, "b")]);
    }

    #[test]
    fn dates_compare_by_the_second() {
        for (value, modified, unmodified) in [
            (BEFORE, SEND, Outcome::PreconditionFailed),
            (AT, Outcome::NotModified, SEND),
            (AT_OLD_STYLE, Outcome::NotModified, SEND),
            (AFTER, Outcome::NotModified, SEND),
            ("yesterday", SEND, SEND),
        ] {
            assert_eq!(judge(&[(IF_MODIFIED_SINCE, value)]), modified, "{value}");
            assert_eq!(judge(&[(IF_UNMODIFIED_SINCE, value)]), unmodified, "{value}");
        }
    }

    #[test]
    fn etags_decide_before_dates() {
        assert_eq!(judge(&[(IF_MATCH, "*"), (IF_UNMODIFIED_SINCE, BEFORE)]), SEND);
        assert_eq!(judge(&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, AFTER)]), SEND);
        assert_eq!(judge(&[(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "*")]), Outcome::PreconditionFailed);
        assert_eq!(judge(&[(IF_UNMODIFIED_SINCE, BEFORE), (IF_NONE_MATCH, "*")]), Outcome::PreconditionFailed);
        assert_eq!(judge(&[(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, "\"a,b\"")]), Outcome::NotModified);
    }

    #[test]
    fn if_range_needs_a_strong_match() {
        for (value, expected) in [
            ("\"a,b\"", SEND),
            ("W/\"a,b\"", WHOLE),
            ("\"x\"", WHOLE),
            ("*", WHOLE),
            (AT, SEND),
            (AT_OLD_STYLE, SEND),
            (BEFORE, WHOLE),
            (AFTER, WHOLE),
            ("\"x\", \"a,b\"", WHOLE),
        ] {
            assert_eq!(judge(&[(IF_RANGE, value)]), expected, "{value}");
        }
    }

    #[test]
    fn a_byte_that_is_no_text_does_not_make_a_condition_void() {
        for (name, value, expected) in [
            (IF_MATCH, &b"\"\xff\""[..], Outcome::PreconditionFailed),
            (IF_MATCH, b"\xe9", Outcome::PreconditionFailed),
            (IF_MATCH, b"\"a,b\xe9\"", Outcome::PreconditionFailed),
            (IF_MATCH, b"\"\x80\", \"a,b\"", SEND),
            (IF_NONE_MATCH, b"\"\xff\"", SEND),
            (IF_NONE_MATCH, b"\"\xff\", \"a,b\"", Outcome::NotModified),
            (IF_RANGE, b"\"\xff\"", WHOLE),
            (IF_RANGE, b"Sun, 06 Nov 1994 08:49:37 GMT\x80", WHOLE),
            (IF_MODIFIED_SINCE, b"\xff", SEND),
            (IF_UNMODIFIED_SINCE, b"\xff", SEND),
        ] {
            assert_eq!(judge_bytes(&[(name.clone(), value)]), expected, "{name}: {}", value.escape_ascii());
        }
        // One value that cannot be read does not take those beside it away, nor the condition before which a date yields.
        assert_eq!(judge_bytes(&[(IF_MATCH, b"\xff"), (IF_MATCH, b"\"a,b\"")]), SEND);
        assert_eq!(judge_bytes(&[(IF_NONE_MATCH, b"\xff"), (IF_MODIFIED_SINCE, AFTER.as_bytes())]), SEND);
    }

    #[test]
    fn an_if_range_that_says_nothing_or_too_much_gets_the_whole() {
        assert_eq!(judge(&[(IF_RANGE, "")]), WHOLE);
        assert_eq!(judge(&[(IF_RANGE, AT), (IF_RANGE, AT)]), WHOLE);
        assert_eq!(judge(&[(IF_RANGE, "\"a,b\""), (IF_RANGE, "\"x\"")]), WHOLE);
    }

    #[test]
    fn without_validators_only_a_star_matches() {
        let now = Validators { etag: None, modified: None };
        let judge =
            |name: HeaderName, value| evaluate(&HeaderMap::from_iter([(name, HeaderValue::from_static(value))]), now);
        assert_eq!(judge(IF_NONE_MATCH, "*"), Outcome::NotModified);
        assert_eq!(judge(IF_NONE_MATCH, "\"\""), SEND);
        assert_eq!(judge(IF_MATCH, "\"\""), Outcome::PreconditionFailed);
        assert_eq!(judge(IF_MODIFIED_SINCE, AFTER), SEND);
        assert_eq!(judge(IF_RANGE, AT), WHOLE);
    }

    proptest! {
        #[test]
        fn any_header_is_judged(name in 0usize..5, value in "[W/\"a,b* ]{0,12}|\\PC*") {
            let name = [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE][name].clone();
            if let Ok(value) = HeaderValue::from_str(&value) {
                evaluate(&HeaderMap::from_iter([(name, value)]), Validators { etag: Some("a,b"), modified: None });
            }
        }
    }
}
