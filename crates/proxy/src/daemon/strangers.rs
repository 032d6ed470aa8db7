//! Whether the S3 gateways would believe what tidegate tells them of where clients are.
//!
//! Knows the addresses of gateways and the list of those whom they believe. Must not know what is decided by an address.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use tokio::time::timeout;

use crate::{config::GatewayUrl, peers::Networks};

/// How long the names of gateways are looked up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A sentence for the operator where a gateway at `addresses` would take tidegate itself for the client. Nobody is asked: the
/// system says which address it would send from.
pub(super) fn objection(addresses: &[SocketAddr], trusted: &Networks) -> Option<String> {
    let ours: BTreeSet<_> = addresses.iter().filter_map(|gateway| sent_from(*gateway)).collect();
    let strangers: Vec<_> = ours.iter().filter(|address| !trusted.has(**address)).map(IpAddr::to_string).collect();
    let list = strangers.join(",");
    (!list.is_empty()).then(|| {
        format!(
            "policies that ask for aws:SourceIp see tidegate's address ({list}) for every client's, as far as tidegate can \
             tell: name it in s3.trusted_proxies.white_list of security.toml, which filer.security_toml points at, and \
             restart the S3 gateways"
        )
    })
}

/// Gateways whose addresses stand in the configuration as they are.
pub(super) fn literal(gateways: &[GatewayUrl]) -> Vec<SocketAddr> {
    gateways.iter().filter_map(|gateway| gateway.authority.parse().ok()).collect()
}

/// All addresses of the gateways. Those of names that cannot be looked up are missing.
pub(super) async fn looked_up(gateways: &[GatewayUrl]) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for gateway in gateways {
        if let Ok(Ok(found)) = timeout(PATIENCE, tokio::net::lookup_host(&gateway.authority)).await {
            addresses.extend(found);
        }
    }
    addresses
}

/// The address that a connection to `gateway` would come from. `None`: there is no way there.
fn sent_from(gateway: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if gateway.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // To connect a socket of UDP sends nothing.
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(gateway).ok()?;
    Some(socket.local_addr().ok()?.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateways(urls: &[&str]) -> Vec<GatewayUrl> {
        urls.iter().map(|url| url.parse().unwrap()).collect()
    }

    fn objects(urls: &[&str], list: &str) -> Option<String> {
        objection(&literal(&gateways(urls)), &Networks::parse(list))
    }

    #[test]
    fn who_is_not_named_is_a_stranger() {
        let said = objects(&["http://127.0.0.1:8333", "http://127.0.0.1:8334"], "").unwrap();
        assert!(said.contains("(127.0.0.1)") && said.contains("s3.trusted_proxies.white_list"), "{said}");
        assert!(objects(&["http://127.0.0.1:8333"], "10.0.0.0/8").is_some());
        assert_eq!(objects(&["http://127.0.0.1:8333"], "127.0.0.1"), None);
        assert_eq!(objects(&["http://127.0.0.1:8333"], "10.0.0.0/8, 127.0.0.0/8"), None);
    }

    #[tokio::test]
    async fn a_name_is_looked_up_only_when_serving() {
        assert_eq!(objects(&["http://localhost:8333"], ""), None);
        assert_eq!(objects(&[], ""), None);
        let found = looked_up(&gateways(&["http://localhost:8333", "http://no-such-host.invalid:1"])).await;
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 8333));
        assert!(!found.is_empty());
    }
}
