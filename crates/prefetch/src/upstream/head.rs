//! The heads of a request and of its answer, as they go over the line.

use std::str::FromStr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};

/// The most headers that an answer may have.
const HEADERS: usize = 100;
/// What a volume server says that let a request wait at its limits until its `-idleTimeout` ended the connection for it: all that
/// waits there on that connection it answers so at once from then on (`waitForDownloadSlot` in
/// `weed/server/volume_server_handlers.go` @4.48).
pub(crate) const GIVEN_UP: u16 = 499;

/// A request as it is sent, to one server.
pub(super) struct WireRequest {
    /// The server, `host:port`.
    pub(super) authority: Box<str>,
    pub(super) method: Method,
    /// All bytes of it: it has no body.
    pub(super) bytes: Vec<u8>,
}

impl WireRequest {
    /// What is sent for a request whose URI names the server.
    ///
    /// # Errors
    /// When it names none.
    pub(super) fn of(request: &Request<()>, default_port: u16) -> Result<Self, HeadError> {
        let uri = request.uri();
        let authority = uri.authority().ok_or(HeadError::NoServer)?;
        let mut bytes = Vec::with_capacity(256);
        let line = [request.method().as_str(), " ", path(uri), " HTTP/1.1\r\nhost: ", authority.host()];
        line.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
        if let Some(port) = authority.port().filter(|port| port.as_u16() != default_port) {
            bytes.push(b':');
            bytes.extend_from_slice(port.as_str().as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        for (name, value) in request.headers() {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        Ok(Self { authority: authority.as_str().into(), method: request.method().clone(), bytes })
    }
}

fn path(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |path| path.as_str())
}

/// The head of an answer.
pub(super) struct Head {
    pub(super) answer: Response<()>,
    /// Bytes that it took.
    pub(super) len: usize,
}

impl Head {
    /// The head at the beginning of `bytes`. `None`: not all of it is here.
    ///
    /// # Errors
    /// When it is none, or has more than a hundred headers.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, HeadError> {
        // The parser would pass over empty lines, however many.
        if let Some(b'\r' | b'\n') = bytes.first() {
            return Err(HeadError::EmptyLine);
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(len) = parsed.parse(bytes).map_err(HeadError::Malformed)? else {
            return Ok(None);
        };
        let (Some(code), Some(version)) = (parsed.code, parsed.version) else { return Ok(None) };
        let mut answer = Response::new(());
        *answer.status_mut() = StatusCode::from_u16(code).map_err(|_| HeadError::Status(code))?;
        *answer.version_mut() = if version == 1 { Version::HTTP_11 } else { Version::HTTP_10 };
        let kept = HeadBuffer { whole: bytes, copy: Bytes::copy_from_slice(&bytes[..len]) };
        *answer.headers_mut() = kept.headers(parsed.headers)?;
        Ok(Some(Self { answer, len }))
    }

    /// Whether it is only a word in between, and the answer is still to come.
    pub(super) fn is_informational(&self) -> bool {
        self.answer.status().is_informational()
    }
}

/// Whether another request may follow on the same connection, as far as the head of the answer says.
pub(super) fn allows_another(answer: &Response<()>) -> bool {
    let is_close = |value: &HeaderValue| {
        value.as_bytes().split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"))
    };
    answer.version() == Version::HTTP_11
        && answer.status().as_u16() != GIVEN_UP
        && !answer.headers().get_all(header::CONNECTION).iter().any(is_close)
}

/// A head in a memory of its own, of which its values are parts.
struct HeadBuffer<'a> {
    whole: &'a [u8],
    copy: Bytes,
}

impl HeadBuffer<'_> {
    fn headers(&self, parsed: &[httparse::Header<'_>]) -> Result<HeaderMap, HeadError> {
        let mut headers = HeaderMap::with_capacity(parsed.len());
        for httparse::Header { name, value } in parsed {
            let name = HeaderName::from_str(name).map_err(|_| HeadError::Header)?;
            let at = value.as_ptr() as usize - self.whole.as_ptr() as usize;
            let value = if value.is_empty() { Bytes::new() } else { self.copy.slice(at..at + value.len()) };
            headers.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| HeadError::Header)?);
        }
        Ok(headers)
    }
}

/// Why bytes are no head of an answer, or a request cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeadError {
    #[error("the request names no server")]
    NoServer,
    #[error("an empty line instead of an answer")]
    EmptyLine,
    #[error("not an answer of HTTP/1: {0}")]
    Malformed(httparse::Error),
    #[error("an answer of status {0}")]
    Status(u16),
    #[error("an answer with a header that is none")]
    Header,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(uri: &str, default_port: u16) -> String {
        let request = Request::get(uri).header(header::RANGE, "bytes=0-9").header("x-a", "b").body(()).unwrap();
        String::from_utf8(WireRequest::of(&request, default_port).unwrap().bytes).unwrap()
    }

    #[test]
    fn a_request_is_written_as_a_server_takes_it() {
        let rest = "range: bytes=0-9\r\nx-a: b\r\n\r\n";
        let sent = outgoing("http://10.0.0.1:8080/3,01637037d6", 80);
        assert_eq!(sent, format!("GET /3,01637037d6 HTTP/1.1\r\nhost: 10.0.0.1:8080\r\n{rest}"));
        assert_eq!(outgoing("http://a:80/b?c=d", 80), format!("GET /b?c=d HTTP/1.1\r\nhost: a\r\n{rest}"));
        assert_eq!(outgoing("http://a:80", 443), format!("GET / HTTP/1.1\r\nhost: a:80\r\n{rest}"));
        assert_eq!(outgoing("http://[::1]:8080/b", 80), format!("GET /b HTTP/1.1\r\nhost: [::1]:8080\r\n{rest}"));
        let nowhere = Request::get("/b").body(()).unwrap();
        assert_eq!(WireRequest::of(&nowhere, 80).err(), Some(HeadError::NoServer));
    }

    #[test]
    fn a_head_is_read_when_all_of_it_is_here() {
        let bytes = b"HTTP/1.1 206 Partial Content\r\nETag: \"0a1b2c3d\"\r\nX-Empty:\r\nContent-Length: 5\r\n\r\nhello";
        let head = bytes.len() - 5;
        for end in 0..head {
            assert!(Head::parse(&bytes[..end]).unwrap().is_none(), "{end}");
        }
        let parsed = Head::parse(bytes).unwrap().unwrap();
        assert_eq!((parsed.len, parsed.answer.status()), (head, StatusCode::PARTIAL_CONTENT));
        assert_eq!(parsed.answer.headers()[header::ETAG], "\"0a1b2c3d\"");
        assert_eq!(parsed.answer.headers()["x-empty"], "");
        assert!(allows_another(&parsed.answer) && !parsed.is_informational());
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let parse = |bytes: &[u8]| Head::parse(bytes).map(drop).unwrap_err();
        assert_eq!(parse(b"\r\nHTTP/1.1 200 OK\r\n\r\n"), HeadError::EmptyLine);
        assert_eq!(parse(b"HTTP/2 200 OK\r\n\r\n"), HeadError::Malformed(httparse::Error::Version));
        assert_eq!(parse(b"HTTP/1.1 099 OK\r\n\r\n"), HeadError::Status(99));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(HEADERS + 1));
        assert_eq!(parse(many.as_bytes()), HeadError::Malformed(httparse::Error::TooManyHeaders));
    }

    #[test]
    fn a_server_may_end_the_connection() {
        let another = |head: &str| allows_another(&Head::parse(head.as_bytes()).unwrap().unwrap().answer);
        assert!(another("HTTP/1.1 200 OK\r\n\r\n"));
        assert!(!another("HTTP/1.1 499 status code 499\r\nContent-Length: 0\r\n\r\n"), "it would answer so at once");
        assert!(!another("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"));
        assert!(!another("HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n"));
        assert!(!another("HTTP/1.1 200 OK\r\nConnection: a\r\nConnection: keep-alive , close\r\n\r\n"));
    }
}
