use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::*;
use crate::{
    server::testing::{Raw, Running, loopback, start},
    wire::{Front, RequestId, error_response},
};

/// Longer than any of these tests takes.
const PROGRESS: Duration = Duration::from_secs(60);

/// The front of a daemon that relays everything.
struct Relaying {
    relay: Relay,
    filer: String,
}

impl Front for Relaying {
    type Body = Body;

    async fn handle(&self, request: Request<RequestBody>, peer: Peer) -> Response<Body> {
        let method = request.method().clone();
        match self.relay.forward(request, &self.filer, &peer).await {
            Ok(response) => response,
            Err(error) => error_response(&error, &method, &RequestId::new()),
        }
    }
}

/// A filer that a test plays byte by byte.
struct Filer(TcpListener);

impl Filer {
    async fn accept(&self) -> Raw {
        Raw(self.0.accept().await.unwrap().0)
    }
}

async fn relaying() -> (Running, Filer) {
    let filer = TcpListener::bind(loopback()).await.unwrap();
    let address = filer.local_addr().unwrap().to_string();
    let server =
        start(Relaying { relay: Relay::new(Duration::from_secs(3), PROGRESS, None).unwrap(), filer: address }).await;
    (server, Filer(filer))
}

/// Sends `request` through a relay and gives back its first connection at the filer, with the head that came there.
async fn relayed(request: &str) -> (Running, Raw, Raw, Filer, String) {
    let (server, filer) = relaying().await;
    let mut client = server.connect().await;
    client.send(request).await;
    let mut upstream = filer.accept().await;
    let head = upstream.head().await;
    (server, client, upstream, filer, head)
}

fn lines(head: &str) -> Vec<&str> {
    head.split("\r\n").filter(|line| !line.is_empty()).collect()
}

#[tokio::test]
async fn a_request_goes_as_it_was_written_but_for_its_hop() {
    let (_server, client, _, _filer, head) = relayed(
        "GET /a%2Fb//c/../d%20e%c3%a9;p?x=%2f&y=a+b&z=%7e~ HTTP/1.1\r\nHost: front.example\r\nRange: bytes=1-2\r\n\
         Connection: x-hop, keep-alive\r\nX-Hop: 1\r\nTE: trailers\r\nUpgrade: h2c\r\nX-Forwarded-For: 1.2.3.4\r\n\
         x-amz-server-side-encryption-customer-key: c2VjcmV0\r\n\r\n",
    )
    .await;
    drop(client);
    let mut lines = lines(&head);
    assert_eq!(lines.remove(0), "GET /a%2Fb//c/../d%20e%c3%a9;p?x=%2f&y=a+b&z=%7e~ HTTP/1.1");
    lines.sort_unstable();
    assert!(lines.pop().is_some_and(|line| line.len() == "x-request-id: ".len() + 24), "{lines:?}");
    assert!(lines.pop().is_some_and(|line| line.starts_with("x-forwarded-proto: http")));
    assert!(lines.iter().any(|line| line.starts_with("via: 1.1 tidegate-")), "{lines:?}");
    lines.retain(|line| !line.starts_with("via: "));
    assert_eq!(
        lines,
        [
            "host: front.example",
            "range: bytes=1-2",
            "x-forwarded-for: 1.2.3.4, 127.0.0.1",
            "x-forwarded-host: front.example"
        ]
    );
}

#[tokio::test]
async fn a_write_keeps_its_keys_its_length_and_its_body() {
    let (_server, mut client, mut upstream, _filer, head) = relayed(
        "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nx-amz-server-side-encryption-customer-key: k\r\n\r\nhello",
    )
    .await;
    assert!(head.contains("content-length: 5\r\n"), "{head}");
    assert!(head.contains("x-amz-server-side-encryption-customer-key: k\r\n"), "{head}");
    assert_eq!(upstream.exactly(5).await, "hello");
    upstream
        .send("HTTP/1.1 201 Made\r\nContent-Length: 2\r\nConnection: close\r\nKeep-Alive: 5\r\nX-A: b\r\n\r\n{}")
        .await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 201 Made\r\n"), "{answer}");
    assert!(answer.contains("X-A: b\r\n") && answer.contains("Content-Length: 2\r\n"), "{answer}");
    assert!(!answer.contains("Keep-Alive") && !answer.contains("Connection"), "{answer}");
    assert_eq!(client.exactly(2).await, "{}");
}

#[tokio::test]
async fn chunks_and_trailers_pass_both_ways() {
    let (_server, mut client, mut upstream, _filer, head) = relayed(
        "POST /a HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    )
    .await;
    assert!(head.contains("transfer-encoding: chunked\r\n") && !head.contains("content-length"), "{head}");
    assert_eq!(upstream.head().await, "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n");
    upstream
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Md5\r\n\r\n2\r\nok\r\n0\r\nX-Md5: 2\r\n\r\n")
        .await;
    assert!(client.head().await.contains("Transfer-Encoding: chunked\r\n"));
    assert_eq!(client.head().await, "2\r\nok\r\n0\r\nX-Md5: 2\r\n\r\n");
}

#[tokio::test]
async fn a_body_is_asked_for_when_the_filer_asks() {
    let (_server, mut client, mut upstream, _filer, head) =
        relayed("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    assert!(head.contains("expect: 100-continue\r\n"), "{head}");
    upstream.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello").await;
    assert_eq!(upstream.exactly(5).await, "hello");
    upstream.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 201 "));
}

#[tokio::test]
async fn a_body_that_the_filer_refuses_is_never_asked_for() {
    let (_server, mut client, mut upstream, _filer, _) =
        relayed("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    upstream.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").await;
    assert!(client.head().await.starts_with("HTTP/1.1 401 "));
    assert_eq!(client.exactly(2).await, "no");
    // Neither side waits for the rest of a body that will not come.
    assert_eq!(client.rest().await.0, "");
    assert_eq!(upstream.rest().await.0, "");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_takes_its_time_is_still_one() {
    let (_server, mut client, mut upstream, _filer, _) =
        relayed("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    upstream.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nn").await;
    assert!(client.head().await.starts_with("HTTP/1.1 401 "));
    tokio::time::sleep(Duration::from_secs(2)).await;
    upstream.send("o").await;
    assert_eq!(client.exactly(2).await, "no");
    let ended = async { (client.rest().await.0, upstream.rest().await.0) };
    let ended = tokio::time::timeout(Duration::from_secs(5), ended).await;
    assert_eq!(ended.expect("a connection waits for a body"), (String::new(), String::new()));
}

#[tokio::test(start_paused = true)]
async fn a_filer_that_never_asks_gets_the_body_after_a_second() {
    let (_server, mut client, _upstream, _filer, _) =
        relayed("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    let started = Instant::now();
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    assert!((1000..1100).contains(&started.elapsed().as_millis()));
}

#[tokio::test]
async fn a_filer_that_is_down_is_named_and_a_retry_offered() {
    let (server, filer) = relaying().await;
    drop(filer);
    let mut client = server.connect().await;
    client.send("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After: 1\r\n"), "{head}");
    let (body, _) = client.rest().await;
    assert!(body.contains(r#""blame":"filer","retry":true"#), "{body}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off() {
    for (framing, sent) in [("Content-Length: 10", "half "), ("Transfer-Encoding: chunked", "5\r\nhalf \r\n")] {
        let (_server, mut client, mut upstream, _filer, _) = relayed("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
        upstream.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{sent}")).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(client.exactly(sent.len()).await, sent);
        drop(upstream);
        assert_eq!(client.rest().await.0, "", "{framing}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_an_upload_leaves_it_at_the_filer() {
    let (_server, client, mut upstream, _filer, _) =
        relayed("PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    assert_eq!(upstream.exactly(10).await, "5\r\nhello\r\n");
    drop(client);
    assert_eq!(upstream.rest().await.0, "", "no last chunk");
}

#[tokio::test]
async fn a_client_that_leaves_a_download_ends_it_at_the_filer() {
    let (_server, mut client, mut upstream, _filer, _) = relayed("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ").await;
    client.head().await;
    drop(client);
    assert_eq!(upstream.rest().await.0, "");
}

#[tokio::test]
async fn a_client_that_leaves_while_waiting_ends_its_request_at_the_filer() {
    let (_server, client, mut upstream, _filer, _) = relayed("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    drop(client);
    assert_eq!(upstream.rest().await.0, "");
}

#[tokio::test]
async fn a_read_is_asked_again_when_the_connection_had_gone() {
    let (_server, mut client, upstream, filer, _) = relayed("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    drop(upstream);
    let mut second = filer.accept().await;
    assert!(second.head().await.starts_with("GET /a HTTP/1.1\r\n"));
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.head().await;
    assert_eq!(client.exactly(2).await, "ok");
}

#[tokio::test]
async fn a_read_is_asked_again_only_once() {
    let (_server, mut client, upstream, filer, _) = relayed("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    drop(upstream);
    filer.accept().await.head().await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 502 ") && head.contains("Retry-After: 1\r\n"), "{head}");
}

#[tokio::test]
async fn a_write_is_never_asked_again() {
    for request in [
        "DELETE /a HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        let (_server, mut client, upstream, _filer, _) = relayed(request).await;
        drop(upstream);
        assert!(client.head().await.starts_with("HTTP/1.1 502 "), "{request}");
    }
}

#[tokio::test]
async fn connections_to_the_filer_are_kept() {
    let (_server, mut client, mut upstream, _filer, _) = relayed("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    for _ in 0..3 {
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        client.head().await;
        client.exactly(2).await;
        client.send("GET /b HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(upstream.head().await.starts_with("GET /b "));
    }
}

#[tokio::test]
async fn a_head_and_a_304_have_headers_and_no_body() {
    for (method, answer, kept) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nEtag: \"x\"\r\n\r\n", "Content-Length: 10\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n", "Etag: \"x\"\r\n"),
    ] {
        let request = format!("{method} /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let (_server, mut client, mut upstream, _filer, _) = relayed(&request).await;
        upstream.send(answer).await;
        let head = client.head().await;
        assert!(head.contains(kept), "{head}");
        assert_eq!(client.rest().await.0, "");
    }
}

#[tokio::test]
async fn http2_becomes_http11() {
    let (server, filer) = relaying().await;
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://front.example:81/a?b")
        .header("cookie", "x=1")
        .header("cookie", "y=2")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = tokio::spawn(send.send_request(request));
    let mut upstream = filer.accept().await;
    let head = upstream.head().await;
    assert!(head.starts_with("GET /a?b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("host: front.example:81\r\n") && head.contains("cookie: x=1; y=2\r\n"), "{head}");
    assert!(head.contains("via: 2 tidegate-") && !head.contains("transfer-encoding"), "{head}");
    upstream
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        .await;
    let response = answer.await.unwrap().unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
}

#[tokio::test]
async fn a_relay_that_leads_to_itself_is_noticed() {
    // The address is known only once it is bound, so the front learns it late.
    struct Late(Relay, std::sync::OnceLock<String>);
    impl Front for Arc<Late> {
        type Body = Body;

        async fn handle(&self, request: Request<RequestBody>, peer: Peer) -> Response<Body> {
            let method = request.method().clone();
            match self.0.forward(request, self.1.get().unwrap(), &peer).await {
                Ok(response) => response,
                Err(error) => error_response(&error, &method, &RequestId::new()),
            }
        }
    }
    let front = Arc::new(Late(Relay::new(Duration::from_secs(3), PROGRESS, None).unwrap(), std::sync::OnceLock::new()));
    let server = start(front.clone()).await;
    front.1.set(server.addr.to_string()).unwrap();
    let mut client = server.connect().await;
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 508 "));
}

#[tokio::test]
async fn what_cannot_be_relayed_is_answered_here() {
    let (server, _filer) = relaying().await;
    for (request, status) in [
        ("OPTIONS *", "200"),
        ("GET *", "400"),
        ("CONNECT example.org:443", "405"),
        // It deleted the root.
        ("DELETE buckets", "400"),
        ("PUT a:80", "400"),
    ] {
        let mut client = server.connect().await;
        client.send(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
    }
}

#[tokio::test]
async fn an_answer_of_many_header_fields_passes() {
    let (_server, mut client, mut upstream, ..) = relayed("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let fields: String = (0..300).map(|number| format!("seaweed-{number}: x\r\n")).collect();
    upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n")).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Seaweed-299: x\r\n"), "{head}");
}

#[tokio::test]
async fn an_answer_that_stands_still_is_cut() {
    let filer = Filer(TcpListener::bind(loopback()).await.unwrap());
    let address = filer.0.local_addr().unwrap().to_string();
    let relay = Relay::new(Duration::from_secs(3), Duration::from_millis(100), None).unwrap();
    let server = start(Relaying { relay, filer: address }).await;
    let mut client = server.connect().await;
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut upstream = filer.accept().await;
    upstream.head().await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    let (rest, _) = client.rest().await;
    assert!(rest.len() < 10, "{rest}");
}
