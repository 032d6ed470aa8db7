//! The body of every answer that the daemon gives.
//!
//! Knows how bytes are handed to the connection, and that a body which ends before its length is a failure. Must not
//! know where the bytes come from.

use std::{
    fmt,
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

/// What a body fails with. It is never shown to the client: a failed body cuts the connection.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

type BoxStream = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>;

/// An answer's body: nothing, one piece, a stream of pieces, or the filer's own body passed on.
///
/// A stream is boxed once; its pieces are handed on as they are.
pub struct Body(Kind);

enum Kind {
    Empty,
    Full(Bytes),
    Stream {
        stream: BoxStream,
        left: Option<u64>,
    },
    Incoming {
        body: Incoming,
        patience: Patience,
        /// Only kept: whoever handed it over learns from its drop that the body is done with.
        _held: Option<Box<dyn Send>>,
    },
    /// Has failed. Polled again it fails again: a failure must never turn into a clean end.
    Failed,
}

impl Body {
    /// A body of no bytes.
    pub fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// A body of one piece.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::empty() } else { Self(Kind::Full(bytes)) }
    }

    /// A body that yields the pieces of `stream`, which must add up to `length` bytes where that is known.
    ///
    /// A stream that gives fewer or more bytes fails, and cuts the connection; one that has given `length` bytes is
    /// not asked again. Dropping the body drops the stream.
    pub fn from_stream<S>(length: Option<u64>, stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
    {
        Self(Kind::Stream { stream: Box::pin(stream), left: length })
    }

    /// The body of another server's answer, passed on. It fails when that server pauses for `patience` while more of it is
    /// wanted. `held` is dropped with it.
    pub fn incoming(body: Incoming, patience: Duration, held: Option<Box<dyn Send>>) -> Self {
        Self(Kind::Incoming { body, patience: Patience::new(patience), _held: held })
    }
}

/// How long may be waited, from the moment that somebody begins to wait.
struct Patience {
    time: Duration,
    waiting: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn new(time: Duration) -> Self {
        Self { time, waiting: false, timer: None }
    }

    /// What was waited for is there.
    fn renew(&mut self) {
        self.waiting = false;
    }

    /// Ready when it is over.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.time)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(Instant::now() + self.time);
        }
        timer.as_mut().poll(cx)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::full(text)
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Empty => "Body::Empty",
            Kind::Full(_) => "Body::Full",
            Kind::Stream { .. } => "Body::Stream",
            Kind::Incoming { .. } => "Body::Incoming",
            Kind::Failed => "Body::Failed",
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let outcome = match &mut self.0 {
            Kind::Empty => None,
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Some(Ok(Frame::data(bytes)))
            }
            Kind::Stream { left: Some(0), .. } => None,
            Kind::Stream { stream, left } => counted(ready!(stream.as_mut().poll_next(cx)), left),
            Kind::Incoming { body, patience, .. } => match Pin::new(body).poll_frame(cx) {
                Poll::Ready(frame) => {
                    patience.renew();
                    frame.map(|frame| frame.map_err(BoxError::from))
                }
                Poll::Pending => {
                    ready!(patience.poll_over(cx));
                    Some(Err(io::Error::new(io::ErrorKind::TimedOut, "the body stands still").into()))
                }
            },
            Kind::Failed => Some(Err(wrong_length("the body has failed already"))),
        };
        if let Some(Err(_)) = outcome {
            self.0 = Kind::Failed;
        }
        Poll::Ready(outcome)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Stream { left, .. } => *left == Some(0),
            Kind::Incoming { body, .. } => body.is_end_stream(),
            Kind::Full(_) | Kind::Failed => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream { left: Some(left), .. } => SizeHint::with_exact(*left),
            Kind::Incoming { body, .. } => body.size_hint(),
            Kind::Stream { left: None, .. } | Kind::Failed => SizeHint::default(),
        }
    }
}

/// Turns the stream's next item into a frame, and holds the stream to its promised length.
fn counted(item: Option<Result<Bytes, BoxError>>, left: &mut Option<u64>) -> Option<Result<Frame<Bytes>, BoxError>> {
    match (item, left) {
        (None, Some(_)) => Some(Err(wrong_length("the body ended before its length"))),
        (None, None) => None,
        (Some(Ok(bytes)), Some(left)) => match left.checked_sub(bytes.len() as u64) {
            Some(rest) => {
                *left = rest;
                Some(Ok(Frame::data(bytes)))
            }
            None => Some(Err(wrong_length("the body went on past its length"))),
        },
        (Some(item), _) => Some(item.map(Frame::data)),
    }
}

fn wrong_length(what: &'static str) -> BoxError {
    io::Error::new(io::ErrorKind::InvalidData, what).into()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body::Body as _;
    use http_body_util::BodyExt as _;

    use super::*;

    fn pieces(parts: &[&'static str]) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static {
        stream::iter(parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn a_full_body_is_one_frame() {
        let body = Body::full("hello");
        assert_eq!(body.size_hint().exact(), Some(5));
        assert!(!body.is_end_stream());
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
        assert!(Body::full("").is_end_stream());
    }

    #[tokio::test]
    async fn a_stream_of_the_promised_length_ends_cleanly() {
        let body = Body::from_stream(Some(6), pieces(&["abc", "def"]));
        assert_eq!(body.size_hint().exact(), Some(6));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abcdef");
    }

    #[tokio::test]
    async fn a_stream_is_not_polled_past_its_length() {
        let stream = stream::iter([Ok(Bytes::from_static(b"abc")), Err("not reached".into())]);
        assert_eq!(Body::from_stream(Some(3), stream).collect().await.unwrap().to_bytes(), "abc");
    }

    #[tokio::test]
    async fn a_short_stream_fails_and_stays_failed() {
        let mut body = Body::from_stream(Some(7), pieces(&["abc", "def"]));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "def");
        assert!(body.frame().await.unwrap().is_err());
        assert!(!body.is_end_stream());
        assert!(body.frame().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_long_stream_fails_without_giving_the_excess() {
        let mut body = Body::from_stream(Some(4), pieces(&["abc", "def"]));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        assert!(body.frame().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_stream_of_unknown_length_ends_where_it_ends() {
        let body = Body::from_stream(None, pieces(&["abc", "de"]));
        assert_eq!(body.size_hint().exact(), None);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abcde");
    }
}
