//! A domain whose names stand for buckets.

use std::fmt;

use super::list::Item;

/// A host name in lower case, without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain(String);

impl Domain {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Domain {
    type Err = String;

    /// Reads a host name; the error says what is wrong with it.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_label = |label: &str| {
            let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(is_allowed)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_domain =
            text.len() <= 253 && text.split('.').all(is_label) && text.parse::<std::net::Ipv4Addr>().is_err();
        match is_domain {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("{text:?} is not a host name in lower case, without a port")),
        }
    }
}

impl Item for Domain {
    const EXPECTS: &'static str = "a list of host names";
    const NONE: Option<&'static str> = None;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_a_host_name() {
        for text in ["s3.example.org", "localhost", "a-b.c0"] {
            assert_eq!(text.parse::<Domain>().unwrap().as_str(), text);
        }
        for text in ["", ".", "a.", ".a", "a..b", "A.b", "a_b", "a:80", "127.0.0.1", "-a", "a-", "*.a", "http://a"] {
            assert!(text.parse::<Domain>().is_err(), "{text}");
        }
    }
}
