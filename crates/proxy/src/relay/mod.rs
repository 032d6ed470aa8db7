//! Passes a request on to a filer or an S3 gateway and the answer back, both as they are.
//!
//! Knows HTTP between two hops: which headers end at each, when a body may be read, whose fault a failure is. Must not
//! know why a request is relayed, nor look into a body.

mod expect;
mod far_side;
mod headers;
mod progress;
#[cfg(test)]
mod tests;
mod upload;

use std::{error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{AUTHORIZATION, EXPECT, HOST, USER_AGENT},
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body as _;
use http_body_util::{BodyExt as _, BodyStream, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio::time::{Instant, sleep, timeout_at};

use self::{
    expect::Gate,
    far_side::FarSide,
    progress::{Progress, Wait},
    upload::{ClientGone, UnreadBody, Upload},
};
use crate::{
    Blame, Error, Result,
    metrics::{FilerQuestion, Filers},
    wire::{Body, BoxError, Peer, RelayedAnswer, RequestBody, SERVER},
};

type Http = Client<HttpsConnector<HttpConnector>, Upload>;

/// Relays over pooled HTTP/1.1 connections. Cheap to share behind an `Arc`.
pub struct Relay {
    client: Http,
    /// The same without a pool: a new connection for each request.
    anew: Http,
    scheme: Scheme,
    far_side: FarSide,
    progress_timeout: Duration,
    /// `None`: nobody counts.
    counted: Option<Arc<Filers>>,
}

/// The filer gives a connection up after 10 s without a request. It is us who close, well before: a request never meets a
/// connection that the filer has just given up.
const IDLE: Duration = Duration::from_secs(5);
/// Idle connections kept for each filer.
const IDLE_CONNECTIONS: usize = 64;
/// Header fields of a filer's answer. hyper's own limit of 100 is less than an object with metadata may have.
const HEADERS: usize = 1024;
/// When the client should ask again after a filer could not be reached.
const RETRY: Duration = Duration::from_secs(1);
/// How long a filer may take for an answer until it is asked on a new connection as well, where that changes nothing: the
/// one in use may be to a machine that is gone.
const ANEW: Duration = Duration::from_secs(5);
/// How often the system asks whether the other machine is still there, on a connection where nothing is sent.
const TCP_PROBES: Duration = Duration::from_secs(5);

/// The longest answer to a probe, bytes.
const PROBED: usize = 16 << 10;

impl Relay {
    /// A relay to filers, that gives up on one which has not accepted a connection within `connect_timeout`, and on an exchange
    /// in which neither side has got on for `progress_timeout`. With `tls` it speaks HTTPS.
    ///
    /// # Errors
    /// When TLS cannot be set up at all.
    pub fn new(
        connect_timeout: Duration,
        progress_timeout: Duration,
        tls: Option<ClientConfig>,
    ) -> Result<Self, rustls::Error> {
        Self::to(FarSide::Filers(headers::Via::new()), connect_timeout, progress_timeout, tls)
    }

    /// The same to S3 gateways.
    ///
    /// # Errors
    /// When TLS cannot be set up at all.
    pub fn to_gateways(
        connect_timeout: Duration,
        progress_timeout: Duration,
        tls: Option<ClientConfig>,
    ) -> Result<Self, rustls::Error> {
        Self::to(FarSide::Gateways, connect_timeout, progress_timeout, tls)
    }

    fn to(
        far_side: FarSide,
        connect_timeout: Duration,
        progress_timeout: Duration,
        tls: Option<ClientConfig>,
    ) -> Result<Self, rustls::Error> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        connector.set_keepalive(Some(TCP_PROBES));
        connector.set_keepalive_interval(Some(TCP_PROBES));
        connector.set_keepalive_retries(Some(2));
        // Not less: it counts also while a filer that lives takes no more of a body.
        connector.set_tcp_user_timeout(Some(progress_timeout));
        connector.enforce_http(false);
        let scheme = if tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let tls = tls.map_or_else(no_tls, Ok)?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let client = |idle| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(idle)
                .http1_max_headers(HEADERS)
                // Only what was never written to a connection is sent again by the pool.
                .retry_canceled_requests(true)
                .build(connector.clone())
        };
        let (client, anew) = (client(IDLE_CONNECTIONS), client(0));
        Ok(Self { client, anew, scheme, far_side, progress_timeout, counted: None })
    }

    /// The same, and `filers` are told how long they took.
    #[must_use]
    pub(crate) fn counted(self, filers: Arc<Filers>) -> Self {
        Self { counted: Some(filers), ..self }
    }

    /// Passes `request` on to the filer at `authority` (`host:port`) and its answer back. See [`Relay::forward_to_any`].
    ///
    /// # Errors
    /// The same.
    pub async fn forward(&self, request: Request<RequestBody>, authority: &str, peer: &Peer) -> Result<Response<Body>> {
        self.forward_to_any(request, || std::iter::once(authority), peer).await
    }

    /// Passes `request` on to the first of the filers (`host:port`, in the order of `authorities`) that takes a connection,
    /// and its answer back. As long as none has, nothing was sent, and the next may be tried whatever the request is.
    ///
    /// Path and query go as the client wrote them; headers that concern one hop only do not go. Bodies stream, read
    /// no faster than the other side takes them. A client that leaves ends the request at the filer, and a filer that
    /// leaves in the middle of its answer cuts the client's connection. A request is sent a second time only when it
    /// changes nothing (GET, HEAD, OPTIONS) and has no body: on a new connection, to whoever is first by then, when the
    /// filer closed the connection without an answer, or has not answered for five seconds.
    ///
    /// # Errors
    /// Blame is the filer's: 503 when none can be reached, 502 when one left without an answer, 504 when nothing got on for
    /// the progress timeout. The client's: 400 when its body broke off or its target is no path, 408 when nothing came of it
    /// for the progress timeout, 405 for CONNECT. The configuration's: 508 when the filer's address leads back here, 500 when
    /// it is not `host:port`.
    pub async fn forward_to_any<'a, A: Iterator<Item = &'a str>>(
        &self,
        request: Request<RequestBody>,
        authorities: impl Fn() -> A,
        peer: &Peer,
    ) -> Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        if parts.method == Method::CONNECT {
            return Err(Error::new(Blame::Client, StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not served here"));
        }
        if self.far_side.sees_loop(&parts.headers) {
            return Err(Error::new(
                Blame::Config,
                StatusCode::LOOP_DETECTED,
                "the request came back to where it was relayed from: filer.addresses must name the filer, not tidegate",
            ));
        }
        if parts.uri.path() == "*" {
            return about_the_server(&parts.method);
        }
        if parts.uri.scheme().is_none() && parts.uri.authority().is_some() {
            // The HTTP library takes it for a host, of which the filer would get the root.
            return Err(Error::new(Blame::Client, StatusCode::BAD_REQUEST, "a path begins with a slash"));
        }
        let replayable = replayable(&parts.method, &body);
        let expects = wants_continue(&parts, &body);
        let may_break_off = !expects && !body.is_end_stream();
        let unread = UnreadBody::new(body);
        let again = || {
            let first = authorities().next().ok_or_else(|| self.nobody())?;
            self.addressed(&parts, first, peer, Upload::none())
        };
        let mut unreachable = None;
        for authority in authorities() {
            let (gate, progress) = (expects.then(Gate::new), Progress::begin());
            let Some(upload) = unread.upload(gate.as_ref().map(Gate::watch), progress.clone()) else { break };
            let request = self.addressed(&parts, authority, peer, upload)?;
            let begin = Instant::now();
            let answer = async {
                if replayable { self.ask_twice(request, again).await } else { self.ask(request, gate.as_ref()).await }
            };
            let answer = tokio::select! {
                biased;
                answer = answer => answer,
                waits = progress.stalls(self.progress_timeout) => {
                    return Err(self.stalled(waits, &parts.method, authority));
                }
            };
            if let (Some(counted), true) = (&self.counted, answer.is_ok()) {
                counted.answered(authority, FilerQuestion::Relay, begin.elapsed());
            }
            match answer {
                Ok(response) if may_break_off && refuses(&response) => {
                    return Ok(refused(response, self.progress_timeout).await);
                }
                Ok(response) => return Ok(returned(response, gate, self.progress_timeout)),
                Err(error) => {
                    let is_connect = error.is_connect();
                    let failed = self.failed(error, &parts.method, authority);
                    if !is_connect {
                        return Err(failed);
                    }
                    unreachable = Some(failed);
                }
            }
        }
        Err(unreachable.unwrap_or_else(|| self.nobody()))
    }

    /// What the filer at `authority` answers to a HEAD of `path` with `authorization`, in tidegate's own name. A filer's
    /// answer in words, where there is none, is for the log.
    ///
    /// # Errors
    /// When it cannot be reached, or leaves without an answer.
    pub(crate) async fn head(
        &self,
        authority: &str,
        path: &'static str,
        authorization: Option<HeaderValue>,
    ) -> std::result::Result<StatusCode, String> {
        let authorization = authorization.map(|value| (AUTHORIZATION, value));
        let answer = self.ask_in_own_name(Method::HEAD, authority, Uri::from_static(path), authorization).await?;
        Ok(answer.status())
    }

    /// What the server at `authority` answers to a GET of `path` that nobody signed, with `host` in the place of its own name,
    /// in tidegate's own name. Of the body 16 KiB are read. An answer in words, where there is none, is for the log.
    ///
    /// # Errors
    /// When it cannot be reached, leaves without an answer, or answers more.
    pub(crate) async fn probe(
        &self,
        authority: &str,
        path: &str,
        host: Option<&str>,
    ) -> std::result::Result<Response<Bytes>, String> {
        let uri: Uri = path.parse().map_err(|_| format!("{path} is no path"))?;
        let host =
            host.map(|host| HeaderValue::from_str(host).map_err(|_| format!("{host} is no host"))).transpose()?;
        let answer = self.ask_in_own_name(Method::GET, authority, uri, host.map(|host| (HOST, host))).await?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, PROBED).collect().await.map_err(|error| error.to_string())?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }

    /// Sends a request of tidegate's own, with one header more.
    async fn ask_in_own_name(
        &self,
        method: Method,
        authority: &str,
        path: Uri,
        header: Option<(HeaderName, HeaderValue)>,
    ) -> std::result::Result<Response<Incoming>, String> {
        let uri = addressed_to(&path, &self.scheme, authority, self.far_side.setting());
        let mut request = Request::new(Upload::none());
        *request.method_mut() = method;
        *request.uri_mut() = uri.map_err(|error| error.to_string())?;
        request.headers_mut().insert(USER_AGENT, SERVER);
        request.headers_mut().extend(header);
        // On a connection of its own: it is about the server as it is now.
        self.anew.request(request).await.map_err(|error| chain(&error))
    }

    /// Whether filers are spoken to over TLS.
    pub(crate) fn is_over_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Sends a request to one filer.
    async fn ask(&self, mut request: Request<Upload>, gate: Option<&Gate>) -> Answer {
        if let Some(gate) = gate {
            gate.open_on_continue(&mut request);
        }
        self.client.request(request).await
    }

    /// Sends a request to one filer, and `again` on a new connection if it was lost on an old one, or is late.
    async fn ask_twice(&self, request: Request<Upload>, again: impl Fn() -> Result<Request<Upload>>) -> Answer {
        let mut first = std::pin::pin!(self.client.request(request));
        let is_lost = tokio::select! {
            biased;
            answer = &mut first => match answer {
                Err(error) if !error.is_connect() => {
                    tracing::debug!(%error, "asking the filer again on another connection");
                    Some(error)
                }
                answer => return answer,
            },
            () = sleep(ANEW) => None,
        };
        let second = async {
            match again() {
                Ok(request) => Some(self.anew.request(request).await),
                Err(_) => None,
            }
        };
        if let Some(error) = is_lost {
            return second.await.unwrap_or(Err(error));
        }
        let mut second = std::pin::pin!(second);
        tokio::select! {
            biased;
            answer = &mut first => match answer {
                Ok(answer) => Ok(answer),
                Err(error) => second.await.unwrap_or(Err(error)),
            },
            answer = &mut second => match answer {
                Some(Ok(answer)) => Ok(answer),
                _ => first.await,
            },
        }
    }

    /// The request as the filer at `authority` is to have it.
    fn addressed(&self, head: &Parts, authority: &str, peer: &Peer, body: Upload) -> Result<Request<Upload>> {
        let mut head = head.clone();
        let uri = addressed_to(&head.uri, &self.scheme, authority, self.far_side.setting())?;
        self.far_side.prepare(&mut head, uri, authority, peer)?;
        Ok(Request::from_parts(head, body))
    }
}

/// What came of a request to one filer.
type Answer = std::result::Result<Response<Incoming>, hyper_util::client::legacy::Error>;

/// `OPTIONS *` asks about a server, not about a path, and no request to the filer can be made of it. Go's server
/// answers it on the filer's behalf in the same way: 200, empty.
fn about_the_server(method: &Method) -> Result<Response<Body>> {
    if method == Method::OPTIONS {
        return Ok(Response::new(Body::empty()));
    }
    Err(Error::new(Blame::Client, StatusCode::BAD_REQUEST, "the path * is for OPTIONS only"))
}

/// What stands in the connector's place for TLS where none is spoken: it trusts nobody.
fn no_tls() -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// The client's path and query, byte for byte, at the server that `setting` names.
fn addressed_to(uri: &Uri, scheme: &Scheme, authority: &str, setting: &str) -> Result<Uri> {
    let misconfigured = || {
        let text = format!("an address in {setting} is not host:port");
        Error::new(Blame::Config, StatusCode::INTERNAL_SERVER_ERROR, text)
    };
    let authority: Authority = authority.parse().map_err(|_| misconfigured())?;
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme.clone());
    parts.authority = Some(authority);
    parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|_| misconfigured())
}

/// Whether sending the request twice does the same as sending it once.
fn replayable(method: &Method, body: &RequestBody) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && body.is_end_stream()
}

fn wants_continue(parts: &Parts, body: &RequestBody) -> bool {
    let asks = |headers: &HeaderMap| {
        headers.get(EXPECT).is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    };
    !body.is_end_stream() && asks(&parts.headers)
}

/// The filer's answer as the client's. Its body may pause for `patience`.
fn returned(response: Response<Incoming>, gate: Option<Gate>, patience: Duration) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    headers::end_hop(&mut parts.headers);
    // The version is that of the filer's hop; ours is the connection's.
    parts.version = Version::HTTP_11;
    parts.extensions.insert(RelayedAnswer);
    let held = gate.map(|gate| {
        gate.answered();
        Box::new(gate) as Box<dyn Send>
    });
    Response::from_parts(parts, Body::incoming(body, patience, held))
}

/// Whether the filer may have answered before it had the whole body: its connection ends soon then.
fn refuses(response: &Response<Incoming>) -> bool {
    let is_short = response.body().size_hint().exact().is_some_and(|length| length <= REFUSAL);
    is_short && (response.status().is_client_error() || response.status().is_server_error())
}

/// The longest refusal that is read before it is passed on, bytes.
const REFUSAL: u64 = 64 << 10;
/// How long its body may take.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

/// A refusal as one piece: a client of HTTP/2 that has the header may end its upload short, at which its stream is reset,
/// and the connection to the filer may break on what is still sent there.
async fn refused(response: Response<Incoming>, patience: Duration) -> Response<Body> {
    let (parts, mut body) = returned(response, None, patience).into_parts();
    let length = body.size_hint().exact();
    let until = Instant::now() + REFUSAL_PATIENCE;
    let mut pieces = Vec::new();
    while let Ok(Some(piece)) = timeout_at(until, body.frame()).await {
        // An error is passed on in its place: a refusal that breaks off is no whole one.
        pieces.push(piece.map(|frame| frame.into_data().unwrap_or_default()));
    }
    let rest = BodyStream::new(body).map(|piece| piece.map(|frame| frame.into_data().unwrap_or_default()));
    let pieces: Result<Vec<Bytes>, BoxError> = pieces.into_iter().collect();
    let body = match pieces {
        Ok(pieces) if Some(pieces.iter().map(|piece| piece.len() as u64).sum()) == length => {
            Body::full(pieces.concat())
        }
        Ok(pieces) => Body::from_stream(length, stream::iter(pieces.into_iter().map(Ok)).chain(rest)),
        Err(error) => Body::from_stream(length, stream::iter([Err(error)])),
    };
    Response::from_parts(parts, body)
}

impl Relay {
    fn nobody(&self) -> Error {
        let text = format!("the request could not be sent to any server of {}", self.far_side.setting());
        Error::new(self.far_side.blame(), StatusCode::SERVICE_UNAVAILABLE, text).retry_after(RETRY)
    }

    /// Says who did not get on. What a server was asked to change it may still do.
    fn stalled(&self, waits: Wait, method: &Method, authority: &str) -> Error {
        let timeout = self.progress_timeout;
        if waits == Wait::ForClient {
            let text = format!("nothing came of the request's body for {timeout:?}");
            return Error::new(Blame::Client, StatusCode::REQUEST_TIMEOUT, text);
        }
        let error = |text: String| {
            let message = format!("{text} ({method} to {authority})");
            Error::new(self.far_side.blame(), StatusCode::GATEWAY_TIMEOUT, message).publicly(text)
        };
        let name = self.far_side.name();
        let text = format!("{name} has not answered, or taken more of the request, for {timeout:?}");
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return error(text).retry_after(RETRY);
        }
        error(format!("{text}: what was asked may or may not have been done"))
    }

    /// Says whose fault it is. The address and the cause are the operator's, not the client's.
    fn failed(&self, error: hyper_util::client::legacy::Error, method: &Method, authority: &str) -> Error {
        let mut cause = error.source();
        while let Some(inner) = cause {
            if inner.is::<ClientGone>() {
                let text = "the request's body broke off";
                return Error::new(Blame::Client, StatusCode::BAD_REQUEST, text).caused_by(error);
            }
            cause = inner.source();
        }
        let (name, blame) = (self.far_side.name(), self.far_side.blame());
        let cause = error.source().map(chain).unwrap_or_default();
        if error.is_connect() {
            let text = format!("{name} cannot be reached; is it running, and is {} right?", self.far_side.setting());
            let failure = Error::new(blame, StatusCode::SERVICE_UNAVAILABLE, format!("{text} ({authority}: {cause})"));
            return failure.publicly(text).retry_after(RETRY).caused_by(error);
        }
        let failure = |text: String| {
            let message = format!("{text} ({method} to {authority}: {cause})");
            Error::new(blame, StatusCode::BAD_GATEWAY, message).publicly(text)
        };
        let text = format!("{name} closed the connection without an answer");
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return failure(text).retry_after(RETRY).caused_by(error);
        }
        failure(format!("{text}: what was asked may or may not have been done")).caused_by(error)
    }
}

/// The causes of `error` on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        line.push_str(": ");
        line.push_str(&inner.to_string());
        cause = inner.source();
    }
    line
}
