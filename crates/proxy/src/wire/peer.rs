//! Who is on the other end of a connection.

use std::net::SocketAddr;

/// Who is on the other end of a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Peer {
    /// The client's address as the socket has it.
    pub addr: SocketAddr,
    /// What the TLS handshake told, for a connection that has TLS.
    pub tls: Option<PeerTls>,
}

/// What the TLS handshake told of the peer.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PeerTls {
    /// A client certificate was presented and verified.
    pub client_verified: bool,
}

impl Peer {
    /// A peer on a connection without TLS.
    pub fn plain(addr: SocketAddr) -> Self {
        Self { addr, tls: None }
    }

    /// The peer is this very host: 127.0.0.0/8 or ::1, also when written as an IPv4-mapped IPv6 address.
    pub fn is_loopback(&self) -> bool {
        self.addr.ip().to_canonical().is_loopback()
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
}
