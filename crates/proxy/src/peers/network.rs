//! Addresses that begin alike, as operators write them.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// One address, or all that begin with the same bits (`10.0.0.0/8`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// Some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for Network {
    type Err = String;

    /// Reads an address or a network; the error says what is wrong with it.
    fn from_str(text: &str) -> Result<Self, String> {
        let network = match text.parse::<IpAddr>() {
            Ok(address) => address.into(),
            Err(_) => text.parse::<IpNet>().map_err(|_| format!("{text:?} is not an address or a network"))?,
        };
        match network.addr() {
            IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => {
                Err(format!("{text:?} is of IPv4; write it as such"))
            }
            _ => Ok(Self(network)),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

impl Networks {
    /// Reads addresses and networks between commas. What is neither names nobody.
    pub(crate) fn parse(text: &str) -> Self {
        text.split(',').filter_map(|item| item.trim().parse().ok()).collect()
    }

    /// Whether `address` is in one of them, however it is written.
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address.to_canonical()))
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(list: &str, address: &str) -> bool {
        Networks::parse(list).has(address.parse().unwrap())
    }

    #[test]
    fn addresses_and_networks_are_named() {
        for (list, address) in [
            ("127.0.0.1", "127.0.0.1"),
            (" 10.0.0.1 ,127.0.0.1", "127.0.0.1"),
            ("10.10.10.0/24", "10.10.10.255"),
            ("10.10.10.77/24", "10.10.10.1"),
            ("0.0.0.0/0", "198.51.100.7"),
            ("::1", "::1"),
            ("fd00::/8", "fdff::1"),
            ("127.0.0.1", "::ffff:127.0.0.1"),
        ] {
            assert!(named(list, address), "{list} {address}");
        }
        for (list, address) in [
            ("", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.2"),
            ("10.10.10.0/24", "10.10.11.0"),
            ("10.10.10.0/33", "10.10.10.0"),
            ("0.0.0.0/0", "::1"),
            ("::/0", "127.0.0.1"),
            ("proxy.example.org, *", "127.0.0.1"),
            ("127.0.0.1/", "127.0.0.1"),
        ] {
            assert!(!named(list, address), "{list} {address}");
        }
    }

    #[test]
    fn one_is_shown_as_it_is_read() {
        for text in ["127.0.0.1", "10.0.0.0/8", "10.10.10.77/24", "::1", "fd00::/8"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        assert_eq!("127.0.0.1/32".parse::<Network>(), "127.0.0.1".parse());
        for text in ["", "*", "proxy", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "::ffff:10.0.0.1", "::ffff:0:0/96"] {
            assert!(text.parse::<Network>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_list_makes_it_panic(list in "[0-9a-f.:/, -]{0,40}", address: u32) {
            Networks::parse(&list).has(IpAddr::V4(address.into()));
        }

        #[test]
        fn a_network_has_what_begins_like_it(address: u32, bits in 0..=32_u32, other: u32) {
            let list = Networks::parse(&format!("{}/{bits}", std::net::Ipv4Addr::from(address)));
            let same = bits == 0 || address >> (32 - bits) == other >> (32 - bits);
            prop_assert_eq!(list.has(IpAddr::V4(other.into())), same);
        }
    }
}
