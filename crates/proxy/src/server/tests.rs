use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::Instant,
};

use super::{
    listener::Acceptor,
    testing::{FrontFn, Raw, counted, held_body, loopback, once, run, start, start_fn, start_held, start_silent},
    *,
};
use crate::wire::{Body, RequestBody, RequestId, error_response};

fn path(request: &Request<RequestBody>) -> String {
    request.uri().path().to_owned()
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_order() {
    let server = start_fn(|request, _| async move { Response::new(Body::full(path(&request))) }).await;
    let mut client = server.connect().await;
    client.send("GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\n\r\n").await;
    for expected in ["/one", "/two"] {
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 4\r\n"), "{head}");
        assert_eq!(client.exactly(4).await, expected);
    }
}

#[tokio::test]
async fn names_of_headers_are_written_as_the_listener_says() {
    let mut server = Server::new(Limits::default(), counted());
    let front = Arc::new(FrontFn(|_, _| async {
        let mut answer = Response::new(Body::empty());
        answer.headers_mut().insert("x-amz-meta-tide", http::HeaderValue::from_static("high"));
        answer
    }));
    let like_go = server.listen(loopback(), Arc::clone(&front)).await.unwrap();
    let lower_case = server
        .listen_on(loopback(), Terms { names: HeaderNames::LowerCase, ..Terms::default() }.fixed(), front)
        .await
        .unwrap();
    let _running = run(server, like_go);
    for (addr, written) in [(like_go, "X-Amz-Meta-Tide: high\r\n"), (lower_case, "\r\nx-amz-meta-tide: high\r\n")] {
        let mut client = Raw(TcpStream::connect(addr).await.unwrap());
        client.send("GET / HTTP/1.0\r\n\r\n").await;
        let head = client.head().await;
        assert!(head.contains(written), "{head}");
    }
}

#[tokio::test]
async fn a_burst_of_connections_waits_until_it_is_accepted() {
    let sockets = ListenSource::Bind(loopback()).sockets().await.unwrap();
    let addr = sockets[0].local_addr().unwrap();
    let mut waiting = Vec::new();
    for number in 0..300 {
        let connected = timeout(Duration::from_millis(900), TcpStream::connect(addr)).await;
        waiting.push(connected.unwrap_or_else(|_| panic!("number {number} has no place")).unwrap());
    }
}

#[tokio::test]
async fn the_front_knows_its_peer() {
    let server = start_fn(|_, peer| async move { Response::new(Body::full(peer.addr.to_string())) }).await;
    let mut client = server.connect().await;
    let expected = client.0.local_addr().unwrap().to_string();
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.rest().await.0, expected);
}

#[tokio::test]
async fn a_panic_is_answered_and_survived() {
    let server = start_fn(|request, _| async move {
        assert_ne!(request.uri().path(), "/panic", "a panic for the test");
        Response::new(Body::full("fine"))
    })
    .await;
    let mut client = server.connect().await;
    client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.rest().await.0, "fine");
}

#[tokio::test]
async fn a_request_with_two_hosts_is_refused() {
    let server = start_fn(|_, _| async { Response::new(Body::empty()) }).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 400 "));
}

/// Such a body went on as chunks of what it was, and gzip of it was kept as the file.
#[tokio::test]
async fn a_body_that_is_more_than_chunked_is_refused() {
    let server = start_fn(|_, _| async { Response::new(Body::empty()) }).await;
    let sent =
        ["gzip, chunked", "identity, chunked", "chunked, chunked", "chunked\r\nTransfer-Encoding: chunked", "CHUNKED"];
    for (encoding, status) in sent.into_iter().zip([501, 501, 501, 501, 200]) {
        let mut client = server.connect().await;
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {encoding}\r\n\r\n0\r\n\r\n")).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{encoding}: {head}");
    }
}

#[tokio::test]
async fn headers_beyond_the_limit_are_refused() {
    let server = start_fn(|_, _| async { Response::new(Body::empty()) }).await;
    let mut client = server.connect().await;
    let long = "x".repeat(20 << 10);
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn a_broken_body_of_known_length_ends_short() {
    let (server, go_on, _) = start_held(Some(10), "half ").await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.head().await.contains("Content-Length: 10\r\n"));
    assert_eq!(client.exactly(5).await, "half ");
    go_on.send(Err("no replica left")).unwrap();
    assert_eq!(client.rest().await.0, "");
}

#[tokio::test]
async fn a_broken_body_of_unknown_length_has_no_last_chunk() {
    let (server, go_on, _) = start_held(None, "half ").await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.head().await.contains("Transfer-Encoding: chunked\r\n"));
    assert_eq!(client.exactly(10).await, "5\r\nhalf \r\n");
    go_on.send(Err("no replica left")).unwrap();
    assert_eq!(client.rest().await.0, "");
}

#[tokio::test]
async fn a_broken_body_resets_an_http10_connection() {
    let (server, go_on, _) = start_held(None, "half ").await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.exactly(5).await, "half ");
    go_on.send(Err("no replica left")).unwrap();
    assert_eq!(client.rest().await.1.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_whole_body_ends_an_http10_connection_in_peace() {
    let (server, go_on, _) = start_held(None, "half ").await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    client.head().await;
    go_on.send(Ok("whole")).unwrap();
    let (body, end) = client.rest().await;
    assert_eq!(body, "half whole");
    end.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_body_with_it() {
    let (server, _go_on, gone) = start_held(Some(10), "half ").await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    drop(client);
    assert!(gone.await.is_err(), "the sender is dropped with the body");
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let (server, inside, gone) = start_silent().await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    inside.await.unwrap();
    drop(client);
    assert!(gone.await.is_err(), "the sender is dropped with the request");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_let_go() {
    let server = start_fn(|_, _| async { Response::new(Body::empty()) }).await;
    let started = Instant::now();
    let mut client = server.connect().await;
    assert_eq!(client.rest().await.0, "");
    assert_eq!(started.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_dawdles_over_its_headers_is_let_go() {
    let server = start_fn(|_, _| async { Response::new(Body::empty()) }).await;
    let started = Instant::now();
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost:").await;
    client.rest().await.1.unwrap();
    assert_eq!(started.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_long_download_outlives_every_timer() {
    let (server, go_on, _) = start_held(Some(10), "half ").await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    client.exactly(5).await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    go_on.send(Ok("whole")).unwrap();
    assert_eq!(client.exactly(5).await, "whole");
}

/// A server whose one answer never ends; the second part resolves when its body is dropped.
async fn start_endless() -> (testing::Running, oneshot::Receiver<()>) {
    let (alive, gone) = oneshot::channel::<()>();
    let piece = futures_util::stream::repeat(bytes::Bytes::from_static(&[7; 64 << 10]));
    let pieces = futures_util::StreamExt::map(piece, move |piece| {
        let _alive = &alive;
        Ok(piece)
    });
    let body = once(Body::from_stream(None, pieces));
    (start_fn(move |_, _| std::future::ready(Response::new(body()))).await, gone)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut() {
    let (server, gone) = start_endless().await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    let begin = Instant::now();
    assert!(gone.await.is_err(), "the body is dropped");
    // Once more after what the last try still found room for.
    assert!((60..=121).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_is_left_alone() {
    let (server, mut gone) = start_endless().await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    let mut line = client.0.into_std().unwrap();
    line.set_nonblocking(false).unwrap();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        // On a thread of its own: the paused clock stands while one runs, and would else go on while the system is at work.
        let read = move || std::io::Read::read_exact(&mut line, &mut vec![0; 8 << 20]).map(|()| line);
        line = tokio::task::spawn_blocking(read).await.unwrap().unwrap();
    }
    assert!(gone.try_recv() == Err(oneshot::error::TryRecvError::Empty), "the body is still there");
}

/// Fails as often as it was told to, then accepts.
struct Failing(VecDeque<i32>, TcpListener);

impl Acceptor for Failing {
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        match self.0.pop_front() {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => self.1.accept().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_out_of_files_waits_and_goes_on() {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    let socket = TcpListener::bind(loopback()).await.unwrap();
    let addr = socket.local_addr().unwrap();
    let (_stage, stages) = Stages::new();
    let front = Arc::new(FrontFn(|_, _| async { Response::new(Body::full("fine")) }));
    let listener = Listener {
        serving: Serving {
            front,
            tls: None,
            names: HeaderNames::LikeGo,
            label: crate::metrics::FrontLabel::Filer,
            proxies: None,
            limits: Limits::default(),
            slots: Slots::new(9, 9),
            refusals: Refusals::default(),
            heads: HeadBudget::new(0),
            counted: counted(),
            stages,
            drains_at: Stage::Draining,
            newcomers_grace: Duration::ZERO,
        },
        current: LiveTerms { limits: watch::channel(Limits::default()).1, terms: Terms::default().fixed() },
        asked: mpsc::channel(1).1,
        open: Arc::default(),
    };
    tokio::spawn(listener.run(Failing([EMFILE, EMFILE, ENFILE].into(), socket)));
    let started = Instant::now();
    let mut client = Raw(TcpStream::connect(addr).await.unwrap());
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.0 200 "));
    assert_eq!(started.elapsed().as_millis(), 5 + 10 + 20);
}

#[tokio::test]
async fn a_drain_lets_running_answers_finish_and_nothing_else() {
    let (body, go_on, _) = held_body(Some(10), "half ");
    let body = once(body);
    let server = start_fn(move |request, _| {
        let body = if request.uri().path() == "/held" { body() } else { Body::empty() };
        std::future::ready(Response::new(body))
    })
    .await;
    let mut idle = server.connect().await;
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    idle.head().await;
    let mut busy = server.connect().await;
    busy.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    busy.head().await;

    server.stop.send(()).await.unwrap();
    assert_eq!(idle.rest().await.0, "");
    assert!(TcpStream::connect(server.addr).await.is_err(), "the socket is closed before idle connections are");
    assert_eq!(busy.exactly(5).await, "half ");
    go_on.send(Ok("whole")).unwrap();
    assert_eq!(busy.rest().await.0, "whole");
    assert_eq!(server.ended.await.unwrap(), DrainOutcome { cut: 0 });

    let notices = server.notices.lock().unwrap();
    assert_eq!(
        notices[..3],
        [Notice::Ready, Notice::Status("Serving".into()), Notice::Stopping(Duration::from_secs(60))]
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_runs_out_of_time_cuts_and_says_so() {
    let (server, _go_on, gone) = start_held(Some(10), "half ").await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    client.exactly(5).await;
    let started = Instant::now();
    server.stop.send(()).await.unwrap();
    assert_eq!(client.rest().await.0, "");
    assert_eq!(started.elapsed().as_secs(), 60);
    assert_eq!(server.ended.await.unwrap(), DrainOutcome { cut: 1 });
    assert!(gone.await.is_err());

    let notices = server.notices.lock().unwrap();
    let told = |line: &str| notices.contains(&Notice::Status(line.into()));
    assert!(told("Stopping: 1 connection is finishing, cut in 59 s"), "{notices:?}");
    assert!(told("Stopping: 1 connection is finishing, cut in 1 s"), "{notices:?}");
}

#[tokio::test]
async fn a_second_signal_cuts_at_once() {
    let (server, _go_on, _) = start_held(Some(10), "half ").await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    client.exactly(5).await;
    server.stop.send(()).await.unwrap();
    server.stop.send(()).await.unwrap();
    assert_eq!(client.rest().await.0, "");
    assert_eq!(server.ended.await.unwrap(), DrainOutcome { cut: 1 });
}

#[tokio::test]
async fn the_admin_listener_answers_until_the_drain_is_over() {
    let (body, go_on, _) = held_body(Some(10), "half ");
    let body = once(body);
    let mut server = Server::new(Limits::default(), counted());
    let front = FrontFn(move |_, _| std::future::ready(Response::new(body())));
    let addr = server.listen(loopback(), Arc::new(front)).await.unwrap();
    let ready = || -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> { Box::pin(async { Ok(()) }) };
    let ready = CachedReadiness::new(ready, server.draining());
    let admin = Admin::new(prometheus::Registry::new(), ready, Arc::new(()), Box::new(|| [].into()));
    let admin = server.listen_admin(loopback(), Arc::new(admin)).await.unwrap();
    let server = run(server, addr);

    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    let mut idle = server.connect().await;
    server.stop.send(()).await.unwrap();
    idle.rest().await.1.unwrap();

    let mut probe = Raw(TcpStream::connect(admin).await.unwrap());
    probe.send("GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(probe.head().await.starts_with("HTTP/1.1 503 "));
    assert_eq!(probe.exactly(14).await, "shutting down\n");
    go_on.send(Ok("whole")).unwrap();
    assert_eq!(client.rest().await.0, "half whole");
    assert_eq!(server.ended.await.unwrap(), DrainOutcome { cut: 0 });
    assert_eq!(probe.rest().await.0, "");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let server = start(FrontFn(|_, _| async { Response::new(Body::empty()) })).await;
    let mut second = Server::new(Limits::default(), counted());
    let front = Arc::new(FrontFn(|_, _| async { Response::new(Body::empty()) }));
    let error = second.listen(server.addr, front).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("cannot listen on {}: ", server.addr)), "{error}");
}

#[tokio::test]
async fn a_head_of_an_error_has_the_length_of_the_body_it_lacks() {
    let server = start_fn(|request, _| async move {
        let error = crate::Error::new(crate::Blame::Kms, StatusCode::FORBIDDEN, "no");
        error_response(&error, request.method(), &RequestId::new())
    })
    .await;
    let mut client = server.connect().await;
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.contains("Content-Length: 42\r\n"), "{head}");
    assert_eq!(client.rest().await.0, "");
}

/// A client that has sent all before it reads, and what it read then.
async fn answered_after(mut client: Raw, head: String, body: usize) -> String {
    client.send(head).await;
    let piece = "u".repeat(64 << 10);
    for _ in 0..body / piece.len() {
        client.send(piece.as_str()).await;
    }
    client.head().await
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_sends_first_and_reads_then() {
    let server = start_fn(|_, _| async {
        let error = crate::Error::new(crate::Blame::Client, StatusCode::BAD_REQUEST, "no");
        error_response(&error, &Method::PUT, &RequestId::new())
    })
    .await;
    let length = 32 << 20;
    for more in ["", "Connection: close\r\n", "Expect: 100-continue\r\n"] {
        let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{more}\r\n");
        let answer = answered_after(server.connect().await, head, length).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{more}: {answer}");
    }
}

#[tokio::test]
async fn a_refused_upload_is_the_last_request_of_its_connection() {
    let server = start_fn(|_, _| async {
        let error = crate::Error::new(crate::Blame::Client, StatusCode::BAD_REQUEST, "no");
        error_response(&error, &Method::PUT, &RequestId::new())
    })
    .await;
    for (method, body, closes) in [("PUT", "Content-Length: 10\r\n", true), ("GET", "", false)] {
        let mut client = server.connect().await;
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n{body}\r\n")).await;
        let head = client.head().await;
        assert_eq!(head.contains("Connection: close\r\n"), closes, "{head}");
    }
}

#[tokio::test]
async fn the_refusal_of_a_head_that_is_too_large_reaches_its_client() {
    let server = start_fn(|_, _| async { Response::new(Body::empty()) }).await;
    let head = format!("GET / HTTP/1.1\r\nX-Long: {}", "x".repeat(1 << 20));
    let answer = answered_after(server.connect().await, head, 16 << 20).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn what_was_refused_is_read_to_its_end_and_the_connection_kept() {
    let server = start_fn(|_, _| async { Response::new(Body::full("no")) }).await;
    let mut client = server.connect().await;
    for _ in 0..2 {
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(client.exactly(2).await, "no");
        client.send("other").await;
    }
}
