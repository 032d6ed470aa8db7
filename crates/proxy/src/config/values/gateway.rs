//! The address of an S3 gateway, as a URL.

use std::fmt;

use super::{
    address::{parse_host, parse_port},
    list::Item,
};

/// Where one S3 gateway listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayUrl {
    /// Whether it speaks TLS: `https`.
    pub tls: bool,
    /// `host:port`.
    pub authority: String,
}

impl fmt::Display for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority)
    }
}

impl std::str::FromStr for GatewayUrl {
    type Err = String;

    /// Reads `http://host:port` or `https://host:port`; the error says what is wrong with it.
    fn from_str(text: &str) -> Result<Self, String> {
        let (tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(format!("{text:?} does not begin with http:// or https://")),
        };
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| format!("{text:?} has no port"))?;
        let host = parse_host(host).ok_or_else(|| format!("{host:?} in {text:?} is not a host"))?;
        let port = parse_port(port).ok_or_else(|| format!("{port:?} in {text:?} is not a port from 1 to 65535"))?;
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Ok(Self { tls, authority: format!("{host}:{port}") })
    }
}

impl Item for GatewayUrl {
    const EXPECTS: &'static str = "a list of S3 gateways, each `http://host:port` or `https://host:port`";
    const NONE: Option<&'static str> = None;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::setting::Setting;

    #[test]
    fn a_gateway_is_a_url_without_a_path() {
        let url = |text: &str| text.parse::<GatewayUrl>().map(|url| (url.tls, url.authority));
        assert_eq!(url("http://127.0.0.1:8333"), Ok((false, "127.0.0.1:8333".into())));
        assert_eq!(url("https://s3.example.org:443"), Ok((true, "s3.example.org:443".into())));
        assert_eq!(url("http://[::1]:8333"), Ok((false, "[::1]:8333".into())));
        for text in
            ["", "127.0.0.1:8333", "http://", "http://h", "http://h:0", "http://h:1/", "http://u@h:1", "ftp://h:1"]
        {
            assert!(url(text).is_err(), "{text}");
        }
        assert_eq!(Vec::<GatewayUrl>::parse(""), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn what_is_read_can_be_shown(text in "https?://[a-z0-9.\\[\\]:-]{0,20}") {
            if let Ok(url) = text.parse::<GatewayUrl>() {
                prop_assert_eq!(url.to_string().parse(), Ok(url));
            }
        }
    }
}
