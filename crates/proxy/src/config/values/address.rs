//! Filer addresses as SeaweedFS writes them: `host:port` or `host:port.grpcPort`.

use std::{fmt, net::Ipv6Addr};

use super::list::Item;

/// How far SeaweedFS's gRPC port is above the HTTP port where it is not given (`weed/pb/server_address.go` @4.48).
const GRPC_OFFSET: u16 = 10_000;

/// Where one filer listens, for HTTP and for gRPC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilerAddress {
    /// A host name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// The HTTP port, 1 to 65535.
    pub port: u16,
    /// The gRPC port, 1 to 65535; `port` + 10000 where the address does not say.
    pub grpc_port: u16,
}

impl FilerAddress {
    /// `host:port` of the HTTP side, as a URL and a `Host` header write it.
    pub fn http_authority(&self) -> String {
        self.authority(self.port)
    }

    /// `host:port` of the gRPC side, as a URL writes it.
    pub fn grpc_authority(&self) -> String {
        self.authority(self.grpc_port)
    }

    fn authority(&self, port: u16) -> String {
        let host = &self.host;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for FilerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.http_authority())?;
        if self.port.checked_add(GRPC_OFFSET) == Some(self.grpc_port) {
            Ok(())
        } else {
            write!(f, ".{}", self.grpc_port)
        }
    }
}

impl std::str::FromStr for FilerAddress {
    type Err = String;

    /// Reads `host:port` or `host:port.grpcPort`; the error says what is wrong with it.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return Err(format!("{text:?} must stand without a scheme"));
        }
        let (host, ports) = text.rsplit_once(':').ok_or_else(|| format!("{text:?} has no port"))?;
        let host = parse_host(host).ok_or_else(|| {
            let hint = if host.contains(':') { "; an IPv6 address stands in brackets" } else { "" };
            format!("{host:?} in {text:?} is not a host{hint}")
        })?;
        let (port, grpc_port) = match ports.split_once('.') {
            Some((port, grpc)) => (parse_port(port), parse_port(grpc)),
            None => {
                let port = parse_port(ports);
                let above = port.map(|port| {
                    port.checked_add(GRPC_OFFSET)
                        .ok_or_else(|| format!("the gRPC port of {text:?} would be above 65535; write {text}.grpcPort"))
                });
                (port, above.transpose()?)
            }
        };
        match (port, grpc_port) {
            (Some(port), Some(grpc_port)) => Ok(Self { host, port, grpc_port }),
            _ => Err(format!("{ports:?} in {text:?} is not a port from 1 to 65535, or two with a dot between them")),
        }
    }
}

pub(super) fn parse_host(host: &str) -> Option<String> {
    if let Some(inner) = host.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(address.to_string());
    }
    let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (!host.is_empty() && host.len() <= 253 && host.bytes().all(named)).then(|| host.to_owned())
}

pub(super) fn parse_port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

impl Item for FilerAddress {
    const EXPECTS: &'static str = "a list of filer addresses, each `host:port` or `host:port.grpcPort`";
    const NONE: Option<&'static str> = Some("it names no filer");
}

#[cfg(test)]
mod tests {
    use figment::value::Value;
    use proptest::prelude::*;

    use super::*;
    use crate::config::setting::Setting;

    fn address(host: &str, port: u16, grpc_port: u16) -> FilerAddress {
        FilerAddress { host: host.to_owned(), port, grpc_port }
    }

    fn any_address() -> impl Strategy<Value = FilerAddress> {
        let host = prop_oneof![
            "[a-z][a-z0-9-]{0,10}(\\.[a-z0-9]{1,5}){0,3}",
            any::<[u8; 4]>().prop_map(|ip| std::net::Ipv4Addr::from(ip).to_string()),
            any::<[u16; 8]>().prop_map(|ip| Ipv6Addr::from(ip).to_string()),
        ];
        (host, 1u16.., 1u16..).prop_map(|(host, port, grpc_port)| FilerAddress { host, port, grpc_port })
    }

    proptest! {
        #[test]
        fn addresses_come_back_from_what_is_shown(address in any_address()) {
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }

        #[test]
        fn lists_come_back_from_toml_and_from_the_environment(mut list in prop::collection::vec(any_address(), 1..5)) {
            list.sort_by_key(ToString::to_string);
            list.dedup();
            let joined = list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" , ");
            prop_assert_eq!(Vec::parse(&joined), Ok(list.clone()));
            let toml: toml::Table = toml::from_str(&format!("k = {}", list.show().unwrap())).unwrap();
            let value = Value::serialize(&toml["k"]).unwrap();
            prop_assert_eq!(Vec::from_value(&value), Ok(list));
        }

        #[test]
        fn no_text_panics_and_what_is_read_can_be_shown(text in "[\\PC\\[\\]:.0-9]*") {
            if let Ok(address) = text.parse::<FilerAddress>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }

    #[test]
    fn ports_are_given_or_derived() {
        assert_eq!("127.0.0.1:8888".parse(), Ok(address("127.0.0.1", 8888, 18888)));
        assert_eq!("filer:8888.9999".parse(), Ok(address("filer", 8888, 9999)));
        assert_eq!("[::1]:8888.9".parse(), Ok(address("::1", 8888, 9)));
        assert_eq!("[0:0::1]:80".parse::<FilerAddress>().unwrap().grpc_authority(), "[::1]:10080");
        assert_eq!("a.b:1.2".parse::<FilerAddress>().unwrap().http_authority(), "a.b:1");
        assert_eq!("h:55535".parse(), Ok(address("h", 55535, 65535)));
        assert!("h:60000".parse::<FilerAddress>().unwrap_err().ends_with("write h:60000.grpcPort"));
    }

    #[test]
    fn what_is_not_an_address_is_refused() {
        for text in [
            "",
            ":",
            "h",
            "h:",
            ":80",
            "h:0",
            "h:1.0",
            "h:65536",
            "h:1.65536",
            "h:+1",
            "h:1.2.3",
            "::1:80",
            "[::1]",
            "[::1:80",
            "[h]:80",
            "http://h:80",
            "u@h:80",
            "h/x:80",
            "h:80/",
            "h h:80",
            "h:80 ",
        ] {
            assert!(text.parse::<FilerAddress>().is_err(), "{text:?}");
        }
        assert!(Vec::<FilerAddress>::parse(" , ").is_err());
        assert!(Vec::<FilerAddress>::parse("h:1,h:1").is_err());
    }
}
