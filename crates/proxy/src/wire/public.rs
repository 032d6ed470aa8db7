//! What of a message a client may read.
//!
//! Whoever knows a needle's id may ask the filer for it, and where servers listen is the operator's business. Messages name
//! both for the log; here they are taken out, whoever wrote the message.

use std::{borrow::Cow, net::IpAddr};

/// In the place of what is not for clients.
const HIDDEN: &str = "…";

/// The message without ids of needles, addresses of servers, and names of keys in the form of AWS.
pub(super) fn public(message: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut done = 0;
    for (start, word) in words(message) {
        if is_private(word) {
            shown.push_str(&message[done..start]);
            shown.push_str(HIDDEN);
            done = start + word.len();
        }
    }
    if done == 0 {
        return Cow::Borrowed(message);
    }
    shown.push_str(&message[done..]);
    Cow::Owned(shown)
}

/// The words of a message and where they begin, without what stands around them. A name of AWS has slashes in it; otherwise
/// they part words, so that an address is found before a path.
fn words(message: &str) -> impl Iterator<Item = (usize, &str)> {
    let start_of = move |part: &str| part.as_ptr() as usize - message.as_ptr() as usize;
    let pieces = message.split(|c: char| c.is_whitespace() || "\"'`()<>{}=|?&#".contains(c));
    let parts = pieces.flat_map(|piece| match piece.starts_with("arn:") {
        true => vec![piece],
        false => piece.split('/').collect(),
    });
    parts.map(move |part| {
        let word = part.trim_matches([',', ';', ':', '.', '!', '?']);
        (start_of(word), word)
    })
}

fn is_private(word: &str) -> bool {
    is_needle(word) || is_address(word) || word.starts_with("arn:")
}

/// `3,01637037d6`, with or without `_2` after it.
fn is_needle(word: &str) -> bool {
    let Some((volume, rest)) = word.split_once(',') else { return false };
    let needle = rest.split_once('_').map_or(rest, |(needle, _)| needle);
    let is_number = !volume.is_empty() && volume.bytes().all(|byte| byte.is_ascii_digit());
    is_number && needle.len() > 8 && needle.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// An IP address, with or without a port, or a name with a port, or with two as SeaweedFS writes them.
fn is_address(word: &str) -> bool {
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    if bare(word) && word.contains(['.', ':']) && word.len() > 2 {
        return true;
    }
    let Some((host, port)) = word.rsplit_once(':') else { return false };
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    is_port && (bare(host) || (!host.is_empty() && host.chars().all(is_name)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn needles_and_servers_are_not_named() {
        for (message, shown) in [
            (
                "needle 3,01637037d6: volume server 127.0.0.1:8080 does not have the needle (404)",
                "needle …: volume server … does not have the needle (404)",
            ),
            ("the chunk manifest 17,130b9f66b9_2 cannot be read", "the chunk manifest … cannot be read"),
            ("last tried filer.internal:8888.18888: refused", "last tried …: refused"),
            ("last tried [::1]:18888, then fe80::1.", "last tried …, then …."),
            ("error for url (http://10.0.0.7:8080/3,01637037d6?x)", "error for url (http://…/…?x)"),
            ("key \"arn:aws:kms:eu-1:12:key/0a-1b\" is disabled.", "key \"…\" is disabled."),
            ("dial tcp 10.1.2.3:6379: connection refused", "dial tcp …: connection refused"),
        ] {
            assert_eq!(public(message), shown);
        }
    }

    #[test]
    fn the_rest_stays_as_it_is() {
        for message in [
            "more than 10,000 parameters in the query",
            "chunk 0: sse_metadata.iv is 3 bytes long",
            "no SSE-S3 key in the filer's /etc/s3/sse_kek: not hex; see sse_s3.key",
            "wrong jwt: the token has expired; get a new one",
            "it is 4.48 and not 4.22; HTTP/2 is :: fine",
            "",
        ] {
            assert_eq!(public(message), message);
        }
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic_and_no_needle_gets_through(before in "\\PC{0,20}", key in "[0-9a-f]{9,24}", after in "\\PC{0,20}") {
            let shown = public(&format!("{before} 7,{key} {after}")).into_owned();
            prop_assert!(!shown.contains(&format!("7,{key}")), "{shown}");
        }
    }
}
