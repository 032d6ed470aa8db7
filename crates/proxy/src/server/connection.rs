//! One connection: HTTP/1 or HTTP/2 on it, its requests handed to the front, its end.
//!
//! Knows hyper and the stages of a shutdown. Must not know what is served.

use std::{convert::Infallible, future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
};
use http_body_util::Either;
use hyper::{
    body::{Body as _, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    activity::{Activity, InFlight},
    fragment::RequestLines,
    heads::Heads,
    line::{Line, Protocol},
    proxied,
    serving::{HeaderNames, Serving},
    shutdown::Stage,
    socket::{CloseMode, Socket},
    stream::{self, PacedBody, StreamExecutor},
};
use crate::{
    Blame, Error,
    metrics::RefusedConnection,
    peers::{Full, Networks, Slot},
    wire::{Body, BoxError, Cutter, Front, Peer, PeerTls, RequestBody, Told},
};

/// What is said on a connection until its end.
type Conversation = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves `stream` until the client leaves, its drain stage is reached and the running answer is out, or it is cut.
///
/// What is large is in boxes that are freed when they are done with: of a connection that rests little is to be left.
pub(super) fn serve<F: Front>(
    stream: TcpStream,
    slot: Slot,
    peer: Peer,
    serving: Serving<F>,
) -> impl Future<Output = ()> + Send + 'static {
    let beginning = Box::pin(begin(stream, slot, peer, serving));
    async move {
        if let Some(conversation) = beginning.await {
            conversation.await;
        }
    }
}

/// All that comes before HTTP. `None`: it does not come to that.
async fn begin<F: Front>(
    mut stream: TcpStream,
    mut slot: Slot,
    mut peer: Peer,
    mut serving: Serving<F>,
) -> Option<Conversation> {
    // Without this a small answer waits for the client's delayed ACK.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    if let Some(proxies) = serving.proxies.clone() {
        let mut ending = serving.clone();
        let passed_on = passed_on(&mut stream, &mut slot, peer, &proxies, &serving);
        let passed_on = tokio::select! {
            biased;
            () = ending.ends_for_newcomers() => return None,
            passed_on = passed_on => passed_on,
        };
        match passed_on {
            Ok(source) => peer = source,
            Err(RefusalReason::Full(full)) => {
                drop(slot);
                serving.refuse(stream, full);
                return None;
            }
            Err(RefusalReason::Unnamed) => {
                serving.counted.refused(RefusedConnection::ProxyHeader);
                return None;
            }
        }
    }
    let socket = Box::new(Socket::new(stream, slot, serving.limits.write_timeout));
    let ending = socket.ending();
    let Some(tls) = &serving.tls else {
        return Some(Box::pin(HttpConversation::new(ending, peer, serving).run(socket, None)));
    };
    let handshake = timeout(serving.limits.header_read_timeout, TlsAcceptor::from(tls()).accept(socket));
    let stream = tokio::select! {
        biased;
        () = serving.ends_for_newcomers() => return None,
        stream = handshake => match stream {
            Ok(Ok(stream)) => Box::new(stream),
            Ok(Err(error)) => {
                serving.counted.tls_failed();
                tracing::debug!(%error, "the TLS handshake failed");
                return None;
            }
            Err(_) => {
                serving.counted.tls_failed();
                tracing::debug!("the TLS handshake took too long");
                return None;
            }
        },
    };
    let session = stream.get_ref().1;
    // The handshake ends with an error when a certificate is shown that does not hold.
    let told = PeerTls::verified(session.peer_certificates().and_then(|chain| Some(&**chain.first()?)));
    let agreed = match session.alpn_protocol() {
        Some(b"h2") => Some(Protocol::Http2),
        _ => None,
    };
    peer.tls = Some(told);
    Some(Box::pin(HttpConversation::new(ending, peer, serving).run(stream, agreed)))
}

/// Why a connection is not served that a proxy passes on, or should.
enum RefusalReason {
    /// It is not said whom it comes from.
    Unnamed,
    /// There is no place for it.
    Full(Full),
}

/// Whom a connection comes from that a proxy passes on, which `peer` must be.
///
/// # Errors
/// When it is no proxy, or does not say whom it comes from, or that one has as many connections as one peer may have.
async fn passed_on<F>(
    stream: &mut TcpStream,
    slot: &mut Slot,
    peer: Peer,
    proxies: &Networks,
    serving: &Serving<F>,
) -> Result<Peer, RefusalReason> {
    if !proxies.has(peer.client) {
        tracing::debug!(peer = %peer.client, "a connection past the proxies is closed");
        return Err(RefusalReason::Unnamed);
    }
    match proxied::source(stream, serving.limits.header_read_timeout).await {
        Ok(None) => Ok(peer),
        Ok(Some(source)) => {
            slot.pass_to(source.ip()).map_err(RefusalReason::Full)?;
            Ok(peer.proxied(source))
        }
        Err(error) => {
            tracing::debug!(peer = %peer.client, %error, "a connection without a header of the PROXY protocol is closed");
            Err(RefusalReason::Unnamed)
        }
    }
}

/// HTTP on a connection that is set up.
struct HttpConversation<F> {
    ending: CloseMode,
    peer: Peer,
    serving: Serving<F>,
    activity: Arc<Activity>,
    lines: Arc<RequestLines>,
    /// When it is too old.
    age: Pin<Box<Sleep>>,
    /// Ends it, where one answer at a time is all of it.
    cutter: Cutter,
}

/// A connection of HTTP/1 that waits for its next request for so long is put aside, its buffers freed.
const REST: Duration = Duration::from_secs(1);
/// How long a client of HTTP/2 that was told to go may take.
const GOODBYE: Duration = Duration::from_secs(5);

impl<F: Front> HttpConversation<F> {
    fn new(ending: CloseMode, peer: Peer, serving: Serving<F>) -> Box<Self> {
        let activity = Activity::new(Heads::new(&serving.heads), Arc::clone(&serving.counted));
        let age = Box::pin(sleep(serving.limits.max_age));
        let lines = Arc::default();
        Box::new(Self { ending, peer, serving, activity, lines, age, cutter: Cutter::default() })
    }

    /// Until it has ended. What is spoken is told by the first bytes, where the two have not `agreed` on it before.
    async fn run<S>(mut self: Box<Self>, stream: S, agreed: Option<Protocol>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut line = Line::new(stream, Arc::clone(&self.activity), Arc::clone(&self.lines));
        // Who connects comes with a request.
        let mut patience = self.serving.limits.header_read_timeout.min(self.serving.limits.idle_timeout);
        loop {
            let begun = tokio::select! {
                biased;
                () = self.serving.ends_for_newcomers() => return self.close(line).await,
                () = &mut self.age => return self.close(line).await,
                begun = timeout(patience, line.begin()) => begun,
            };
            match begun {
                Err(_) => return self.close(line).await,
                Ok(Ok(None)) => return,
                Ok(Err(error)) => return tracing::debug!(%error, "connection ended"),
                Ok(Ok(Some(spoken))) => match agreed.unwrap_or(spoken) {
                    Protocol::Http2 => return Box::pin(self.http2(line)).await,
                    Protocol::Http1 => match Box::pin(self.http1(line)).await {
                        Some(resting) => line = resting,
                        None => return,
                    },
                },
            }
            patience = self.serving.limits.idle_timeout.saturating_sub(REST);
            self.serving.newcomers_grace = Duration::ZERO;
        }
    }

    /// HTTP/1 until it has ended, or waits for its next request.
    async fn http1<S>(&mut self, line: Line<S>) -> Option<Line<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.serving.limits;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read_timeout)
            .max_buf_size(limits.max_header_bytes.max(MIN_HTTP1_BUFFER))
            .max_headers(MOST_HEADERS)
            .title_case_headers(self.serving.names == HeaderNames::LikeGo);
        let service = self.service();
        let mut connection = builder.serve_connection(TokioIo::new(line), service_fn(service));
        match self.drive(Pin::new(&mut connection), REST, Activity::rests_for).await {
            Pause::Ended => None,
            Pause::Waits => {
                let parts = connection.into_parts();
                Some(parts.io.into_inner().resumed(&parts.read_buf))
            }
        }
    }

    /// HTTP/2 until it has ended.
    async fn http2<S>(&mut self, line: Line<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.serving.limits;
        let mut builder = http2::Builder::new(StreamExecutor { write_timeout: limits.write_timeout });
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.header_read_timeout)
            .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
            .max_concurrent_streams(limits.max_streams)
            .max_pending_accept_reset_streams(MOST_RESETS)
            .max_local_error_reset_streams(MOST_RESETS);
        let (idle, max_header_bytes) = (limits.idle_timeout, limits.max_header_bytes);
        let service = self.service();
        let mut connection = std::pin::pin!(
            builder.serve_connection(TokioIo::new(line.of_http2(max_header_bytes)), service_fn(service))
        );
        if matches!(self.drive(connection.as_mut(), idle, Activity::idles_for).await, Pause::Ended) {
            return;
        }
        connection.as_mut().finish();
        while timeout(GOODBYE, self.drive(connection.as_mut(), FOREVER, Activity::idles_for)).await.is_err() {
            if self.activity.running() == 0 {
                return;
            }
        }
    }

    /// Runs `connection` until it has ended, or `waits` says that it has been waiting for `time`.
    async fn drive<C: Connection>(
        &mut self,
        mut connection: Pin<&mut C>,
        time: Duration,
        waits: fn(&Activity, Duration) -> bool,
    ) -> Pause {
        let mut look = std::pin::pin!(sleep(time));
        let mut finishing = false;
        loop {
            let stage = if finishing { Stage::Cut } else { self.serving.drains_at };
            tokio::select! {
                biased;
                result = connection.as_mut() => {
                    self.ending.linger();
                    match result {
                        Ok(()) => self.ending.disarm(),
                        Err(error) => tracing::debug!(%error, "connection ended"),
                    }
                    return Pause::Ended;
                }
                () = self.cutter.cuts() => {
                    // What the system has of it goes, too.
                    self.ending.arm();
                    return Pause::Ended;
                }
                () = self.serving.stages.reached(stage) => {
                    if self.serving.stages.at(Stage::Cut) {
                        return Pause::Ended;
                    }
                    finishing = true;
                    connection.as_mut().finish();
                }
                () = &mut self.age, if !finishing => {
                    finishing = true;
                    connection.as_mut().finish();
                }
                () = look.as_mut() => {
                    if !finishing && waits(&self.activity, time) {
                        return Pause::Waits;
                    }
                    look.as_mut().reset(Instant::now() + time);
                }
            }
        }
    }

    /// Ends a connection on which nothing is being said. What its client sends at this very moment is read, and not answered.
    async fn close<S: AsyncWrite + Unpin>(&self, mut line: Line<S>) {
        self.ending.linger();
        let _ = timeout(GOODBYE, line.shutdown()).await;
    }

    /// What answers the requests of this connection.
    fn service(&self) -> impl Fn(Request<Incoming>) -> Answer<F> + Clone + use<F> {
        let (ending, peer, activity) = (self.ending.clone(), self.peer.clone(), Arc::clone(&self.activity));
        let (front, cutter) = (Arc::clone(&self.serving.front), self.cutter.clone());
        let lines = Arc::clone(&self.lines);
        move |mut request| {
            let head = (request.version() == Version::HTTP_2).then(|| size(request.headers()));
            let fits = head.is_none_or(|bytes| activity.hold_head(bytes));
            let refusal = match (fits, lines.had_fragment(request.uri())) {
                (false, _) => Some(too_many_headers()),
                (true, true) => Some(fragment()),
                (true, false) => too_many_fields(request.headers()).or_else(|| ambiguous(request.headers())),
            };
            request.extensions_mut().insert(cutter.clone());
            let running =
                activity.begin(request.body().is_end_stream(), head.map(|bytes| if fits { bytes } else { 0 }));
            // In a box, that the connection is not as large as its largest answer in the making.
            Box::pin(answer(request, peer.clone(), Arc::clone(&front), ending.clone(), running, refusal))
        }
    }
}

/// An answer in the making.
type Answer<F> =
    Pin<Box<dyn Future<Output = Result<Response<PacedBody<Either<<F as Front>::Body, Body>>>, Infallible>> + Send>>;

/// Why a connection is not run any more.
enum Pause {
    Ended,
    /// It waits for a request.
    Waits,
}

/// A connection of hyper's.
trait Connection: Future<Output = hyper::Result<()>> {
    /// It ends when the answers that are on their way are out.
    fn finish(self: Pin<&mut Self>);
}

impl<I, B, S> Connection for http1::Connection<I, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    Self: Future<Output = hyper::Result<()>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
    S::Error: Into<BoxError>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, B, S, E> Connection for http2::Connection<I, S, E>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    Self: Future<Output = hyper::Result<()>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
    S::Error: Into<BoxError>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// hyper panics on a smaller one.
const MIN_HTTP1_BUFFER: usize = 8192;
/// The most header fields of a request; one more is answered 431. Proxies in front add theirs to a client's. A field takes some
/// hundred bytes beside its own: of 256 KiB there could be seven thousand.
const MOST_HEADERS: usize = 256;
/// Streams that a client may have reset, or have had reset for its errors, before they are forgotten: one more ends the
/// connection.
const MOST_RESETS: usize = 100;
/// Longer than any connection.
const FOREVER: Duration = Duration::from_secs(1 << 30);

/// The bytes of a header, about.
fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

/// Has the front answer, and answers 500 in its place when it panics.
async fn answer<F: Front>(
    mut request: Request<Incoming>,
    peer: Peer,
    front: Arc<F>,
    ending: CloseMode,
    running: InFlight,
    refusal: Option<Error>,
) -> Result<Response<PacedBody<Either<F::Body, Body>>>, Infallible> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let version = request.version();
    let has_body = !request.body().is_end_stream();
    let id = front.request_id(request.headers(), &peer);
    request.extensions_mut().insert(id.clone());
    if let Some(cutter) = stream::cutter() {
        request.extensions_mut().insert(cutter);
    }
    let refused = match refusal {
        Some(error) => Err(error),
        None => {
            let whole = has_body.then(|| Box::new(running.whole()) as Told);
            // The front is shared and may be left with a poisoned lock at worst; nothing of the request survives.
            let handled = AssertUnwindSafe(async { front.handle(RequestBody::of(request, whole), peer).await });
            handled.catch_unwind().await.map_err(|_panic| {
                tracing::error!(request = %id, %method, path = uri.path(), "a request ended in a panic; the trace is above");
                bug()
            })
        }
    };
    let mut response = match refused {
        Ok(response) => response.map(Either::Left),
        Err(error) => front.refusal(&error, &method, uri.path(), &id).map(Either::Right),
    };
    id.name(response.headers_mut());
    if version < Version::HTTP_11 && ends_with_the_connection(&response, &method) {
        ending.arm();
    }
    let is_refusal = response.status().is_client_error() || response.status().is_server_error();
    if is_refusal && has_body && version < Version::HTTP_2 {
        // The client may be sending still. Where it went on to its next request on the same connection, one in thirty of
        // those ended without an answer, as seen with node.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(if is_refusal { PacedBody::of_refusal } else { PacedBody::new }).map(|body| body.answers(running)))
}

/// A request of which whoever comes after us might read another host than we do, or another body. net/http refuses it
/// likewise.
fn ambiguous(headers: &HeaderMap) -> Option<Error> {
    if headers.get_all(HOST).iter().nth(1).is_some() {
        let text = "the request has more than one Host header";
        return Some(Error::new(Blame::Client, StatusCode::BAD_REQUEST, text));
    }
    // hyper minds the last coding alone, and what goes on is chunked and no more: gzip below it would be kept as content.
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    (!chunked || codings.next().is_some()).then(|| {
        let text = "the body of the request has a transfer coding besides chunked; send it without";
        Error::new(Blame::Client, StatusCode::NOT_IMPLEMENTED, text)
    })
}

/// Of HTTP/1 hyper takes no more.
fn too_many_fields(headers: &HeaderMap) -> Option<Error> {
    (headers.len() > MOST_HEADERS).then(|| {
        let text = format!("the request has more than {MOST_HEADERS} header fields");
        Error::new(Blame::Client, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text)
    })
}

fn fragment() -> Error {
    let text = "the target of the request has a fragment; a # in a name is written %23";
    Error::new(Blame::Client, StatusCode::BAD_REQUEST, text)
}

fn bug() -> Error {
    let text = "the request met a bug in tidegate; its log has a trace that the developers want to see";
    Error::new(Blame::Tidegate, StatusCode::INTERNAL_SERVER_ERROR, text).code("InternalError")
}

fn too_many_headers() -> Error {
    let text = "the headers of all requests together take too much memory";
    Error::new(Blame::Client, StatusCode::SERVICE_UNAVAILABLE, text).retry_after(Duration::from_secs(1))
}

fn ends_with_the_connection<B: http_body::Body>(response: &Response<B>, method: &Method) -> bool {
    method != Method::HEAD
        && response.body().size_hint().exact().is_none()
        && !response.headers().contains_key(CONTENT_LENGTH)
}

#[cfg(test)]
mod tests {
    use std::future::Ready;

    use super::{super::testing::FrontFn, *};

    type NoFront = FrontFn<fn(Request<RequestBody>, Peer) -> Ready<Response<Body>>>;

    fn size_of_future<T, S, A, F>(_: fn(T, S, A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_that_rests_is_small() {
        let rests = size_of_future(HttpConversation::<NoFront>::run::<Box<Socket>>);
        let bytes = rests + size_of::<HttpConversation<NoFront>>() + size_of::<Socket>() + size_of::<Activity>();
        assert!(bytes <= 3000, "{bytes} bytes, {rests} of them its future");
    }
}
