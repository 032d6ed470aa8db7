//! What stands at the beginning of a connection that a proxy passes on: whom it comes from.
//!
//! Knows the PROXY protocol, versions 1 and 2 (proxy-protocol.txt of HAProxy). Reads no byte beyond its header. Must not know
//! who may send one.

use std::{io, net::SocketAddr, time::Duration};

use proxy_header::{Error, ParseConfig, ProxyHeader};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

/// The longest header that is read, bytes. Of version 1 one has at most 107. Of version 2 one has 52 and what the proxy tells
/// besides, of which a client's certificate would be the most.
const LONGEST: usize = 4096;

/// Reads the header, and answers whom the connection comes from; `None`: from the proxy itself, which says so when it asks how we
/// are, or whom it does not say.
///
/// # Errors
/// When there is none within `time`, or it is not one of the protocol, is longer than 4 KiB, or does not speak of TCP.
pub(super) async fn source(stream: &mut TcpStream, time: Duration) -> io::Result<Option<SocketAddr>> {
    timeout(time, read(stream)).await?
}

async fn read(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut seen = Vec::new();
    loop {
        let taken = seen.len();
        // In pieces: most are short.
        seen.resize((taken + 256).min(LONGEST), 0);
        let peeked = stream.peek(&mut seen[taken..]).await?;
        if peeked == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        seen.truncate(taken + peeked);
        let (source, length) = match parse(&seen)? {
            Some((source, length)) => (Some(source), length),
            None if seen.len() == LONGEST => return Err(malformed("the header is too long")),
            // All that is here belongs to the header.
            None => (None, seen.len()),
        };
        stream.read_exact(&mut seen[taken..length]).await?;
        if let Some(source) = source {
            return Ok(source);
        }
    }
}

/// Whom a header names, and its length; `None`: it goes on beyond `bytes`.
fn parse(bytes: &[u8]) -> io::Result<Option<(Option<SocketAddr>, usize)>> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(bytes, config) {
        Ok((header, length)) => match header.proxied_address() {
            None => Ok(Some((None, length))),
            Some(address) if address.protocol == proxy_header::Protocol::Stream => {
                Ok(Some((Some(address.source), length)))
            }
            Some(_) => Err(malformed("the header is not about TCP")),
        },
        Err(Error::BufferTooShort) => Ok(None),
        Err(_) => Err(malformed("there is no header of the PROXY protocol")),
    }
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proxy_header::ProxiedAddress;
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    const TIME: Duration = Duration::from_secs(5);

    /// What is made of the header in `pieces`, sent one after the other, and what follows it.
    async fn read_of(pieces: &[&[u8]]) -> (io::Result<Option<SocketAddr>>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let pieces: Vec<_> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let sending = tokio::spawn(async move {
            for piece in pieces {
                client.write_all(&piece).await.unwrap();
                // The reader has its turn, so that it sees the piece by itself.
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            }
            client.shutdown().await.ok();
            client
        });
        let outcome = source(&mut stream, TIME).await;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        sending.await.unwrap();
        (outcome, rest)
    }

    fn version_2(kind: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n", &[kind, family][..], &length, rest].concat()
    }

    #[tokio::test]
    async fn a_header_says_whom_a_connection_comes_from_and_ends_where_it_ends() {
        let source = "192.0.2.7:4321".parse::<SocketAddr>().unwrap();
        let address = ProxiedAddress::stream(source, "10.0.0.1:443".parse().unwrap());
        let mut second = Vec::new();
        ProxyHeader::with_address(address).encode_v2(&mut second).unwrap();
        let mut with_more = second[12..].to_vec();
        with_more[2..4].copy_from_slice(&(12_u16 + 1503).to_be_bytes());
        let with_more = [&second[..12], &with_more, &[4, 5, 220], &[7; 1500]].concat();
        for header in [b"PROXY TCP4 192.0.2.7 10.0.0.1 4321 443\r\n".as_slice(), &second, &with_more] {
            for rest in [b"".as_slice(), b"GET / HTTP/1.1\r\n\r\n", &[0; 5000]] {
                let whole = read_of(&[&[header, rest].concat()]).await;
                assert_eq!((whole.0.unwrap(), &*whole.1), (Some(source), rest));
                let (first, last) = header.split_at(header.len() - 1);
                let halves = read_of(&[&first[..7], &first[7..], &[last, rest].concat()]).await;
                assert_eq!((halves.0.unwrap(), &*halves.1), (Some(source), rest));
            }
        }
        let v6 = read_of(&[b"PROXY TCP6 2001:db8::1 ::1 1 2\r\nx"]).await;
        assert_eq!((v6.0.unwrap(), &*v6.1), (Some("[2001:db8::1]:1".parse().unwrap()), b"x".as_slice()));
    }

    #[tokio::test]
    async fn a_proxy_may_speak_for_itself() {
        for header in [b"PROXY UNKNOWN\r\n".to_vec(), version_2(0x20, 0, b""), version_2(0x21, 0, b"more")] {
            let (outcome, rest) = read_of(&[&[&header, b"GET ".as_slice()].concat()]).await;
            assert_eq!((outcome.unwrap(), &*rest), (None, b"GET ".as_slice()));
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_an_error() {
        let datagram = version_2(0x21, 0x12, &[0; 12]);
        for bytes in [
            b"".as_slice(),
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4321",
            b"PROXY TCP4 192.0.2.256 10.0.0.1 4321 443\r\n",
            b"PROXY TCP4 client 10.0.0.1 4321 443\r\n",
            b"PROXY UDP4 192.0.2.7 10.0.0.1 4321 443\r\n",
            &[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 5000]].concat(),
            &version_2(0x21, 0x11, &[0; 11]),
            &version_2(0x21, 0x11, &[0; 5000]),
            &version_2(0x31, 0x11, &[0; 12]),
            &datagram,
        ] {
            assert!(read_of(&[bytes]).await.0.is_err(), "{bytes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_that_does_not_come_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        client.write_all(b"PROXY TCP4 ").await.unwrap();
        let begun = tokio::time::Instant::now();
        assert_eq!(source(&mut stream, TIME).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), TIME);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(version in 0..3_usize, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let begin = [b"".as_slice(), b"PROXY TCP", b"\r\n\r\n\0\r\nQUIT\n"][version];
            let bytes = [begin, &bytes].concat();
            if let Ok(Some((_, length))) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
