//! A server and a client for tests: the server in this process on a free loopback port, the client byte by byte.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{DrainOutcome, DrainTimes, Limits, Notice, Server};
use crate::{
    metrics::Connections,
    wire::{Body, BoxError, Front, Peer, RequestBody},
};

/// A front that is a function.
pub(crate) struct FrontFn<H>(pub(crate) H);

impl<H, A> Front for FrontFn<H>
where
    H: Fn(Request<RequestBody>, Peer) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send,
{
    type Body = Body;

    async fn handle(&self, request: Request<RequestBody>, peer: Peer) -> Response<Body> {
        (self.0)(request, peer).await
    }
}

/// A server that runs.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    /// Each message is a signal to stop.
    pub(crate) stop: mpsc::Sender<()>,
    pub(crate) ended: JoinHandle<DrainOutcome>,
    pub(crate) notices: Arc<Mutex<Vec<Notice>>>,
}

impl Running {
    pub(crate) async fn connect(&self) -> Raw {
        Raw(TcpStream::connect(self.addr).await.unwrap())
    }
}

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Counters that nobody reads.
pub(crate) fn counted() -> Arc<Connections> {
    Arc::new(Connections::new().unwrap())
}

/// Serves `front`; a drain may take a minute.
pub(crate) async fn start<F: Front>(front: F) -> Running {
    start_with(Limits { max_header_bytes: 16 << 10, ..Limits::default() }, front).await
}

/// Serves `front` within these limits.
pub(crate) async fn start_with<F: Front>(limits: Limits, front: F) -> Running {
    let mut server = Server::new(limits, counted());
    let addr = server.listen(loopback(), Arc::new(front)).await.unwrap();
    run(server, addr)
}

pub(crate) fn run(server: Server, addr: SocketAddr) -> Running {
    let (stop, stopped) = mpsc::channel(2);
    let notices = Arc::new(Mutex::new(Vec::new()));
    let server = {
        let notices = notices.clone();
        server.notify(move |notice| notices.lock().unwrap().push(notice))
    };
    let ended = tokio::spawn(
        server.run(stopped, || DrainTimes { lame_duck: Duration::ZERO, drain_timeout: Duration::from_secs(60) }),
    );
    Running { addr, stop, ended, notices }
}

/// Serves what `handle` answers.
pub(crate) async fn start_fn<H, A>(handle: H) -> Running
where
    H: Fn(Request<RequestBody>, Peer) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    start(FrontFn(handle)).await
}

/// A connection on which a test writes and reads bytes.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads up to and including the empty line.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("a head should have come"));
        }
        String::from_utf8(head).unwrap()
    }

    pub(crate) async fn exactly(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).await.expect("more bytes should have come");
        String::from_utf8(bytes).unwrap()
    }

    /// Reads to the end of the connection, which may be an error.
    pub(crate) async fn rest(&mut self) -> (String, io::Result<()>) {
        let mut bytes = Vec::new();
        let end = self.0.read_to_end(&mut bytes).await.map(|_| ());
        (String::from_utf8(bytes).unwrap(), end)
    }
}

/// A body that gives `first`, then waits to be told how it goes on: another piece, a failure, or (dropped) never.
/// The second half resolves when the body is dropped.
pub(crate) fn held_body(
    length: Option<u64>,
    first: &'static str,
) -> (Body, oneshot::Sender<Result<&'static str, &'static str>>, oneshot::Receiver<()>) {
    let (go_on, told) = oneshot::channel::<Result<&'static str, &'static str>>();
    let (alive, gone) = oneshot::channel::<()>();
    let first = stream::iter([Ok(Bytes::from_static(first.as_bytes()))]);
    let second = stream::once(async move {
        let _alive = alive;
        match told.await {
            Ok(Ok(text)) => Ok(Bytes::from_static(text.as_bytes())),
            Ok(Err(failure)) => Err(BoxError::from(failure)),
            Err(_dropped) => std::future::pending().await,
        }
    });
    (Body::from_stream(length, futures_util::StreamExt::chain(first, second)), go_on, gone)
}

/// A server whose one answer has a [`held_body`].
pub(crate) async fn start_held(
    length: Option<u64>,
    first: &'static str,
) -> (Running, oneshot::Sender<Result<&'static str, &'static str>>, oneshot::Receiver<()>) {
    let (body, go_on, gone) = held_body(length, first);
    let body = once(body);
    let server = start_fn(move |_, _| std::future::ready(Response::new(body()))).await;
    (server, go_on, gone)
}

/// A server that never answers its one request. The second part resolves when the request is there, the third one when it
/// is dropped.
pub(crate) async fn start_silent() -> (Running, oneshot::Receiver<()>, oneshot::Receiver<()>) {
    let (alive, gone) = oneshot::channel::<()>();
    let alive = once(alive);
    let (entered, inside) = oneshot::channel::<()>();
    let entered = once(entered);
    let server = start_fn(move |_, _| {
        let alive = alive();
        entered().send(()).unwrap();
        async move {
            let _alive = alive;
            std::future::pending().await
        }
    })
    .await;
    (server, inside, gone)
}

/// Hands out what it was given, once.
pub(crate) fn once<T>(value: T) -> impl Fn() -> T {
    let value = Mutex::new(Some(value));
    move || value.lock().unwrap().take().expect("asked for once")
}
