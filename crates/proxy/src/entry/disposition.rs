//! `Content-Disposition` with a file name, written as Go's `mime.FormatMediaType` writes it.

use std::fmt::Write;

/// `inline; filename=…` or `attachment; filename=…`. A name that is a token stands bare, other printable ASCII in
/// quotes, the rest as RFC 2231 UTF-8. The result is printable ASCII and tabs.
pub(super) fn content_disposition(attachment: bool, name: &str) -> String {
    let mut header = String::from(if attachment { "attachment; filename" } else { "inline; filename" });
    if !name.chars().all(|c| c == '\t' || (' '..='~').contains(&c)) {
        header.push_str("*=utf-8''");
        name.bytes().for_each(|byte| push_escaped(&mut header, byte));
    } else if !name.is_empty() && name.bytes().all(is_token) {
        header.push('=');
        header.push_str(name);
    } else {
        header.push_str("=\"");
        for c in name.chars() {
            if matches!(c, '"' | '\\') {
                header.push('\\');
            }
            header.push(c);
        }
        header.push('"');
    }
    header
}

fn push_escaped(header: &mut String, byte: u8) {
    if is_token(byte) && !matches!(byte, b'*' | b'\'' | b'%') {
        header.push(char::from(byte));
    } else {
        write!(header, "%{byte:02X}").expect("a String takes what is written to it");
    }
}

/// Whether RFC 2045 allows the byte in a token: printable ASCII without its specials.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each line was seen on the real filer.
    #[test]
    fn writes_names_as_the_filer_does() {
        for (name, expected) in [
            ("a.txt", "a.txt"),
            ("a b.txt", "\"a b.txt\""),
            ("q\"uote.txt", "\"q\\\"uote.txt\""),
            ("back\\slash.txt", "\"back\\\\slash.txt\""),
            ("it's.txt", "it's.txt"),
            ("semi;.txt", "\"semi;.txt\""),
            ("(x).txt", "\"(x).txt\""),
            ("tab\t.txt", "\"tab\t.txt\""),
            ("per%cent", "per%cent"),
            ("a*b", "a*b"),
            ("x=?utf", "\"x=?utf\""),
        ] {
            assert_eq!(content_disposition(false, name), format!("inline; filename={expected}"), "{name}");
        }
        for (name, expected) in [
            ("ü.txt", "%C3%BC.txt"),
            ("ctrl\x01.txt", "ctrl%01.txt"),
            ("日本語 x", "%E6%97%A5%E6%9C%AC%E8%AA%9E%20x"),
            ("new\nline", "new%0Aline"),
            ("del\x7f", "del%7F"),
            ("€*'%", "%E2%82%AC%2A%27%25"),
        ] {
            assert_eq!(content_disposition(true, name), format!("attachment; filename*=utf-8''{expected}"), "{name}");
        }
    }

    proptest! {
        #[test]
        fn the_result_is_always_a_header(name: String) {
            let header = content_disposition(false, &name);
            prop_assert!(http::HeaderValue::from_str(&header).is_ok());
        }
    }
}
