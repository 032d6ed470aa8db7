use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, advance};

use super::{measure, record::Record};
use crate::{
    layers::watched::WatchedBody,
    metrics::{Metrics, SseLabel},
    wire::{Body, BoxError},
};

fn scrape(metrics: &Metrics) -> String {
    prometheus::TextEncoder::new().encode_to_string(&metrics.registry.gather()).unwrap()
}

/// What a request of SSE-KMS left in the counters: requests, durations, sum of durations, first bytes, their sum, bytes,
/// cut by the client, cut by a failure.
fn counted(metrics: &Metrics, code: &str) -> (u64, u64, f64, u64, f64, u64, u64, u64) {
    let by_sse = metrics.requests.by_sse(SseLabel::Kms);
    let text = scrape(metrics);
    let series = format!(r#"tidegate_requests_total{{code="{code}",method="GET",sse="kms"}} "#);
    let requests = text.lines().find_map(|line| line.strip_prefix(&series)).unwrap_or("0").parse().unwrap();
    (
        requests,
        by_sse.duration.get_sample_count(),
        by_sse.duration.get_sample_sum(),
        by_sse.first_byte.get_sample_count(),
        by_sse.first_byte.get_sample_sum(),
        by_sse.bytes.get(),
        by_sse.left.get(),
        by_sse.failed.get(),
    )
}

fn measured(metrics: &Metrics, body: Body, status: u16) -> WatchedBody<Body, Record> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.extensions_mut().insert(SseLabel::Kms);
    measure(response, &Method::GET, metrics.requests.clone(), Instant::now()).into_body()
}

fn pieces(length: Option<u64>, parts: Vec<Result<&'static str, &'static str>>) -> Body {
    let parts =
        parts.into_iter().map(|part| part.map(|part| Bytes::from_static(part.as_bytes())).map_err(BoxError::from));
    Body::from_stream(length, stream::iter(parts))
}

#[tokio::test(start_paused = true)]
async fn a_whole_body_is_counted_when_its_last_byte_is_out() {
    let metrics = Metrics::new([]).unwrap();
    let mut body = measured(&metrics, pieces(Some(6), vec![Ok("abc"), Ok("def")]), 206);
    advance(Duration::from_secs(1)).await;
    body.frame().await.unwrap().unwrap();
    assert_eq!(counted(&metrics, "206"), (0, 0, 0.0, 1, 1.0, 3, 0, 0));
    advance(Duration::from_secs(2)).await;
    body.frame().await.unwrap().unwrap();
    assert_eq!(counted(&metrics, "206"), (1, 1, 3.0, 1, 1.0, 6, 0, 0));
    drop(body);
    assert_eq!(counted(&metrics, "206"), (1, 1, 3.0, 1, 1.0, 6, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_of_unknown_length_is_counted_at_its_end() {
    let metrics = Metrics::new([]).unwrap();
    let mut body = measured(&metrics, pieces(None, vec![Ok("abc")]), 200);
    body.frame().await.unwrap().unwrap();
    assert_eq!(counted(&metrics, "200").0, 0);
    assert!(body.frame().await.is_none());
    assert_eq!(counted(&metrics, "200"), (1, 1, 0.0, 1, 0.0, 3, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_counted_once_with_the_code_it_got() {
    let metrics = Metrics::new([]).unwrap();
    let mut body = measured(&metrics, pieces(Some(6), vec![Ok("abc"), Ok("def")]), 200);
    body.frame().await.unwrap().unwrap();
    advance(Duration::from_secs(5)).await;
    drop(body);
    assert_eq!(counted(&metrics, "200"), (1, 1, 5.0, 1, 0.0, 3, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_the_first_byte_has_no_time_to_it() {
    let metrics = Metrics::new([]).unwrap();
    let body = measured(&metrics, pieces(Some(6), vec![Ok("abcdef")]), 200);
    advance(Duration::from_secs(5)).await;
    drop(body);
    assert_eq!(counted(&metrics, "200"), (1, 1, 5.0, 0, 0.0, 0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_broken_body_is_counted_as_our_failure() {
    let metrics = Metrics::new([]).unwrap();
    let mut body = measured(&metrics, pieces(Some(6), vec![Ok("abc"), Err("no replica left")]), 200);
    body.frame().await.unwrap().unwrap();
    assert!(body.frame().await.unwrap().is_err());
    drop(body);
    assert_eq!(counted(&metrics, "200"), (1, 1, 0.0, 1, 0.0, 3, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_is_complete_as_it_is() {
    let metrics = Metrics::new([]).unwrap();
    let body = measured(&metrics, Body::empty(), 403);
    assert!(body.is_end_stream());
    drop(body);
    assert_eq!(counted(&metrics, "403"), (1, 1, 0.0, 1, 0.0, 0, 0, 0));
}
