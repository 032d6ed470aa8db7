//! The reader against what a server may send: beside hyper's for the same bytes, and over real sockets.

use std::{
    error::Error,
    future::poll_fn,
    io::{self, IoSliceMut},
};

use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{
    connection::{ExchangeFailure, LineError},
    framing::FramingError,
    *,
};

/// An answer as a reader saw it: its status and body. `None`: it was refused, or broke off.
type Seen = Option<(StatusCode, Vec<u8>)>;

/// Sends bytes in pieces, then closes the line.
async fn feed(mut line: impl AsyncWriteExt + AsyncReadExt + Unpin, bytes: Vec<u8>, pieces: Vec<usize>) {
    let mut request = [0; 4096];
    let _ = line.read(&mut request).await;
    let mut left = &bytes[..];
    for piece in pieces.iter().cycle() {
        let (now, rest) = left.split_at((*piece).min(left.len()));
        left = rest;
        if line.write_all(now).await.is_err() || left.is_empty() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// A body, read as downloads read it, into slices that are full at odd places.
async fn read(body: &mut UpstreamBody) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let (mut one, mut two) = ([0; 3], [0; 50]);
        let mut slices = [&mut one[..], &mut two[..]].map(IoSliceMut::new);
        let came = poll_fn(|cx| body.as_mut().poll_read_many(cx, &mut slices)).await?;
        if came == 0 {
            return Ok(all);
        }
        all.extend_from_slice(&[&one[..], &two[..]].concat()[..came]);
    }
}

async fn ours(method: Method, bytes: Vec<u8>, pieces: Vec<usize>, many: bool) -> Seen {
    let (here, there) = tokio::io::duplex(64);
    let fed = tokio::spawn(feed(there, bytes, pieces));
    let request = Request::builder().method(method).uri("http://a:1/3,01").body(()).unwrap();
    let request = WireRequest::of(&request, 80).unwrap();
    let mut connection = Connection::new(here);
    let seen = async {
        let head = connection.exchange(&request).await.ok()?;
        let mut answer = with_body(head, connection, None);
        if many {
            let body = read(answer.body_mut()).await.ok()?;
            return Some((answer.status(), body));
        }
        let mut body = Vec::new();
        answer.body_mut().read_to_end(&mut body).await.ok()?;
        Some((answer.status(), body))
    };
    let seen = seen.await;
    fed.abort();
    seen
}

async fn hypers(method: Method, bytes: Vec<u8>, pieces: Vec<usize>) -> Seen {
    let (here, there) = tokio::io::duplex(64);
    let fed = tokio::spawn(feed(there, bytes, pieces));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(here)).await.ok()?;
    let driven = tokio::spawn(connection);
    let request = Request::builder().method(method).uri("/3,01").body(Empty::<Bytes>::new()).unwrap();
    let seen = async {
        let answer = sender.send_request(request).await.ok()?;
        let status = answer.status();
        let body = answer.into_body().collect().await.ok()?;
        Some((status, body.to_bytes().to_vec()))
    };
    let seen = seen.await;
    fed.abort();
    driven.abort();
    seen
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What hyper takes and tidegate refuses; all else must be seen alike.
#[test]
fn what_is_refused_beyond_hyper_is_known() {
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (bytes, body) in [
        ("\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(), "ok"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok".to_owned(), "ok"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_owned(),
            "ok",
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_owned(), "ok"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok".to_owned(), "ok"),
        (format!("{chunk}2 \r\nok\r\n0\r\n\r\n"), "ok"),
        (format!("{chunk}00000000000000002\r\nok\r\n0\r\n\r\n"), "ok"),
        (format!("{chunk}2\r\nok\r\n0\r\nA: b\r\n\r\n"), "ok"),
    ] {
        let bytes = bytes.into_bytes();
        let expected = Some((StatusCode::OK, body.as_bytes().to_vec()));
        assert_eq!(run(hypers(Method::GET, bytes.clone(), vec![7])), expected, "{}", bytes.escape_ascii());
        assert_eq!(run(ours(Method::GET, bytes.clone(), vec![7], false)), None, "{}", bytes.escape_ascii());
    }
}

/// Lines of heads and pieces of bodies, sound and not.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let status = prop_oneof![
        8 => Just("HTTP/1.1 200 OK\r\n"), 1 => Just("HTTP/1.1 206 Partial Content\r\n"), 1 => Just("HTTP/1.1 204 No Content\r\n"),
        1 => Just("HTTP/1.1 304 Not Modified\r\n"), 1 => Just("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"),
        1 => Just("HTTP/1.0 200 OK\r\n"), 1 => Just("HTTP/1.1 200\r\n"), 1 => Just("HTTP/1.1 20\r\n"), 1 => Just("HTTP/3 200 OK\r\n"),
        1 => Just("HTTP/1.1 301 Moved\r\nLocation: /\r\n"), 1 => Just("\r\nHTTP/1.1 200 OK\r\n"),
    ];
    let line = prop_oneof![
        3 => Just("Content-Length: 5\r\n".to_owned()), 1 => Just("Content-Length: 0\r\n".to_owned()),
        1 => Just("Content-Length: 5, 5\r\n".to_owned()), 1 => Just("Content-Length: -5\r\n".to_owned()),
        4 => Just("Transfer-Encoding: chunked\r\n".to_owned()), 1 => Just("Transfer-Encoding: gzip, chunked\r\n".to_owned()),
        1 => Just("transfer-encoding: identity\r\n".to_owned()), 1 => Just("Connection: close\r\n".to_owned()),
        1 => Just("ETag: \"0a1b2c3d\"\r\n".to_owned()), 1 => Just(" folded\r\n".to_owned()), 1 => Just("A : b\r\n".to_owned()),
        1 => Just("Only-LF: a\n".to_owned()), 1 => "[A-Za-z :\r\n\u{1}]{0,12}\r\n",
    ];
    let piece = prop_oneof![
        2 => Just("hello".to_owned()), 2 => Just("5\r\nhello\r\n".to_owned()), 2 => Just("0\r\n\r\n".to_owned()),
        1 => Just("00a;x=y\r\n0123456789\r\n".to_owned()), 1 => Just("5 \r\nhello\r\n".to_owned()), 1 => Just("0\r\nA: b\r\n\r\n".to_owned()),
        1 => Just("ffffffffffffffffff\r\n".to_owned()), 1 => "[0-9a-f;\r\n ]{0,8}",
    ];
    (status, prop::collection::vec(line, 0..4), prop::collection::vec(piece, 0..5))
        .prop_map(|(status, lines, pieces)| format!("{status}{}\r\n{}", lines.concat(), pieces.concat()).into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// What is taken is what hyper takes, in whatever pieces it comes.
    #[test]
    fn nothing_is_taken_that_hyper_would_not_take(
        bytes in answers(),
        pieces in prop::collection::vec(1..40_usize, 1..5),
        head in prop::bool::weighted(0.1),
    ) {
        let method = if head { Method::HEAD } else { Method::GET };
        let (seen, at_once, hyper) = run(async {
            let seen = ours(method.clone(), bytes.clone(), pieces.clone(), false).await;
            let at_once = ours(method.clone(), bytes.clone(), vec![usize::MAX], true).await;
            (seen, at_once, hypers(method, bytes.clone(), pieces).await)
        });
        prop_assert_eq!(&seen, &at_once, "{}", bytes.escape_ascii());
        if seen.is_some() {
            prop_assert_eq!(seen, hyper, "{}", bytes.escape_ascii());
        }
    }
}

/// A server whose connections say what they are told, one list after the other: an answer for each request, then the end.
async fn server(connections: Vec<Vec<&'static [u8]>>) -> (String, JoinHandle<Vec<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let served = tokio::spawn(async move {
        let mut lines = Vec::new();
        for answers in connections {
            let (line, _) = listener.accept().await.unwrap();
            lines.push(tokio::spawn(serve(line, answers)));
        }
        let mut requests = Vec::new();
        for line in lines {
            requests.push(line.await.unwrap());
        }
        requests
    });
    (authority, served)
}

/// How many requests came.
async fn serve(mut line: TcpStream, answers: Vec<&'static [u8]>) -> usize {
    let (mut requests, mut bytes) = (0, Vec::new());
    for answer in answers {
        while !bytes.ends_with(b"\r\n\r\n") {
            if line.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return requests;
            }
        }
        bytes.clear();
        requests += 1;
        line.write_all(answer).await.unwrap();
    }
    requests
}

fn upstream() -> HttpUpstream {
    HttpUpstream::new(4, Duration::from_secs(5), None)
}

async fn get(upstream: &HttpUpstream, authority: &str) -> Result<String, SharedError> {
    let request = Request::get(format!("http://{authority}/3,01")).body(()).unwrap();
    let mut answer = upstream.send(request).await?;
    let body = read(answer.body_mut()).await.map_err(shared)?;
    Ok(String::from_utf8(body).unwrap())
}

/// What was wrong with an answer, whether it came out while the head was read or the body.
fn why(error: &SharedError) -> &LineError {
    let of_body = || error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref();
    error.downcast_ref().or_else(of_body).unwrap_or_else(|| panic!("{error}"))
}

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test]
async fn requests_go_one_after_the_other_over_one_connection() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nchunk\r\n0\r\n\r\n";
    let empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (authority, served) = server(vec![vec![HELLO, chunked, empty, HELLO]]).await;
    let upstream = upstream();
    for expected in ["hello", "chunk", "", "hello"] {
        assert_eq!(get(&upstream, &authority).await.unwrap(), expected);
    }
    assert_eq!(served.await.unwrap(), [4]);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_rested_costs_nobody_a_failure() {
    let (authority, served) = server(vec![vec![HELLO], vec![HELLO]]).await;
    let upstream = upstream();
    for _ in 0..2 {
        assert_eq!(get(&upstream, &authority).await.unwrap(), "hello");
    }
    assert_eq!(served.await.unwrap(), [1, 1]);
}

#[tokio::test]
async fn a_request_that_was_taken_and_not_answered_goes_over_another_connection_where_the_first_had_rested() {
    let (authority, served) = server(vec![vec![HELLO, b""], vec![HELLO]]).await;
    let upstream = upstream();
    for _ in 0..2 {
        assert_eq!(get(&upstream, &authority).await.unwrap(), "hello");
    }
    assert_eq!(served.await.unwrap(), [2, 1]);
}

#[tokio::test]
async fn a_new_connection_that_is_closed_without_an_answer_is_a_failure() {
    let (authority, served) = server(vec![vec![b""]]).await;
    let error = get(&upstream(), &authority).await.unwrap_err();
    assert!(matches!(why(&error), LineError::Closed), "{error}");
    assert_eq!(served.await.unwrap(), [1]);
}

#[tokio::test]
async fn an_answer_that_has_begun_is_not_asked_for_again() {
    let (authority, served) = server(vec![vec![HELLO, b"HTTP/1.1 2"], vec![HELLO]]).await;
    let upstream = upstream();
    assert_eq!(get(&upstream, &authority).await.unwrap(), "hello");
    let error = get(&upstream, &authority).await.unwrap_err();
    assert!(matches!(why(&error), LineError::Closed), "{error}");
    assert_eq!(get(&upstream, &authority).await.unwrap(), "hello", "over a new one");
    assert_eq!(served.await.unwrap(), [2, 1]);
}

#[tokio::test]
async fn what_a_server_sends_beyond_an_answer_is_in_no_other() {
    let surplus = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let (authority, served) = server(vec![vec![surplus, HELLO], vec![HELLO]]).await;
    let upstream = upstream();
    for _ in 0..2 {
        assert_eq!(get(&upstream, &authority).await.unwrap(), "hello");
    }
    assert_eq!(served.await.unwrap(), [1, 1]);
}

#[tokio::test]
async fn what_comes_with_the_end_of_a_body_is_not_of_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let (head_is_read, reads_on) = tokio::sync::oneshot::channel();
    let served = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        first.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 53\r\n\r\n").await.unwrap();
        reads_on.await.unwrap();
        first.write_all(&[&[b'a'; 53][..], b"evil"].concat()).await.unwrap();
        let (mut second, _) = listener.accept().await.unwrap();
        second.write_all(HELLO).await.unwrap();
        (first, second)
    });
    let upstream = upstream();
    let request = Request::get(format!("http://{authority}/3,01")).body(()).unwrap();
    let mut answer = upstream.send(request).await.unwrap();
    head_is_read.send(()).unwrap();
    // So that all of it is here when it is read.
    sleep(Duration::from_millis(50)).await;
    assert_eq!(read(answer.body_mut()).await.unwrap(), [b'a'; 53]);
    assert_eq!(get(&upstream, &authority).await.unwrap(), "hello", "over another connection");
    drop(served.await.unwrap());
}

#[tokio::test]
async fn a_body_that_ends_early_fails_and_one_that_ends_with_its_connection_does_not() {
    let (authority, _served) = server(vec![
        vec![b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"],
        vec![b"HTTP/1.1 200 OK\r\n\r\nhello"],
        vec![b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"],
    ])
    .await;
    let upstream = upstream();
    let error = get(&upstream, &authority).await.unwrap_err();
    assert!(matches!(why(&error), LineError::Framing(FramingError::Early(4))), "{error}");
    assert_eq!(get(&upstream, &authority).await.unwrap(), "hello");
    let error = get(&upstream, &authority).await.unwrap_err();
    assert!(matches!(why(&error), LineError::Framing(FramingError::EarlyChunk)), "{error}");
}

#[tokio::test]
async fn an_error_that_nobody_reads_leaves_its_connection_for_others() {
    let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found";
    let (authority, served) = server(vec![vec![missing, HELLO]]).await;
    let upstream = upstream();
    let request = Request::get(format!("http://{authority}/3,01")).body(()).unwrap();
    drop(upstream.send(request).await.unwrap());
    assert_eq!(get(&upstream, &authority).await.unwrap(), "hello");
    assert_eq!(served.await.unwrap(), [2]);
}

#[tokio::test]
async fn a_body_that_is_dropped_closes_its_connection() {
    let long = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello";
    let (authority, served) = server(vec![vec![long, HELLO], vec![HELLO]]).await;
    let upstream = upstream();
    let request = Request::get(format!("http://{authority}/3,01")).body(()).unwrap();
    drop(upstream.send(request).await.unwrap());
    assert_eq!(get(&upstream, &authority).await.unwrap(), "hello");
    assert_eq!(served.await.unwrap(), [1, 1]);
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = get(&upstream(), &authority).await.unwrap_err();
    let mut innermost: &dyn Error = &*error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let kind = innermost.downcast_ref().map(io::Error::kind);
    assert_eq!(kind, Some(io::ErrorKind::ConnectionRefused), "{error}");
}

#[tokio::test]
async fn a_connection_that_rests_ends_after_half_a_minute() {
    let (authority, served) = server(vec![vec![HELLO, HELLO]]).await;
    let upstream = upstream();
    assert_eq!(get(&upstream, &authority).await.unwrap(), "hello");
    tokio::time::pause();
    sleep(LONGEST_REST - Duration::from_secs(1)).await;
    assert!(!served.is_finished());
    sleep(Duration::from_secs(7)).await;
    tokio::time::resume();
    assert_eq!(served.await.unwrap(), [1], "it was closed, and the server saw it");
}

#[tokio::test]
async fn the_host_is_the_server_and_its_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let served = tokio::spawn(async move {
        let (mut line, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            line.read_buf(&mut bytes).await.unwrap();
        }
        line.write_all(HELLO).await.unwrap();
        String::from_utf8(bytes).unwrap()
    });
    let request = Request::get(format!("http://{authority}/3,01")).header(header::RANGE, "bytes=0-4").body(()).unwrap();
    assert_eq!(upstream().send(request).await.unwrap().status(), StatusCode::OK);
    let sent = served.await.unwrap();
    assert_eq!(sent, format!("GET /3,01 HTTP/1.1\r\nhost: {authority}\r\nrange: bytes=0-4\r\n\r\n"));
}

#[tokio::test]
async fn a_head_may_be_long_but_not_without_end() {
    for (line, is_taken) in [(100_000, true), (255 << 10, true), (256 << 10, false), (10 << 20, false)] {
        let head = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 2\r\n\r\nok", "x".repeat(line));
        let (here, there) = tokio::io::duplex(64 << 10);
        let fed = tokio::spawn(feed(there, head.into_bytes(), vec![10_000]));
        let request = WireRequest::of(&Request::get("http://a:1/3,01").body(()).unwrap(), 80).unwrap();
        let answer = Connection::new(here).exchange(&request).await;
        match answer {
            Ok(_) => assert!(is_taken, "{line}"),
            Err(ExchangeFailure { error, .. }) => {
                assert!(!is_taken && matches!(error, LineError::LongHead), "{line}: {error}");
            }
        }
        fed.abort();
    }
}

#[tokio::test]
async fn bytes_that_are_here_are_a_body() {
    let mut body: UpstreamBody = Box::pin(io::Cursor::new(Bytes::from_static(b"hello")));
    assert_eq!(read(&mut body).await.unwrap(), b"hello");
}

#[test]
fn a_record_is_an_answer_as_far_as_it_is_whole() {
    let answer = |bytes: &str| recorded_answer(bytes.as_bytes());
    let whole = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
    assert_eq!(answer(whole), Some((StatusCode::NOT_FOUND, b"no".to_vec())));
    assert_eq!(answer(&whole[..whole.len() - 1]), None);
    assert_eq!(answer("no answer"), None);
}

#[tokio::test]
async fn a_body_that_has_failed_has_not_ended() {
    let (authority, _served) = server(vec![vec![b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"]]).await;
    let request = Request::get(format!("http://{authority}/3,01")).body(()).unwrap();
    let mut answer = upstream().send(request).await.unwrap();
    let mut bytes = [0; 100];
    assert_eq!(answer.body_mut().read(&mut bytes).await.unwrap(), 5);
    for _ in 0..3 {
        assert!(answer.body_mut().read(&mut bytes).await.is_err());
    }
}

#[tokio::test]
async fn words_before_an_answer_are_passed_over_but_no_other_protocol_is_spoken() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (code, is_taken) in [(100, true), (103, true), (101, false)] {
        let bytes = format!("HTTP/1.1 {code} Word\r\n\r\n{answer}").into_bytes();
        let seen = ours(Method::GET, bytes, vec![1000], false).await;
        assert_eq!(seen, is_taken.then(|| (StatusCode::OK, b"ok".to_vec())), "{code}");
    }
}

#[test]
fn the_port_of_http_goes_without_saying() {
    assert_eq!(Connector::new(Duration::from_secs(1), None).default_port(), 80);
}

#[tokio::test]
async fn after_a_large_body_another_request_goes_over_the_same_connection() {
    let (here, mut there) = tokio::io::duplex(1 << 16);
    let request = WireRequest::of(&Request::get("http://a:1/3,01").body(()).unwrap(), 80).unwrap();
    let mut connection = Connection::new(here);
    for length in [20_000, 0] {
        // Its body has gone where it was wanted.
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        there.write_all(head.as_bytes()).await.unwrap();
        assert!(connection.exchange(&request).await.is_ok(), "{length}");
    }
}
