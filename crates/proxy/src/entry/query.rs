//! The query of a read, understood as Go's `url.ParseQuery` understands it.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The pairs of a query in order, decoded. A pair with a `;` or a broken escape is dropped, like the filer does.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')).filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((unescape(name)?, unescape(value)?))
    })
}

/// The most parameters that Go reads. Of a query with more it reads none (`urlmaxqueryparams`), so that one who read them
/// here would take the request for another than the filer does.
const MOST: usize = 10_000;

/// Whether the filer would read no parameter of this query, for there are too many.
pub(crate) fn is_too_long(query: &str) -> bool {
    query.bytes().filter(|byte| *byte == b'&').count() >= MOST
}

/// The first value of a parameter; names match exactly.
pub(crate) fn first(query: &str, name: &str) -> Option<Vec<u8>> {
    pairs(query).find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value)
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let whole = text.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if !whole {
        return None;
    }
    let spaced: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    Some(percent_decode(spaced.as_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_go() {
        let read =
            |query| pairs(query).map(|(k, v)| format!("{}={}", k.escape_ascii(), v.escape_ascii())).collect::<Vec<_>>();
        assert_eq!(read("a=b&c&d=%20+&&e=f=g"), ["a=b", "c=", "d=  ", "e=f=g"]);
        assert_eq!(read("x;dl=1&a=%zz&b=%4&c=%C3%BC"), ["c=\\xc3\\xbc"]);
        assert_eq!(first("dl=&dl=1", "dl"), Some(vec![]));
        assert_eq!(first("DL=1", "dl"), None);
    }

    #[test]
    fn ten_thousand_parameters_are_read_and_one_more_is_too_many() {
        assert!(!is_too_long(&"&".repeat(9_999)));
        assert!(is_too_long(&"&".repeat(10_000)));
    }
}
