//! The streams of an HTTP/2 connection, each of which ends when its client opens no window for it.
//!
//! Its socket need not stall meanwhile: the client may well read other streams. What was handed to hyper for a stream
//! holds memory that others wait for, until the stream's task ends.
//!
//! hyper tells nobody when bytes of a stream are taken, but for asking its body for more. So body and task share a clock:
//!
//! ```text
//!   StreamExecutor: the task of one stream                  PacedBody: the body of its answer
//!     makes the clock, and lends it to whoever is   ──────▶   takes it when it is made (on HTTP/1 there is none)
//!     run in the task (a task-local)
//!                                                   ◀──────   hands on a piece, or the end: the clock runs
//!                                                   ◀──────   is asked for more, has none yet: the clock stands
//!     the clock ran for the write timeout: the
//!     task is dropped, hyper resets the stream
//! ```
//!
//! Knows when bytes are taken. Must not know what they are.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::Instant;

use super::{activity::InFlight, stall::StallTimer};
use crate::wire::{BoxError, Cutter};

tokio::task_local! {
    /// Of the stream whose task this is. HTTP/1 has none: there, the socket tells.
    static STALL_CLOCK: Arc<StallClock>;
}

/// Runs hyper's tasks, one for each stream, and ends those whose client takes no byte for the write timeout. hyper resets
/// the stream then and drops what it had buffered.
#[derive(Clone)]
pub(super) struct StreamExecutor {
    pub(super) write_timeout: Duration,
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let clock = Arc::new(StallClock::default());
        let timeout = self.write_timeout;
        tokio::spawn(async move {
            tokio::select! {
                _ = STALL_CLOCK.scope(Arc::clone(&clock), stream) => {}
                () = clock.cutter.cuts() => {}
                () = clock.lasts(timeout) => tracing::debug!("a stream is reset: its client does not read"),
            }
        });
    }
}

/// What ends the answer of the stream whose task this is. `None` on HTTP/1.
pub(super) fn cutter() -> Option<Cutter> {
    STALL_CLOCK.try_with(|clock| clock.cutter.clone()).ok()
}

/// Since when bytes lie ready that the client does not take, and whether the stream is to end whatever it does.
#[derive(Default)]
struct StallClock {
    since: Mutex<Option<Instant>>,
    cutter: Cutter,
}

impl StallClock {
    fn set(&self, since: Option<Instant>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Returns when no byte was taken for `timeout`.
    async fn lasts(&self, timeout: Duration) {
        let mut timer = StallTimer::default();
        poll_fn(|cx| timer.poll(self.since().unwrap_or_else(Instant::now) + timeout, cx)).await;
    }

    fn since(&self) -> Option<Instant> {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that notes for its stream's task when it is asked for more.
///
/// hyper hands a piece on when the client has opened a window for all before it, and then asks for the next one. So pieces
/// are small, that a slow client be not taken for one that does not read. Where the end is known, the last byte goes alone:
/// a task is over when it has handed on the last piece, taken or not, and the bytes before that one are taken by then.
pub(super) struct PacedBody<B> {
    body: B,
    clock: Option<Arc<StallClock>>,
    /// Of the body's last piece, what was not yet asked for.
    rest: Bytes,
    /// The request that this answers, until the body's end.
    _running: Option<InFlight>,
}

/// The longest refusal that nobody waits for, bytes.
const SHORT: u64 = 8 << 10;

/// The most of a body that is handed on at once, bytes: a client that takes fewer in the write timeout is cut.
const PIECE: usize = 32 << 10;

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> PacedBody<B> {
    /// The body of an answer that is made in the task of its stream, or on a connection that has no streams.
    pub(super) fn new(body: B) -> Self {
        let clock = STALL_CLOCK.try_with(Arc::clone).ok();
        Self { body, clock, rest: Bytes::new(), _running: None }
    }

    /// The body of a refusal. A short one is handed on at once and whole: a client that has seen its header may end its
    /// upload short, for which its stream is reset, and what was not on its way yet is lost.
    pub(super) fn of_refusal(body: B) -> Self {
        match body.size_hint().exact() {
            Some(length) if length <= SHORT => Self { body, clock: None, rest: Bytes::new(), _running: None },
            _ => Self::new(body),
        }
    }

    /// The request is answered when the body is dropped.
    pub(super) fn answers(mut self, running: InFlight) -> Self {
        self._running = Some(running);
        self
    }

    /// The next piece of the body, and `None` where it is no data.
    fn cut(&mut self) -> Option<Bytes> {
        let length = match self.rest.len() {
            0 => return None,
            length if length > PIECE => PIECE,
            length if length > 1 && self.body.is_end_stream() => length - 1,
            length => length,
        };
        Some(self.rest.split_to(length))
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(piece) = self.cut() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame.into_data() {
                Ok(data) => {
                    self.rest = data;
                    Frame::data(self.cut().unwrap_or_default())
                }
                Err(other) => other,
            })
        }))
    }
}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> Body for PacedBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(clock) = self.clock.clone() else { return Pin::new(&mut self.body).poll_frame(cx) };
        let outcome = self.poll_piece(cx);
        clock.set(outcome.is_ready().then(Instant::now));
        outcome
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        hint.exact().map_or(hint, |exact| SizeHint::with_exact(exact + self.rest.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use http_body_util::{BodyExt as _, Empty};
    use hyper::{body::Incoming, client::conn::http2::SendRequest, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::{
        io::duplex,
        sync::oneshot,
        time::{sleep, timeout},
    };

    use super::*;
    use crate::{
        server::testing::{held_body, once},
        wire,
    };

    const TIMEOUT: Duration = Duration::from_secs(60);
    const WINDOW: u32 = 1000;

    /// A client with a window of 1,000 bytes for each stream, of a server that answers with what `body` gives.
    async fn connect<F>(body: F) -> SendRequest<Empty<Bytes>>
    where
        F: Fn(&str) -> wire::Body + Send + Sync + 'static,
    {
        let (near, far) = duplex(64 << 10);
        let body = Arc::new(body);
        let service = service_fn(move |request: Request<Incoming>| {
            let body = Arc::clone(&body);
            async move { Ok::<_, Infallible>(Response::new(PacedBody::new(body(request.uri().path())))) }
        });
        let executor = StreamExecutor { write_timeout: TIMEOUT };
        tokio::spawn(hyper::server::conn::http2::Builder::new(executor).serve_connection(TokioIo::new(far), service));
        let (send, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .handshake(TokioIo::new(near))
            .await
            .unwrap();
        tokio::spawn(connection);
        send
    }

    /// The one answer of a server, with this body, and the client that has it.
    async fn answer(body: wire::Body) -> (SendRequest<Empty<Bytes>>, Incoming) {
        let body = once(body);
        let mut client = connect(move |_| body()).await;
        let answer = get(&mut client, "/").await;
        (client, answer)
    }

    /// Fails unless the bytes of an answer are dropped, and its client told that it is not whole.
    async fn is_cut(unread: Incoming, gone: oneshot::Receiver<()>) {
        assert!(timeout(3 * TIMEOUT, gone).await.expect("its bytes are dropped").is_err());
        assert!(unread.collect().await.is_err(), "a body that was cut never ends cleanly");
    }

    async fn get(client: &mut SendRequest<Empty<Bytes>>, path: &str) -> Incoming {
        let request = Request::get(format!("http://front.example{path}")).body(Empty::new()).unwrap();
        client.send_request(request).await.unwrap().into_body()
    }

    /// Bytes that tell when they are dropped.
    struct Watched(Vec<u8>, #[expect(dead_code, reason = "only dropped")] oneshot::Sender<()>);

    impl AsRef<[u8]> for Watched {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    /// A body of `pieces` that are as large as the window or `larger` times that, and what resolves when they are dropped.
    fn body_of(pieces: usize, larger: usize) -> (wire::Body, oneshot::Receiver<()>) {
        let (alive, gone) = oneshot::channel::<()>();
        let piece = Bytes::from_owner(Watched(vec![7; larger * WINDOW as usize], alive));
        let length = (pieces * piece.len()) as u64;
        let stream = futures_util::stream::iter(std::iter::repeat_n(piece, pieces).map(Ok));
        (wire::Body::from_stream(Some(length), stream), gone)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_not_read_ends_and_its_neighbour_goes_on() {
        let (body, mut gone) = body_of(3, 1);
        let body = once(body);
        let mut client = connect(move |path| if path == "/unread" { body() } else { wire::Body::full("fine") }).await;
        let unread = get(&mut client, "/unread").await;
        sleep(TIMEOUT - Duration::from_millis(10)).await;
        assert!(gone.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty), "not yet");
        assert_eq!(get(&mut client, "/").await.collect().await.unwrap().to_bytes(), "fine");
        sleep(Duration::from_millis(20)).await;
        is_cut(unread, gone).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_piece_is_waited_for_too() {
        let (body, gone) = body_of(1, 2);
        let (_client, unread) = answer(body).await;
        is_cut(unread, gone).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_goes_on() {
        let (body, _gone) = body_of(1, 100);
        let (_client, mut slow) = answer(body).await;
        let mut received = 0;
        while let Some(frame) = slow.frame().await {
            let bytes = frame.unwrap().into_data().unwrap().len();
            received += bytes;
            // A thousand in a second: all of it takes longer than the timeout.
            sleep(Duration::from_millis(bytes as u64)).await;
        }
        assert_eq!(received, 100 * WINDOW as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_bytes_are_long_in_coming_is_not_blamed() {
        let (body, go_on, _gone) = held_body(Some(10), "half ");
        let (_client, mut waiting) = answer(body).await;
        assert_eq!(waiting.frame().await.unwrap().unwrap().into_data().unwrap(), "half ");
        sleep(5 * TIMEOUT).await;
        go_on.send(Ok("whole")).unwrap();
        assert_eq!(waiting.collect().await.unwrap().to_bytes(), "whole");
    }

    #[test]
    fn without_a_stream_a_body_is_what_it_was() {
        let body = PacedBody::new(wire::Body::full("fine"));
        assert!(body.clock.is_none() && !body.is_end_stream());
        assert!(PacedBody::new(wire::Body::empty()).is_end_stream());
    }
}
