//! Where the client of a request is: where its connection comes from, or where trusted proxies say.
//!
//! Knows `X-Forwarded-For`, to which each proxy appends whom it was asked by. Must not know what follows from an address.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{HeaderMap, HeaderName, Request, Response};

use crate::{
    peers::Networks,
    wire::{Front, Layer, Peer, RequestBody},
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Tells the front inside where clients are.
pub(crate) struct ClientAddress<F> {
    front: F,
    trusted: Arc<Networks>,
}

impl<F> ClientAddress<F> {
    /// Believes the proxies in `trusted`, and nobody else.
    pub(crate) fn new(front: F, trusted: Arc<Networks>) -> Self {
        Self { front, trusted }
    }
}

impl<F: Front> Layer for ClientAddress<F> {
    type Inner = F;
    type Body = F::Body;

    fn inner(&self) -> &F {
        &self.front
    }

    async fn pass(&self, request: Request<RequestBody>, mut peer: Peer) -> Response<F::Body> {
        if let Some(client) = forwarded_client(peer.client, request.headers(), &self.trusted) {
            peer.client = client;
        }
        self.front.handle(request, peer).await
    }
}

/// Where a connection from `peer` says that its client is; `None` where it says nothing that is to be believed.
///
/// Read from the right, each address was written by the one before it, and is believed as long as that one is trusted. The first
/// that is not is the client: whatever stands before it, the client wrote itself.
fn forwarded_client(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> Option<IpAddr> {
    if !trusted.has(peer) {
        return None;
    }
    let lines = headers.get_all(&X_FORWARDED_FOR).iter().rev();
    let items = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for item in items.map(<[u8]>::trim_ascii).filter(|item| !item.is_empty()) {
        let address = address(item)?;
        if !trusted.has(address) {
            return Some(address);
        }
    }
    None
}

/// An address as proxies write it: by itself, with a port, an IPv6 address in brackets or without.
fn address(item: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(item).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().or_else(|_| text.parse().map(|with_port: SocketAddr| with_port.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const TRUSTED: &str = "10.0.0.0/8, fd00::/8";

    fn client(peer: &str, lines: &[&str]) -> String {
        let headers = lines.iter().map(|line| (X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap())).collect();
        let peer = peer.parse().unwrap();
        forwarded_client(peer, &headers, &Networks::parse(TRUSTED)).unwrap_or(peer).to_string()
    }

    #[test]
    fn the_client_is_the_first_from_the_right_who_is_not_trusted() {
        for (lines, expected) in [
            (&["192.0.2.7"][..], "192.0.2.7"),
            (&["203.0.113.1, 192.0.2.7"], "192.0.2.7"),
            (&["192.0.2.7, 10.0.0.2"], "192.0.2.7"),
            (&["203.0.113.1", "192.0.2.7, 10.0.0.2", "10.0.0.3"], "192.0.2.7"),
            (&["what?, 192.0.2.7,10.0.0.2,, "], "192.0.2.7"),
            (&["192.0.2.7:5000"], "192.0.2.7"),
            (&["::ffff:192.0.2.7"], "192.0.2.7"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["[2001:db8::1]:5000, fd00::1"], "2001:db8::1"),
            (&["127.0.0.1"], "127.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn without_a_word_that_can_be_read_it_is_where_the_connection_comes_from() {
        for lines in [
            &[][..],
            &[""],
            &[", ,"],
            &["unknown"],
            &["_hidden"],
            &["192.0.2.7, unknown"],
            &["192.0.2.7, what?, 10.0.0.2"],
            &["192.0.2.7 203.0.113.1"],
            &["fe80::1%eth0"],
            &["192.0.2.256"],
            &["10.0.0.2, 10.0.0.3"],
        ] {
            assert_eq!(client("10.0.0.1", lines), "10.0.0.1", "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn who_is_not_trusted_never_chooses(peer: u32, line in "[0-9., :a-f\\[\\]]{0,60}") {
            let peer = IpAddr::V4(peer.into());
            let trusted = Networks::parse(TRUSTED);
            let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, HeaderValue::from_str(&line).unwrap())]);
            prop_assert!(trusted.has(peer) || forwarded_client(peer, &headers, &trusted).is_none());
        }

        /// What a client wrote before it came to the outermost proxy.
        #[test]
        fn what_a_client_wrote_does_not_count(wrote in "[ -~]{0,60}", client: u32, hops in prop::collection::vec(any::<u16>(), 0..4)) {
            let trusted = Networks::parse(TRUSTED);
            let client = IpAddr::V4(client.into());
            prop_assume!(!trusted.has(client));
            let mut line = format!("{wrote}, {client}");
            for hop in hops {
                line += &format!(", 10.1.{}.{}", hop >> 8, hop & 255);
            }
            let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, HeaderValue::from_str(&line).unwrap())]);
            prop_assert_eq!(forwarded_client(IpAddr::from([10, 0, 0, 1]), &headers, &trusted), Some(client));
        }
    }
}
