//! Whose word an S3 gateway takes for the address that a client has.

use std::net::IpAddr;

/// `s3.trusted_proxies.white_list`: where the gateway believes `X-Forwarded-For` from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    /// How many bits they have in common.
    bits: u32,
}

impl TrustedProxies {
    /// Reads addresses and networks (`10.0.0.0/8`) between commas. What is neither names nobody.
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.split(',').filter_map(|item| Network::parse(item.trim())).collect())
    }

    /// Whether `address` is believed.
    pub fn names(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address.to_canonical()))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address = address.parse::<IpAddr>().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most))?;
        Some(Self { address, bits })
    }

    fn contains(self, address: IpAddr) -> bool {
        let differ = match (self.address, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
            _ => return false,
        };
        differ >= self.bits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(list: &str, address: &str) -> bool {
        TrustedProxies::parse(list).names(address.parse().unwrap())
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
            assert!(names(list, address), "{list} {address}");
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
            assert!(!names(list, address), "{list} {address}");
        }
    }

    proptest! {
        #[test]
        fn no_list_makes_it_panic(list in "[0-9a-f.:/, -]{0,40}", address: u32) {
            TrustedProxies::parse(&list).names(IpAddr::V4(address.into()));
        }

        #[test]
        fn a_network_has_what_begins_like_it(address: u32, bits in 0..=32_u32, other: u32) {
            let list = TrustedProxies::parse(&format!("{}/{bits}", std::net::Ipv4Addr::from(address)));
            let same = bits == 0 || address >> (32 - bits) == other >> (32 - bits);
            prop_assert_eq!(list.names(IpAddr::V4(other.into())), same);
        }
    }
}
