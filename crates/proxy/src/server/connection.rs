//! One connection: HTTP/1 or HTTP/2 on it, its requests handed to the front, its end.
//!
//! Knows hyper and the stages of a shutdown. Must not know what is served.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::FutureExt as _;
use http::{Method, Request, Response, Version, header::CONTENT_LENGTH};
use http_body_util::Either;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    limits::Limits,
    serving::Serving,
    shutdown::Stage,
    socket::{Ending, Socket},
    stream::{PacedBody, StreamExecutor},
};
use crate::wire::{Body, Front, Peer, PeerTls, Received, RequestId, bug_response};

/// Serves `stream` until the client leaves, its drain stage is reached and the running answer is out, or it is cut.
pub(super) async fn serve<F: Front>(stream: TcpStream, mut peer: Peer, mut serving: Serving<F>) {
    // Without this a small answer waits for the client's delayed ACK.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let socket = Socket::new(stream, serving.limits.write_timeout);
    let ending = socket.ending();
    let Some(tls) = &serving.tls else { return talk(socket, ending, peer, serving).await };
    let handshake = timeout(serving.limits.header_read_timeout, TlsAcceptor::from(tls()).accept(socket));
    let stream = tokio::select! {
        biased;
        () = serving.stages.reached(serving.drains_at) => return,
        stream = handshake => match stream {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "the TLS handshake failed"),
            Err(_) => return tracing::debug!("the TLS handshake took too long"),
        },
    };
    // The handshake ends with an error when a certificate is shown that does not hold.
    let client_verified = stream.get_ref().1.peer_certificates().is_some();
    peer.tls = Some(PeerTls { client_verified });
    talk(stream, ending, peer, serving).await;
}

/// HTTP on a connection that is set up.
async fn talk<F: Front>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ending: Ending,
    peer: Peer,
    serving: Serving<F>,
) {
    let Serving { front, limits, mut stages, drains_at, .. } = serving;
    let asked = Arc::new(AtomicBool::new(false));
    let service = {
        let (ending, asked) = (ending.clone(), asked.clone());
        service_fn(move |request| {
            asked.store(true, Ordering::Relaxed);
            answer(request, peer.clone(), front.clone(), ending.clone())
        })
    };

    let builder = protocol(&limits);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // hyper's own timer starts when it has seen the first byte; this one covers those who never send it.
    let mut first_request = pin!(sleep(limits.header_read_timeout));
    let mut waiting = true;
    let mut draining = false;
    loop {
        let reached = stages.reached(if draining { Stage::Cut } else { drains_at });
        tokio::select! {
            biased;
            result = connection.as_mut() => {
                ending.linger();
                match result {
                    Ok(()) => ending.disarm(),
                    Err(error) => tracing::debug!(error, "connection ended"),
                }
                return;
            }
            () = reached => {
                if draining || stages.at(Stage::Cut) {
                    return;
                }
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = first_request.as_mut(), if waiting => {
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
                waiting = false;
            }
        }
    }
}

fn protocol(limits: &Limits) -> auto::Builder<StreamExecutor> {
    let mut builder = auto::Builder::new(StreamExecutor { write_timeout: limits.write_timeout });
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_buf_size(limits.max_header_bytes.max(MIN_HTTP1_BUFFER))
        // Names as Go writes them (Content-Length, Etag): what the filer's clients are used to see.
        .title_case_headers(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.header_read_timeout)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX));
    builder
}

/// hyper panics on a smaller one.
const MIN_HTTP1_BUFFER: usize = 8192;

/// Has the front answer, and answers 500 in its place when it panics.
async fn answer<F: Front>(
    mut request: Request<Incoming>,
    peer: Peer,
    front: Arc<F>,
    ending: Ending,
) -> Result<Response<PacedBody<Either<F::Body, Body>>>, Infallible> {
    let method = request.method().clone();
    let version = request.version();
    let id = RequestId::new();
    request.extensions_mut().insert(id);
    // The front is shared and may be left with a poisoned lock at worst; nothing of the request survives.
    let handled =
        std::panic::AssertUnwindSafe(async { front.handle(Received::of(request), peer).await }).catch_unwind().await;
    let mut response = match handled {
        Ok(response) => response.map(Either::Left),
        Err(_panic) => {
            tracing::error!(request = %id, %method, "a request ended in a panic; the trace is above");
            bug_response(&method).map(Either::Right)
        }
    };
    id.name(response.headers_mut());
    if version < Version::HTTP_11 && ends_with_the_connection(&response, &method) {
        ending.arm();
    }
    let is_refusal = response.status().is_client_error() || response.status().is_server_error();
    Ok(response.map(if is_refusal { PacedBody::of_refusal } else { PacedBody::new }))
}

fn ends_with_the_connection<B: http_body::Body>(response: &Response<B>, method: &Method) -> bool {
    method != Method::HEAD
        && response.body().size_hint().exact().is_none()
        && !response.headers().contains_key(CONTENT_LENGTH)
}
