//! The body of a request, of which the rest is thrown away when nobody wants it.
//!
//! A client that is answered in the middle of its upload may go on sending, and reads the answer when it has sent all. To
//! close the connection with bytes in it that were not read resets it, and to reset a stream of HTTP/2 ends it: either way
//! the answer may be lost. So what still comes is read for a while.
//!
//! Knows when a body is over. Must not know what is in it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, Request, Version, header::EXPECT};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{
    runtime::Handle,
    time::{Instant, timeout, timeout_at},
};

use super::BoxError;

/// How long what nobody wants is read.
pub(crate) const LINGER: Duration = Duration::from_secs(30);
/// How long a client may send nothing meanwhile.
pub(crate) const LINGER_PAUSE: Duration = Duration::from_secs(5);
/// How much of it is read, bytes.
pub(crate) const LINGER_BYTES: u64 = 1 << 30;

/// What a client sends beside the head of its request. Dropped before its end it goes on being read, for 30 seconds and 1 GiB
/// at most, and as long as the client pauses for no more than 5 seconds.
pub struct RequestBody {
    /// `None`: it has ended, or broken off.
    body: Option<Incoming>,
    /// The client waits to be asked for the body, which it is when the body is first polled.
    waits: bool,
    /// It comes in frames, of which the last says so.
    is_framed: bool,
    /// Is told when all of the body has come.
    whole: Option<Told>,
}

/// Whoever wants to know of something that may happen once.
pub(crate) type Told = Box<dyn FnOnce() + Send>;

impl RequestBody {
    /// Nothing beside a head.
    pub(crate) fn none() -> Self {
        Self { body: None, waits: false, is_framed: false, whole: None }
    }

    /// The same request with a body that is read to its end. `whole` is told when all of it has come, if it does.
    pub(crate) fn of(request: Request<Incoming>, whole: Option<Told>) -> Request<Self> {
        let (parts, body) = request.into_parts();
        let (waits, is_framed) = (waits_to_be_asked(&parts.headers), parts.version == Version::HTTP_2);
        Request::from_parts(parts, Self { body: Some(body), waits, is_framed, whole })
    }
}

fn waits_to_be_asked(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.waits = false;
        let is_framed = self.is_framed;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            // Its stream was reset, and the client calls that no error (as Envoy does whose own client has left). To hyper it is
            // an end, and half an upload would be taken for all of it.
            None if is_framed && !body.is_end_stream() => {
                Some(Err(io::Error::from(io::ErrorKind::ConnectionReset).into()))
            }
            frame => frame.map(|frame| frame.map_err(BoxError::from)),
        };
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        if frame.is_none()
            && let Some(whole) = self.whole.take()
        {
            whole();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // Whoever waits to be asked need not send, and must not be asked for what will be thrown away.
        if self.waits {
            return;
        }
        if self.is_end_stream() {
            if let (Some(_), Some(whole)) = (&self.body, self.whole.take()) {
                whole();
            }
            return;
        }
        if let (Some(body), Ok(runtime)) = (self.body.take(), Handle::try_current()) {
            let whole = self.whole.take();
            runtime.spawn(async move {
                if let (true, Some(whole)) = (throw_away(body).await, whole) {
                    whole();
                }
            });
        }
    }
}

/// Reads to the end, to the bounds, or to the client's leaving. Memory is held for what comes at once only. Answers whether
/// it was the end.
async fn throw_away<B: Body + Unpin>(mut body: B) -> bool {
    let until = Instant::now() + LINGER;
    let mut left = LINGER_BYTES;
    loop {
        let frame = match timeout_at(until, timeout(LINGER_PAUSE, body.frame())).await {
            Ok(Ok(Some(Ok(frame)))) => frame,
            Ok(Ok(None)) => return true,
            _ => return false,
        };
        let length = frame.data_ref().map_or(0, |data| data.remaining() as u64);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};
    use http_body_util::StreamBody;
    use tokio::time::sleep;

    use super::*;

    /// Throws away so many pieces of that many bytes that come after a pause each; answers how long it took.
    async fn thrown_away(pieces: usize, bytes: usize, pause: Duration) -> Duration {
        let piece = Bytes::from(vec![0; bytes]);
        let coming = stream::iter(0..pieces).then(move |_| {
            let piece = piece.clone();
            async move {
                sleep(pause).await;
                Ok::<_, Infallible>(Frame::data(piece))
            }
        });
        let begun = Instant::now();
        throw_away(StreamBody::new(Box::pin(coming))).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_wants_is_read_within_bounds() {
        let second = Duration::from_secs(1);
        assert_eq!(thrown_away(10, 9, second).await, 10 * second, "to its end");
        assert_eq!(thrown_away(100, 9, second).await, LINGER, "for a while");
        assert_eq!(thrown_away(3, 9, 6 * second).await, LINGER_PAUSE, "while something comes");
        let most = usize::try_from(LINGER_BYTES).unwrap() >> 20;
        let pause = Duration::from_millis(1);
        assert_eq!(
            thrown_away(2 * most, 1 << 20, pause).await,
            (u32::try_from(most).unwrap() + 1) * pause,
            "and so much"
        );
    }
}
