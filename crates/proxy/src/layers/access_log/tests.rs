use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use prometheus::IntCounter;
use serde_json::{Value, json};
use tokio::time::advance;

use super::*;
use crate::{
    metrics::SseLabel,
    server::testing::FrontFn,
    wire::{Body, BoxError, PeerTls, RelayedAnswer, Subject},
};

const LONG: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A log of which the lines can be read.
struct Log {
    sink: Sink,
    lines: Arc<AccessLines>,
}

impl Log {
    fn new(encrypted_only: bool, json: bool) -> Self {
        Self::of(encrypted_only, if json { Form::Json } else { Form::Text }, 1)
    }

    fn of(encrypted_only: bool, form: Form, one_of: u32) -> Self {
        let sink = Sink::default();
        let spool = Spool::start("test", sink.clone(), 1 << 16, IntCounter::new("lost", "lost").unwrap()).unwrap();
        Self { sink, lines: Arc::new(AccessLines { spool, encrypted_only, form, one_of }) }
    }

    fn text(&self) -> String {
        self.lines.flush(LONG);
        String::from_utf8(self.sink.0.lock().unwrap().clone()).unwrap()
    }

    fn objects(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn pieces(parts: Vec<Result<&'static str, &'static str>>) -> Body {
    let parts = parts.into_iter().map(|part| part.map(Bytes::from).map_err(BoxError::from));
    Body::from_stream(Some(6), stream::iter(parts))
}

/// Answers after a second, as the path says.
async fn answer(request: Request<RequestBody>, _: Peer) -> Response<Body> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let broken = request.uri().path() == "/broken";
    let mut response = Response::new(pieces(vec![Ok("abc"), if broken { Err("broken") } else { Ok("def") }]));
    let extensions = response.extensions_mut();
    match request.uri().path() {
        "/sealed" => {
            extensions.insert(SseLabel::Kms);
            response.headers_mut().insert("x-amz-server-side-encryption-aws-kms-key-id", "key-1".parse().unwrap());
        }
        "/relayed" => drop(extensions.insert(RelayedAnswer)),
        "/relayed-sealed" => {
            extensions.insert(RelayedAnswer);
            extensions.insert(SseLabel::None);
            response.headers_mut().insert("x-amz-server-side-encryption", "AES256".parse().unwrap());
        }
        _ => drop(extensions.insert(Subject("ann".into()))),
    }
    response
}

fn front(log: &Log) -> AccessLog<impl Front<Body = Body>> {
    AccessLog::new(FrontFn(answer), Some(Arc::clone(&log.lines)))
}

fn asked(method: &str, uri: &str) -> Request<RequestBody> {
    let request = Request::builder().method(method).uri(uri).header("user-agent", "test \"1\"\x09");
    let request = request.header("authorization", "Bearer secret").header("cookie", "AT=secret");
    request.header("range", "bytes=0-5").body(RequestBody::none()).unwrap()
}

fn peer() -> Peer {
    Peer::plain(([192, 0, 2, 7], 1).into())
}

#[tokio::test(start_paused = true)]
async fn a_line_tells_of_a_whole_answer_when_its_last_byte_is_out_and_of_no_secret() {
    let log = Log::new(false, true);
    let mut client = peer();
    client.tls = Some(PeerTls::verified(Some(b"certificate")));
    let mut body = front(&log).handle(asked("GET", "/a%20b?jwt=secret"), client).await.into_body();
    body.frame().await.unwrap().unwrap();
    advance(Duration::from_millis(500)).await;
    assert_eq!(log.text(), "");
    body.frame().await.unwrap().unwrap();
    drop(body);
    let mut lines = log.objects();
    let line = lines[0].as_object_mut().unwrap();
    assert!(line.remove("timestamp").unwrap().as_str().unwrap().ends_with('Z'));
    assert_eq!(line.remove("request").unwrap().as_str().unwrap().len(), 24);
    let certificate = line.remove("certificate").unwrap();
    assert!(certificate.as_str().unwrap().starts_with("sha256:") && certificate.as_str().unwrap().len() == 71);
    let expected = json!({
        "peer": "192.0.2.7", "subject": "ann", "method": "GET", "path": "/a%20b", "range": "bytes=0-5", "sse": "none",
        "status": 200, "bytes": 6, "first_byte": 1.0, "duration": 1.5, "fetches": 0, "retries": 0, "by": "served", "end": "whole",
        "user_agent": "test \"1\"\t",
    });
    assert_eq!((lines.len(), &lines[0]), (1, &expected));
    assert!(!log.text().contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_is_never_whole() {
    let log = Log::new(false, true);
    let front = front(&log);
    let mut left = front.handle(asked("GET", "/a"), peer()).await.into_body();
    left.frame().await.unwrap().unwrap();
    drop(left);
    drop(front.handle(asked("GET", "/a"), peer()).await);
    let mut broken = front.handle(asked("GET", "/broken"), peer()).await.into_body();
    broken.frame().await.unwrap().unwrap();
    broken.frame().await.unwrap().unwrap_err();
    drop(broken);
    assert!(tokio::time::timeout(Duration::ZERO, front.handle(asked("GET", "/a"), peer())).await.is_err());
    drop(front.handle(asked("HEAD", "/a"), peer()).await);
    let seen: Vec<_> = log
        .objects()
        .iter()
        .map(|line| {
            let of = |name: &str| line[name].clone();
            json!([of("status"), of("bytes"), of("end"), of("cut_by"), of("first_byte")])
        })
        .collect();
    let expected = [
        json!([200, 3, "cut", "client", 1.0]),
        json!([200, 0, "cut", "client", null]),
        json!([200, 3, "cut", "failure", 1.0]),
        json!([499, 0, "cut", "client", null]),
        json!([200, 0, "whole", null, null]),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn the_audit_has_what_is_encrypted_by_whomever_it_is_answered() {
    let log = Log::new(true, true);
    let front = front(&log);
    for path in ["/a", "/relayed", "/sealed", "/relayed-sealed"] {
        front.handle(asked("GET", path), peer()).await.into_body().collect().await.unwrap();
    }
    let seen: Vec<_> = log.objects().iter().map(|line| json!([line["path"], line["sse"], line["by"]])).collect();
    assert_eq!(seen, [json!(["/sealed", "kms", "served"]), json!(["/relayed-sealed", "s3", "relayed"])]);
}

#[tokio::test(start_paused = true)]
async fn a_line_of_text_is_one_line_whatever_a_client_says() {
    let log = Log::new(false, false);
    front(&log).handle(asked("GET", "/a%0a"), peer()).await.into_body().collect().await.unwrap();
    let text = log.text();
    assert_eq!(text.lines().count(), 1);
    let (_, rest) = text.split_once(" peer=").unwrap();
    assert_eq!(
        rest,
        "192.0.2.7 subject=\"ann\" method=\"GET\" path=\"/a%0a\" range=\"bytes=0-5\" sse=none status=200 bytes=6 \
         first_byte=1 duration=1 fetches=0 retries=0 by=served end=whole user_agent=\"test \\\"1\\\"\\t\"\n"
    );
}

#[tokio::test(start_paused = true)]
async fn no_line_tells_a_terminal_what_to_do() {
    for json in [true, false] {
        let log = Log::new(false, json);
        let mut request = asked("GET", "/a\u{9b}31m");
        request.headers_mut().insert("user-agent", HeaderValue::from_bytes("\u{9b}31m".as_bytes()).unwrap());
        front(&log).handle(request, peer()).await.into_body().collect().await.unwrap();
        let text = log.text();
        assert!(text.contains("31m") && !text.trim_end().contains(char::is_control), "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_log_there_is_no_line() {
    let front = AccessLog::new(FrontFn(answer), None);
    assert_eq!(
        front.handle(asked("GET", "/a"), peer()).await.into_body().collect().await.unwrap().to_bytes(),
        "abcdef"
    );
}

#[tokio::test(start_paused = true)]
async fn an_entry_of_the_journal_has_each_member_by_its_name() {
    let log = Log::of(false, Form::Entry, 1);
    front(&log).handle(asked("GET", "/sealed?jwt=secret"), peer()).await.into_body().collect().await.unwrap();
    let text = log.text();
    let fields: Vec<_> = text.lines().collect();
    assert!(text.ends_with("\n\n") && !text.contains("secret"), "{text}");
    assert!(fields.iter().any(|field| field.starts_with("MESSAGE=request=") && field.contains(" sse=kms ")), "{text}");
    for field in [
        "PRIORITY=6",
        "TIDEGATE_LOG=access",
        "TIDEGATE_KEY_ID=key-1",
        "TIDEGATE_SSE=kms",
        "TIDEGATE_BYTES=6",
        "TIDEGATE_PEER=192.0.2.7",
    ] {
        assert!(fields.contains(&field), "{field}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_many_that_go_well_some_have_a_line_and_all_others_do() {
    let log = Log::of(false, Form::Json, 10);
    let front = front(&log);
    for _ in 0..1000 {
        front.handle(asked("GET", "/a"), peer()).await.into_body().collect().await.unwrap();
    }
    let lines = log.objects();
    // Outside of this once in 10^9.
    assert!((40..=170).contains(&lines.len()), "{}", lines.len());
    assert!(lines.iter().all(|line| line["one_of"] == 10));
    for _ in 0..20 {
        drop(front.handle(asked("GET", "/broken"), peer()).await.into_body().collect().await.unwrap_err());
    }
    let cut = log.objects().split_off(lines.len());
    assert_eq!(cut.len(), 20);
    assert!(cut.iter().all(|line| line.get("one_of").is_none()));
}
