//! Who is on the other end of a connection.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

/// Who is on the other end of a connection, and who asks over it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Peer {
    /// Whom the connection comes from: the other end of its socket, or whom a trusted proxy at that end named in a header of
    /// the PROXY protocol.
    pub addr: SocketAddr,
    /// Where the client is: the address of `addr`, or the one that trusted proxies tell of a request. Never an IPv4 address
    /// written as one of IPv6.
    pub client: IpAddr,
    /// What the TLS handshake told, for a connection that has TLS.
    pub tls: Option<PeerTls>,
    /// No part of the connection leaves this host.
    on_this_host: bool,
}

/// What the TLS handshake told of the peer.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PeerTls {
    /// A client certificate was presented and verified.
    pub client_verified: bool,
    /// The SHA-256 fingerprint of that certificate: `sha256:` and 64 hex digits.
    pub certificate: Option<Arc<str>>,
}

impl PeerTls {
    /// What a handshake told that ended well, with this certificate of the client's (DER), or none.
    pub(crate) fn verified(certificate: Option<&[u8]>) -> Self {
        let fingerprint = certificate.map(|der| format!("sha256:{}", hex::encode(Sha256::digest(der))));
        Self { client_verified: certificate.is_some(), certificate: fingerprint.map(Arc::from) }
    }
}

impl Peer {
    /// A peer on a connection without TLS.
    pub fn plain(addr: SocketAddr) -> Self {
        let client = addr.ip().to_canonical();
        Self { addr, client, tls: None, on_this_host: client.is_loopback() }
    }

    /// The same, when the proxy on the other end has said that it passes on a connection from `source`.
    pub(crate) fn proxied(self, source: SocketAddr) -> Self {
        let of_source = Self::plain(source);
        Self { on_this_host: self.on_this_host && of_source.on_this_host, tls: self.tls, ..of_source }
    }

    /// The connection comes from this very host: 127.0.0.0/8 or ::1, also when written as an IPv4-mapped IPv6 address. What is
    /// passed on by a proxy on this host comes from where the proxy got it.
    pub fn is_loopback(&self) -> bool {
        self.on_this_host
    }

    /// `http` or `https`, as the client spoke to us.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_in_every_spelling() {
        for (addr, loopback) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("10.0.0.1:1", false),
            ("[::ffff:10.0.0.1]:1", false),
        ] {
            assert_eq!(Peer::plain(addr.parse().unwrap()).is_loopback(), loopback, "{addr}");
        }
    }

    #[test]
    fn what_a_proxy_passes_on_comes_from_here_if_both_do() {
        for (socket, source, loopback) in [
            ("127.0.0.1:1", "127.0.0.2:1", true),
            ("127.0.0.1:1", "10.0.0.1:1", false),
            ("10.0.0.1:1", "127.0.0.1:1", false),
        ] {
            let peer = Peer::plain(socket.parse().unwrap()).proxied(source.parse().unwrap());
            assert_eq!(peer.is_loopback(), loopback, "{socket} {source}");
            assert_eq!((peer.addr, peer.client), (source.parse().unwrap(), peer.addr.ip()));
        }
    }
}
