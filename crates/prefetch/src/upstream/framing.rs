//! Where the body of an answer ends.
//!
//! Source: RFC 9112, section 6. What it leaves to the reader is refused here: a length beside a coding, a coding other than
//! `chunked` alone, lengths in a list, spaces behind the size of a chunk, trailers, which no request asks for.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header};

/// Bytes of extensions that all chunks of one body may have together.
const EXTENSIONS: usize = 16 << 10;

/// How the end of a body is known, and how far off it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes more.
    Length(u64),
    /// After the chunk of no bytes.
    Chunked(Chunked),
    /// When the server closes the connection.
    UntilClosed,
}

/// What is next on the line of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyItem {
    /// So many bytes of the body, at most.
    Data(u64),
    /// Words between chunks.
    Words,
    /// Nothing: the body has ended.
    End,
}

impl Framing {
    /// That of the answer to a request of `method`.
    ///
    /// # Errors
    /// When its headers contradict each other, or are not understood.
    pub(super) fn of(method: &Method, answer: &Response<()>) -> Result<Self, FramingError> {
        let is_empty = matches!(answer.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if is_empty || *method == Method::HEAD {
            return Ok(Self::Length(0));
        }
        let headers = answer.headers();
        let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
        let Some(coding) = codings.next() else { return Self::of_length(headers) };
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err(FramingError::LengthAndCoding);
        }
        let is_chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        if !is_chunked || codings.next().is_some() || answer.version() != Version::HTTP_11 {
            return Err(FramingError::Coding);
        }
        Ok(Self::Chunked(Chunked::default()))
    }

    fn of_length(headers: &HeaderMap) -> Result<Self, FramingError> {
        let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter().map(digits);
        let Some(length) = lengths.next() else { return Ok(Self::UntilClosed) };
        let length = length.ok_or(FramingError::Length)?;
        if lengths.any(|other| other != Some(length)) {
            return Err(FramingError::Length);
        }
        Ok(Self::Length(length))
    }

    /// What is next.
    pub(super) fn next(&self) -> BodyItem {
        match self {
            Self::Length(0) => BodyItem::End,
            Self::Length(left) => BodyItem::Data(*left),
            Self::Chunked(chunked) => chunked.next(),
            Self::UntilClosed => BodyItem::Data(u64::MAX),
        }
    }

    /// So many bytes of the body were read, at most as many as were next.
    pub(super) fn took(&mut self, bytes: u64) {
        match self {
            Self::Length(left) => *left -= bytes,
            Self::Chunked(chunked) => chunked.took(bytes),
            Self::UntilClosed => {}
        }
    }

    /// Reads the words at the beginning of `bytes`, up to the next byte of the body or its end. How many bytes they took.
    ///
    /// # Errors
    /// When they are none.
    pub(super) fn words(&mut self, bytes: &[u8]) -> Result<usize, FramingError> {
        match self {
            Self::Chunked(chunked) => chunked.words(bytes),
            Self::Length(_) | Self::UntilClosed => Ok(0),
        }
    }

    /// The server has closed the connection: the body has ended, or ends too soon.
    ///
    /// # Errors
    /// When it does.
    pub(super) fn closed(&mut self) -> Result<(), FramingError> {
        match self {
            Self::UntilClosed => *self = Self::Length(0),
            Self::Length(0) => {}
            Self::Length(left) => return Err(FramingError::Early(*left)),
            Self::Chunked(chunked) if chunked.next() == BodyItem::End => {}
            Self::Chunked(_) => return Err(FramingError::EarlyChunk),
        }
        Ok(())
    }
}

/// A number of digits alone, which no sign and no list is.
fn digits(value: &HeaderValue) -> Option<u64> {
    let value = value.to_str().ok()?;
    if value.bytes().all(|byte| byte.is_ascii_digit()) { value.parse().ok() } else { None }
}

/// A body in chunks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chunked {
    state: State,
    /// The size of the chunk as far as it was read, then what is left of it.
    left: u64,
    extensions: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    #[default]
    Size,
    /// Behind so many of them.
    MoreSize(u8),
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    EndCr,
    EndLf,
    End,
}

impl Chunked {
    fn next(&self) -> BodyItem {
        match self.state {
            State::Data => BodyItem::Data(self.left),
            State::End => BodyItem::End,
            _ => BodyItem::Words,
        }
    }

    fn took(&mut self, bytes: u64) {
        self.left -= bytes;
        if self.left == 0 {
            self.state = State::DataCr;
        }
    }

    fn words(&mut self, bytes: &[u8]) -> Result<usize, FramingError> {
        let mut at = 0;
        while self.next() == BodyItem::Words
            && let Some(byte) = bytes.get(at)
        {
            self.state = self.step(*byte)?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, FramingError> {
        Ok(match (self.state, byte) {
            (State::Size, _) if byte.is_ascii_hexdigit() => {
                self.left = 0;
                self.digit(byte, 1)?
            }
            (State::MoreSize(digits), _) if byte.is_ascii_hexdigit() => self.digit(byte, digits + 1)?,
            (State::MoreSize(_) | State::Extension, b'\r') => State::SizeLf,
            (State::MoreSize(_), b';') => State::Extension,
            (State::Extension, b'\n') => return Err(FramingError::Chunk),
            (State::Extension, _) => {
                self.extensions += 1;
                if self.extensions >= EXTENSIONS {
                    return Err(FramingError::Extensions);
                }
                State::Extension
            }
            (State::SizeLf, b'\n') if self.left == 0 => State::EndCr,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::EndCr, b'\r') => State::EndLf,
            (State::EndCr, _) => return Err(FramingError::Trailers),
            (State::EndLf, b'\n') => State::End,
            _ => return Err(FramingError::Chunk),
        })
    }

    fn digit(&mut self, byte: u8, digits: u8) -> Result<State, FramingError> {
        let digit = char::from(byte).to_digit(16).ok_or(FramingError::Chunk)?;
        if digits > 16 {
            return Err(FramingError::Chunk);
        }
        self.left = self.left << 4 | u64::from(digit);
        Ok(State::MoreSize(digits))
    }
}

/// Why the end of a body is not known, or not where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FramingError {
    #[error("an answer with both Content-Length and Transfer-Encoding")]
    LengthAndCoding,
    #[error("an answer with a Transfer-Encoding that is not chunked")]
    Coding,
    #[error("an answer with a Content-Length that is no number, or with two")]
    Length,
    #[error("the body ended {0} bytes early")]
    Early(u64),
    #[error("the body ended before its last chunk")]
    EarlyChunk,
    #[error("a chunk of the body has no size, or does not end where it says")]
    Chunk,
    #[error("the chunks of the body have more than 16 KiB of extensions")]
    Extensions,
    #[error("the body has trailers")]
    Trailers,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framing(method: &Method, status: u16, headers: &[(&str, &str)]) -> Result<Framing, FramingError> {
        let answer = headers
            .iter()
            .fold(Response::builder().status(status), |answer, (name, value)| answer.header(*name, *value));
        Framing::of(method, &answer.body(()).unwrap())
    }

    #[test]
    fn the_headers_say_where_the_body_ends() {
        let chunked = || Ok(Framing::Chunked(Chunked::default()));
        for (headers, expected) in [
            (&[][..], Ok(Framing::UntilClosed)),
            (&[("content-length", "0")], Ok(Framing::Length(0))),
            (&[("content-length", "18446744073709551615")], Ok(Framing::Length(u64::MAX))),
            (&[("content-length", "7"), ("content-length", "7")], Ok(Framing::Length(7))),
            (&[("content-length", "7"), ("content-length", "8")], Err(FramingError::Length)),
            (&[("content-length", "7, 7")], Err(FramingError::Length)),
            (&[("content-length", "+7")], Err(FramingError::Length)),
            (&[("content-length", "")], Err(FramingError::Length)),
            (&[("content-length", "18446744073709551616")], Err(FramingError::Length)),
            (&[("transfer-encoding", "Chunked")], chunked()),
            (&[("transfer-encoding", "gzip, chunked")], Err(FramingError::Coding)),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], Err(FramingError::Coding)),
            (&[("transfer-encoding", "identity")], Err(FramingError::Coding)),
            (&[("transfer-encoding", "chunked"), ("content-length", "7")], Err(FramingError::LengthAndCoding)),
        ] {
            assert_eq!(framing(&Method::GET, 200, headers), expected, "{headers:?}");
            assert_eq!(framing(&Method::HEAD, 200, headers), Ok(Framing::Length(0)));
            assert_eq!(framing(&Method::GET, 204, headers), Ok(Framing::Length(0)));
            assert_eq!(framing(&Method::GET, 304, headers), Ok(Framing::Length(0)));
        }
        let old =
            Response::builder().version(Version::HTTP_10).header("transfer-encoding", "chunked").body(()).unwrap();
        assert_eq!(Framing::of(&Method::GET, &old), Err(FramingError::Coding));
    }

    #[test]
    fn a_body_that_ends_early_is_no_body() {
        assert_eq!(Framing::Length(7).closed(), Err(FramingError::Early(7)));
        assert_eq!(Framing::Length(0).closed(), Ok(()));
        let mut until_closed = Framing::UntilClosed;
        assert_eq!((until_closed.closed(), until_closed.next()), (Ok(()), BodyItem::End));
        for whole in ["5\r\nhello\r\n0\r\n\r\n", "0\r\n\r\n"] {
            for end in 0..whole.len() {
                let (_, framing) = read(&whole.as_bytes()[..end], &[usize::MAX]).unwrap();
                assert_eq!(framing.map(|mut framing| framing.closed()), Some(Err(FramingError::EarlyChunk)), "{end}");
            }
        }
    }

    #[test]
    fn chunks_are_read_to_the_letter() {
        let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(EXTENSIONS));
        for (bytes, expected) in [
            ("5\r\nhello\r\n0\r\n\r\n", Ok("hello")),
            ("5;a=b\r\nhello\r\n00A\r\n, you all.\r\n0;c\r\n\r\n", Ok("hello, you all.")),
            ("0\r\n\r\n", Ok("")),
            ("\r\n", Err(FramingError::Chunk)),
            ("-5\r\n", Err(FramingError::Chunk)),
            ("5 \r\nhello\r\n0\r\n\r\n", Err(FramingError::Chunk)),
            ("5\nhello\r\n0\r\n\r\n", Err(FramingError::Chunk)),
            ("5;\nhello\r\n0\r\n\r\n", Err(FramingError::Chunk)),
            ("5\r\nhello!\r\n0\r\n\r\n", Err(FramingError::Chunk)),
            ("0000000000000005\r\nhello\r\n0\r\n\r\n", Ok("hello")),
            ("00000000000000005\r\nhello\r\n0\r\n\r\n", Err(FramingError::Chunk)),
            ("0\r\nA: b\r\n\r\n", Err(FramingError::Trailers)),
            (&long, Err(FramingError::Extensions)),
        ] {
            let read = read(bytes.as_bytes(), &[1]).map(|(body, _)| String::from_utf8(body).unwrap());
            assert_eq!(read.as_deref().map_err(|error| *error), expected, "{bytes}");
        }
    }

    /// The body in `bytes`, which come in pieces, and its framing where it has not ended.
    fn read(bytes: &[u8], pieces: &[usize]) -> Result<(Vec<u8>, Option<Framing>), FramingError> {
        let (mut framing, mut body, mut bytes) = (Framing::Chunked(Chunked::default()), Vec::new(), bytes);
        for piece in pieces.iter().cycle() {
            let (mut now, rest) = bytes.split_at((*piece).clamp(1, bytes.len().max(1)).min(bytes.len()));
            bytes = rest;
            loop {
                match framing.next() {
                    BodyItem::End => return Ok((body, None)),
                    BodyItem::Words => now = &now[framing.words(now)?..],
                    BodyItem::Data(most) => {
                        let (data, rest) = now.split_at(now.len().min(usize::try_from(most).unwrap_or(usize::MAX)));
                        body.extend_from_slice(data);
                        framing.took(data.len() as u64);
                        now = rest;
                    }
                }
                if now.is_empty() && framing.next() != BodyItem::End {
                    break;
                }
            }
            if bytes.is_empty() {
                return Ok((body, Some(framing)));
            }
        }
        Ok((body, Some(framing)))
    }

    proptest! {
        #[test]
        fn chunks_in_any_pieces_are_the_body(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            pieces in prop::collection::vec(1..30_usize, 1..8),
        ) {
            let mut bytes = Vec::new();
            for chunk in &chunks {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(read(&bytes, &pieces), Ok((chunks.concat(), None)));
        }

        #[test]
        fn no_bytes_break_it(bytes in "[0-9a-f;\r\n g]{0,60}", pieces in prop::collection::vec(1..9_usize, 1..8)) {
            let whole = read(bytes.as_bytes(), &[usize::MAX]);
            prop_assert_eq!(read(bytes.as_bytes(), &pieces), whole);
        }
    }

    #[test]
    fn a_server_may_close_behind_the_last_chunk_and_not_before() {
        let mut framing = Framing::Chunked(Chunked::default());
        let mut words = &b"0\r\n\r\n"[..];
        while framing.next() == BodyItem::Words && !words.is_empty() {
            assert_eq!(framing.closed(), Err(FramingError::EarlyChunk));
            let read = framing.words(&words[..1]).unwrap();
            words = &words[read..];
        }
        assert_eq!((framing.next(), framing.closed()), (BodyItem::End, Ok(())));
    }
}
