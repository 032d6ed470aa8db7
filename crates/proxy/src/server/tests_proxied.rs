//! Connections that a proxy passes on.

use http::Response;

use super::{
    testing::{FrontFn, Raw, Running, counted, loopback, run},
    *,
};
use crate::{peers::Networks, wire::Body};

/// A server that answers whom a request comes from, behind `proxies`.
async fn start_behind(proxies: &str, limits: Limits) -> Running {
    let mut server = Server::new(limits, counted());
    let front = Arc::new(FrontFn(|_: http::Request<_>, peer: crate::wire::Peer| async move {
        Response::new(Body::full(format!("{} {}", peer.addr, peer.is_loopback())))
    }));
    let terms = Terms { proxies: Some(Arc::new(Networks::parse(proxies))), ..Terms::default() };
    let addr = server.listen_on(loopback(), terms.fixed(), front).await.unwrap();
    run(server, addr)
}

async fn answer(client: &mut Raw) -> String {
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = head.split_once("Content-Length: ").unwrap().1.split("\r\n").next().unwrap();
    client.exactly(length.parse().unwrap()).await
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn requests_come_from_whom_the_proxy_names() {
    let server = start_behind("127.0.0.1", Limits::default()).await;
    let mut client = server.connect().await;
    client.send(format!("PROXY TCP4 192.0.2.7 127.0.0.1 4321 80\r\n{GET}")).await;
    assert_eq!(answer(&mut client).await, "192.0.2.7:4321 false");
    client.send(GET).await;
    assert_eq!(answer(&mut client).await, "192.0.2.7:4321 false", "to the connection's end");
    let mut check = server.connect().await;
    check.send(format!("PROXY UNKNOWN\r\n{GET}")).await;
    let from = check.0.local_addr().unwrap();
    assert_eq!(answer(&mut check).await, format!("{from} true"), "of its own");
}

#[tokio::test]
async fn who_is_no_proxy_is_not_listened_to() {
    let server = start_behind("127.0.0.2", Limits::default()).await;
    let mut client = server.connect().await;
    client.send(format!("PROXY TCP4 192.0.2.7 127.0.0.1 4321 80\r\n{GET}")).await;
    assert_eq!(client.rest().await.0, "");
    let server = start_behind("127.0.0.1", Limits::default()).await;
    let mut client = server.connect().await;
    client.send(GET).await;
    assert_eq!(client.rest().await.0, "", "a proxy that does not say whom it passes on");
}

#[tokio::test]
async fn connections_count_for_whom_they_come_from() {
    let limits = Limits { max_connections_per_peer: 2, ..Limits::default() };
    let server = start_behind("127.0.0.1", limits).await;
    let mut held = Vec::new();
    for client in [1, 1, 2, 2, 3] {
        let mut line = server.connect().await;
        line.send(format!("PROXY TCP4 192.0.2.{client} 127.0.0.1 4321 80\r\n{GET}")).await;
        assert_eq!(answer(&mut line).await, format!("192.0.2.{client}:4321 false"));
        held.push(line);
    }
    let mut third = server.connect().await;
    third.send(format!("PROXY TCP4 192.0.2.1 127.0.0.1 4321 80\r\n{GET}")).await;
    let refused = third.rest().await.0;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("\r\nRetry-After: 1\r\n"), "{refused}");
    drop(held.remove(0));
    loop {
        let mut next = server.connect().await;
        next.send(format!("PROXY TCP4 192.0.2.1 127.0.0.1 4321 80\r\n{GET}")).await;
        if next.head().await.starts_with("HTTP/1.1 200 ") {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed() {
    let server = start_behind("127.0.0.1", Limits::default()).await;
    let mut client = server.connect().await;
    client.send("PROXY ").await;
    let begun = tokio::time::Instant::now();
    assert_eq!(client.rest().await.0, "");
    assert!((29..=31).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_header() {
    let server = start_behind("127.0.0.1", Limits::default()).await;
    let mut client = server.connect().await;
    client.send("PROXY ").await;
    server.stop.send(()).await.unwrap();
    assert_eq!(client.rest().await.0, "");
    assert_eq!(server.ended.await.unwrap().cut, 0);
}
