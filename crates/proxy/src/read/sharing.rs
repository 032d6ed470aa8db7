//! What a cache between here and the clients may do with an answer (RFC 9111, section 5.2.2).
//!
//! Knows what an answer was given for, and the headers that caches go by. Must not know how any of it was decided.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, VARY},
};

use super::customer;

/// Headers by which an object could ask a shared cache to keep it in spite of `Cache-Control`.
const OVERRULING: [HeaderName; 3] = [
    HeaderName::from_static("x-accel-expires"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("cdn-cache-control"),
];
/// Directives that let a shared cache do more than `private` does.
const PUBLIC: [&str; 4] = ["public", "s-maxage", "proxy-revalidate", "private"];

/// What an answer was given, or refused, for. Nothing of it: it is the same for all who ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    /// The key of the request (SSE-C).
    pub(super) for_key: bool,
    /// A read token, which may come in a header or a cookie. One in the query is a part of what caches go by.
    pub(super) for_token: bool,
    /// A client certificate.
    pub(super) for_certificate: bool,
}

impl Credentials {
    /// Says in `headers` who may keep the answer. `shared`: the operator lets shared caches keep it as far as `Vary` and
    /// the object's own headers do.
    pub(super) fn tell(self, headers: &mut HeaderMap, shared: bool) {
        if self == Self::default() {
            return;
        }
        if !shared {
            for name in OVERRULING {
                headers.remove(name);
            }
            let own = said(headers, &CACHE_CONTROL).join(", ");
            let wanted = if self.for_key { "no-store" } else { "private" };
            if let Ok(value) = HeaderValue::try_from(narrowed(&own, wanted)) {
                headers.insert(CACHE_CONTROL, value);
            }
        }
        // One line: there are caches that look at one only.
        let names: Vec<_> = said(headers, &VARY).into_iter().chain(self.names()).collect();
        if let Ok(value) = HeaderValue::try_from(names.join(", ")) {
            headers.insert(VARY, value);
        }
    }

    /// The headers of the request that decided, as `Vary` has them. A certificate is in none of them.
    fn names<'n>(self) -> impl Iterator<Item = &'n str> {
        let key = self.for_key.then_some(customer::HEADERS).into_iter().flatten();
        let token = self.for_token.then_some([AUTHORIZATION.as_str(), COOKIE.as_str()]).into_iter().flatten();
        key.chain(token).chain(self.for_certificate.then_some("*"))
    }
}

/// What a header says so far: the object's own word.
fn said<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<&'h str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
}

/// The directives of `own`, without those that open what `wanted` closes. What is as strict already stays as it is.
fn narrowed(own: &str, wanted: &str) -> String {
    let kept: Vec<_> = split(own).collect();
    // `private="a"` is about one header.
    let strict = |directive: &&str| {
        directive.eq_ignore_ascii_case("no-store") || (wanted == "private" && directive.eq_ignore_ascii_case("private"))
    };
    if kept.iter().any(strict) && !kept.iter().any(|directive| directive.eq_ignore_ascii_case("public")) {
        return own.to_owned();
    }
    let name = |directive: &str| directive.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kept = kept.into_iter().filter(|directive| {
        let name = name(directive);
        name != wanted && !PUBLIC.contains(&name.as_str())
    });
    std::iter::once(wanted).chain(kept).collect::<Vec<_>>().join(", ")
}

/// The directives of a list. A comma within quotes parts nothing.
fn split(list: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    list.split(move |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .map(str::trim)
    .filter(|directive| !directive.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Credentials = Credentials { for_key: true, for_token: false, for_certificate: false };
    const TOKEN: Credentials = Credentials { for_key: false, for_token: true, for_certificate: false };

    fn cache_control(given: Credentials, own: &'static str) -> String {
        let mut headers = HeaderMap::new();
        if !own.is_empty() {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(own));
        }
        given.tell(&mut headers, false);
        headers.get(CACHE_CONTROL).map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn what_all_are_given_stays_as_it_is() {
        let mut headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("public"))]);
        headers.insert(OVERRULING[0].clone(), HeaderValue::from_static("60"));
        let before = headers.clone();
        Credentials::default().tell(&mut headers, false);
        assert_eq!(headers, before);
    }

    #[test]
    fn the_stricter_word_counts() {
        for (own, private, no_store) in [
            ("", "private", "no-store"),
            ("max-age=60", "private, max-age=60", "no-store, max-age=60"),
            ("public, max-age=60, s-maxage=600", "private, max-age=60", "no-store, max-age=60"),
            ("no-cache", "private, no-cache", "no-store, no-cache"),
            ("private, max-age=5", "private, max-age=5", "no-store, max-age=5"),
            ("No-Store", "No-Store", "No-Store"),
            ("private=\"a, public\", b", "private, b", "no-store, b"),
            ("no-store, public", "private, no-store", "no-store"),
        ] {
            assert_eq!(cache_control(TOKEN, own), private, "{own}");
            assert_eq!(cache_control(KEY, own), no_store, "{own}");
        }
    }

    #[test]
    fn vary_names_what_decided_beside_what_it_named() {
        let vary = |given: Credentials, shared| {
            let mut headers = HeaderMap::from_iter([(VARY, HeaderValue::from_static("Origin"))]);
            headers.insert(OVERRULING[0].clone(), HeaderValue::from_static("60"));
            given.tell(&mut headers, shared);
            assert_eq!(headers.contains_key(&OVERRULING[0]), shared);
            assert_eq!(headers.contains_key(CACHE_CONTROL), !shared);
            assert_eq!(headers.get_all(VARY).iter().count(), 1);
            headers[VARY].to_str().unwrap().to_owned()
        };
        let sse_c = "x-amz-server-side-encryption-customer";
        for shared in [false, true] {
            assert_eq!(vary(KEY, shared), format!("Origin, {sse_c}-algorithm, {sse_c}-key, {sse_c}-key-md5"));
            assert_eq!(vary(TOKEN, shared), "Origin, authorization, cookie");
            assert_eq!(
                vary(Credentials { for_certificate: true, ..TOKEN }, shared),
                "Origin, authorization, cookie, *"
            );
        }
    }
}
