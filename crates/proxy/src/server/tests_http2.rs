use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::{
    testing::{FrontFn, Running, held_body, once, start_fn, start_held, start_silent, start_with},
    *,
};
use crate::wire::{Body, RequestBody};

async fn connect(server: &Running) -> SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let (send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    send
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://front.example{path}")).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn is_spoken_without_an_upgrade() {
    let server = start_fn(|request, _| async move {
        assert_eq!(request.version(), Version::HTTP_2);
        Response::new(Body::full("fine"))
    })
    .await;
    let response = connect(&server).await.send_request(get("/")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "fine");
}

#[tokio::test]
async fn an_ordinary_header_has_room_when_others_have_all_memory_for_headers() {
    let fine = FrontFn(|_: Request<RequestBody>, _| async { Response::new(Body::full("fine")) });
    let server = start_with(Limits { header_memory: 0, ..Limits::default() }, fine).await;
    let mut client = connect(&server).await;
    for (length, status) in [(4000, 200), (9000, 503), (4000, 200)] {
        let mut request = get("/");
        request.headers_mut().insert("cookie", "c".repeat(length).try_into().unwrap());
        assert_eq!(client.send_request(request).await.unwrap().status(), status, "{length}");
    }
}

#[tokio::test]
async fn a_header_has_as_many_fields_as_over_http1() {
    let server = start_fn(|_, _| async { Response::new(Body::full("fine")) }).await;
    let mut client = connect(&server).await;
    for (fields, status) in [(256, 200), (257, 431)] {
        let mut request = get("/");
        for number in 0..fields {
            request.headers_mut().append("a", number.into());
        }
        assert_eq!(client.send_request(request).await.unwrap().status(), status, "{fields}");
    }
}

#[tokio::test]
async fn a_broken_body_resets_its_stream_and_no_other() {
    let (body, go_on, _) = held_body(None, "half ");
    let body = once(body);
    let server = start_fn(move |request, _| {
        let body = if request.uri().path() == "/broken" { body() } else { Body::full("fine") };
        std::future::ready(Response::new(body))
    })
    .await;
    let mut client = connect(&server).await;
    let mut broken = client.send_request(get("/broken")).await.unwrap().into_body();
    assert_eq!(broken.frame().await.unwrap().unwrap().into_data().unwrap(), "half ");
    go_on.send(Err("no replica left")).unwrap();
    assert!(broken.frame().await.unwrap().is_err());
    let response = client.send_request(get("/")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "fine");
}

#[tokio::test]
async fn a_panic_is_answered_on_its_stream() {
    let server = start_fn(|request, _| async move {
        assert_ne!(request.uri().path(), "/panic", "a panic for the test");
        Response::new(Body::full("fine"))
    })
    .await;
    let mut client = connect(&server).await;
    assert_eq!(client.send_request(get("/panic")).await.unwrap().status(), 500);
    assert_eq!(client.send_request(get("/")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_stream_that_is_given_up_takes_its_request_with_it() {
    let (server, inside, gone) = start_silent().await;
    let mut client = connect(&server).await;
    let request = tokio::spawn(client.send_request(get("/")));
    inside.await.unwrap();
    request.abort();
    assert!(gone.await.is_err(), "the sender is dropped with the request");
    drop(client);
}

/// A frame of this kind, with these flags, of the first stream or (where it is none of a stream's) of the connection.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// The preface, and a `POST http://a/` on the first stream whose body is to come.
fn begun_upload() -> Vec<u8> {
    let head = frame(1, 4, 1, &[0x83, 0x86, 0x84, 0x41, 1, b'a']);
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(4, 0, 0, &[]), &head, &frame(0, 0, 1, b"half ")].concat()
}

#[tokio::test]
async fn an_upload_whose_stream_is_reset_without_an_error_never_ends_cleanly() {
    const NO_ERROR: [u8; 4] = [0; 4];
    for (last, is_whole) in [(frame(0, 1, 1, b"whole"), true), (frame(3, 0, 1, &NO_ERROR), false)] {
        let (seen, mut bodies) = mpsc::channel(1);
        let server = start_fn(move |request, _| {
            let seen = seen.clone();
            async move {
                // Read by somebody else, as the filer's connection does, who outlives the request.
                tokio::spawn(async move { seen.send(request.into_body().collect().await.is_ok()).await });
                std::future::pending().await
            }
        })
        .await;
        let mut client = server.connect().await;
        client.send(begun_upload()).await;
        client.send(last).await;
        assert_eq!(bodies.recv().await, Some(is_whole));
    }
}

#[tokio::test]
async fn a_drain_lets_running_streams_finish() {
    let (server, go_on, _) = start_held(Some(10), "half ").await;
    let mut client = connect(&server).await;
    let mut running = client.send_request(get("/")).await.unwrap().into_body();
    assert_eq!(running.frame().await.unwrap().unwrap().into_data().unwrap(), "half ");
    server.stop.send(()).await.unwrap();
    go_on.send(Ok("whole")).unwrap();
    assert_eq!(running.collect().await.unwrap().to_bytes(), "whole");
    assert_eq!(server.ended.await.unwrap(), DrainOutcome { cut: 0 });
}

#[tokio::test]
async fn a_cut_stream_is_an_error_to_its_client() {
    let (server, _go_on, gone) = start_held(None, "half ").await;
    let mut client = connect(&server).await;
    let mut running = client.send_request(get("/")).await.unwrap().into_body();
    assert_eq!(running.frame().await.unwrap().unwrap().into_data().unwrap(), "half ");
    server.stop.send(()).await.unwrap();
    server.stop.send(()).await.unwrap();
    assert!(running.frame().await.unwrap().is_err());
    assert!(gone.await.is_err(), "the body is dropped");
}
