use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpSocket, TcpStream};

use super::{
    testing::{FrontFn, Raw, Running, counted, held_body, loopback, once, run, start_with},
    *,
};
use crate::wire::{Body, RequestBody};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async fn start_limited(limits: Limits) -> Running {
    start_with(limits, FrontFn(|_: http::Request<RequestBody>, _| async { Response::new(Body::full("fine")) })).await
}

/// A connection from another address of this machine.
async fn connect_from(server: &Running, last: u8) -> Raw {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
    Raw(socket.connect(server.addr).await.unwrap())
}

async fn is_served(client: &mut Raw) {
    client.send(GET).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(client.exactly(4).await, "fine");
}

async fn is_refused(mut client: Raw) {
    client.send(GET).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After: 1\r\n"), "{head}");
    client.rest().await.1.unwrap();
}

#[tokio::test]
async fn one_peer_does_not_take_all_connections() {
    let server = start_limited(Limits { max_connections: 3, max_connections_per_peer: 2, ..Limits::default() }).await;
    let mut held = [server.connect().await, server.connect().await];
    for client in &mut held {
        is_served(client).await;
    }
    is_refused(server.connect().await).await;
    let mut other = connect_from(&server, 2).await;
    is_served(&mut other).await;
    is_refused(connect_from(&server, 3).await).await;
    let [first, _second] = held;
    drop(first);
    // Its place is free when the server has seen it go.
    let mut again = connect_from(&server, 3).await;
    while !served(&mut again).await {
        again = connect_from(&server, 3).await;
    }
}

async fn served(client: &mut Raw) -> bool {
    client.send(GET).await;
    client.head().await.starts_with("HTTP/1.1 200 ")
}

#[tokio::test]
async fn a_body_that_comes_after_its_answer_is_no_header() {
    let server = start_limited(Limits { header_memory: 0, ..Limits::default() }).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(client.exactly(4).await, "fine");
    client.send([0; 100_000]).await;
    is_served(&mut client).await;
}

#[tokio::test]
async fn headers_of_all_together_are_bounded_and_ordinary_ones_have_room() {
    let limits = Limits { header_memory: 100 << 10, ..Limits::default() };
    let server = start_limited(limits).await;
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}", "x".repeat(60 << 10));
    let mut first = server.connect().await;
    first.send(&long).await;
    // It has what it needs; the next one does not.
    let mut second = server.connect().await;
    second.send(&long).await;
    second.rest().await.1.ok();
    let mut ordinary = server.connect().await;
    is_served(&mut ordinary).await;
    first.send("\r\n\r\n").await;
    assert!(first.head().await.starts_with("HTTP/1.1 200 "));
    // Answered, it holds nothing.
    assert_eq!(first.exactly(4).await, "fine");
    let mut third = server.connect().await;
    third.send(format!("{long}\r\n\r\n")).await;
    assert!(third.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_rests_goes_on_and_ends_after_the_idle_timeout() {
    let server = start_limited(Limits { idle_timeout: Duration::from_secs(20), ..Limits::default() }).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        is_served(&mut client).await;
        tokio::time::sleep(Duration::from_secs(18)).await;
    }
    is_served(&mut client).await;
    let begin = tokio::time::Instant::now();
    client.rest().await.1.unwrap();
    assert!((19..=22).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_as_long_after_an_upload() {
    let read_it = |request: Request<RequestBody>, _| async {
        request.into_body().collect().await.unwrap();
        Response::new(Body::full("fine"))
    };
    let server =
        start_with(Limits { idle_timeout: Duration::from_secs(75), ..Limits::default() }, FrontFn(read_it)).await;
    for body in ["Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"] {
        let mut client = server.connect().await;
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{body}")).await;
        client.head().await;
        assert_eq!(client.exactly(4).await, "fine");
        let begin = tokio::time::Instant::now();
        client.rest().await.1.unwrap();
        assert!((74..=77).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_header_is_not_kept_longer_by_resting() {
    let server = start_limited(Limits::default()).await;
    let mut client = server.connect().await;
    is_served(&mut client).await;
    let begin = tokio::time::Instant::now();
    client.send("GET / HTTP/1.1\r\nHost:").await;
    client.rest().await.1.ok();
    assert!((29..=32).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sends_ahead_is_answered_after_a_rest_too() {
    let server = start_limited(Limits::default()).await;
    let mut client = server.connect().await;
    client.send(format!("{GET}GET / HTT")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    client.exactly(4).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    client.send("P/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(client.exactly(4).await, "fine");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_read_is_no_request_after_a_rest() {
    let server = start_limited(Limits::default()).await;
    let mut client = server.connect().await;
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").await;
    client.head().await;
    client.exactly(4).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    client.send(GET).await;
    let mut rest = String::new();
    if let Ok(read) = tokio::time::timeout(Duration::from_secs(100), client.rest()).await {
        rest = read.0;
    }
    assert_eq!(rest, "", "it is the body's beginning");
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_ends_after_its_running_answer() {
    let (body, go_on, _) = held_body(Some(10), "half ");
    let body = once(body);
    let limits = Limits { max_age: Duration::from_secs(60), ..Limits::default() };
    let server = start_with(limits, FrontFn(move |_, _| std::future::ready(Response::new(body())))).await;
    let mut client = server.connect().await;
    client.send(GET).await;
    client.head().await;
    assert_eq!(client.exactly(5).await, "half ");
    tokio::time::sleep(Duration::from_secs(100)).await;
    go_on.send(Ok("whole")).unwrap();
    let (rest, end) = client.rest().await;
    assert_eq!(rest, "whole");
    end.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_http2_that_nobody_uses_ends() {
    let server = start_limited(Limits { idle_timeout: Duration::from_secs(20), ..Limits::default() }).await;
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let ended = tokio::spawn(connection);
    let request = Request::get("http://front.example/").body(Empty::<Bytes>::new()).unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "fine");
    let begin = tokio::time::Instant::now();
    ended.await.unwrap().ok();
    assert!((20..=60).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    assert!(client.is_closed());
}

#[tokio::test]
async fn more_than_a_hundred_header_fields_pass() {
    let server = start_limited(Limits::default()).await;
    let mut client = server.connect().await;
    let fields: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn limits_that_change_hold_for_whoever_comes_next() {
    let mut server = Server::new(Limits { max_connections: 1, ..Limits::default() }, counted());
    let (control, front) = (server.control(), FrontFn(|_, _| async { Response::new(Body::full("fine")) }));
    let (changes, terms) = watch::channel(Terms::default());
    let addr = server.listen_on(loopback(), terms, Arc::new(front)).await.unwrap();
    let server = run(server, addr);
    let mut first = server.connect().await;
    is_served(&mut first).await;
    is_refused(server.connect().await).await;
    control.limit(Limits { max_connections: 2, ..Limits::default() });
    let mut second = server.connect().await;
    is_served(&mut second).await;
    control.limit(Limits { max_connections: 1, ..Limits::default() });
    is_served(&mut first).await;
    is_served(&mut second).await;
    is_refused(server.connect().await).await;
    control.limit(Limits::default());
    changes.send_replace(Terms { names: HeaderNames::LowerCase, ..Terms::default() });
    let mut third = server.connect().await;
    third.send(GET).await;
    let head = third.head().await;
    assert!(head.contains("content-length: 4"), "{head}");
    is_served(&mut first).await;
}
