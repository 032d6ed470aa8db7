use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, advance};

use super::{body::MeasuredBody, front::measure, *};
use crate::server::{Body, BoxError};

const DOCUMENT: &str = include_str!("../../../../docs/metrics.md");

/// The daemon's metrics and those of the engine, as one registry has them.
fn all() -> Metrics {
    let metrics = Metrics::new(["main"]).unwrap();
    prefetch::Metrics::register(&metrics.registry).unwrap();
    metrics
}

/// The document's sections: the metric and the paragraph that describes it.
fn documented() -> BTreeMap<&'static str, &'static str> {
    DOCUMENT
        .split("\n### `")
        .skip(1)
        .map(|section| {
            let (name, rest) = section.split_once('`').unwrap();
            (name, rest.trim_start().split("\n\n").next().unwrap())
        })
        .collect()
}

#[test]
fn the_document_names_every_metric_and_no_other() {
    let registered: BTreeSet<String> = all().registry.gather().iter().map(|family| family.name().into()).collect();
    assert_eq!(registered, documented().into_keys().map(String::from).collect());
}

#[test]
fn the_document_has_each_type_and_label() {
    let documented = documented();
    for family in all().registry.gather() {
        let text = documented[family.name()];
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        assert!(text.to_lowercase().starts_with(&kind), "{} is a {kind}: {text}", family.name());
        for label in family.get_metric().iter().flat_map(|metric| metric.get_label()) {
            assert!(text.contains(&format!("`{}`", label.name())), "{} has {}: {text}", family.name(), label.name());
        }
        assert!(!family.get_metric()[0].get_label().is_empty() || text.contains("No labels"), "{text}");
    }
}

#[test]
fn series_with_closed_labels_exist_from_the_start() {
    let text = scrape(&Metrics::new(["main"]).unwrap());
    for series in [
        r#"tidegate_requests_total{code="200",method="GET",sse="kms"} 0"#,
        r#"tidegate_request_duration_seconds_count{sse="c"} 0"#,
        r#"tidegate_time_to_first_byte_seconds_count{sse="s3"} 0"#,
        r#"tidegate_response_bytes_total{sse="none"} 0"#,
        r#"tidegate_responses_cut_total{by="client",sse="none"} 0"#,
        r#"tidegate_kms_requests_total{outcome="refused",provider="main"} 0"#,
        r#"tidegate_cache_requests_total{cache="data_keys",outcome="miss"} 0"#,
    ] {
        assert!(text.lines().any(|line| line == series), "{series} is not in\n{text}");
    }
    assert!(
        text.contains("# HELP tidegate_requests_total ") && text.contains("# TYPE tidegate_requests_total counter")
    );
}

#[test]
fn kms_and_cache_lookups_are_counted_apart() {
    let metrics = Metrics::new(["main", "other"]).unwrap();
    metrics.kms.provider("other").unwrap().record(KmsOutcome::Invalid);
    assert!(metrics.kms.provider("unknown").is_none());
    metrics.caches.of(Cache::Chunks).record(CacheOutcome::Hit);
    let text = scrape(&metrics);
    let counted: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("tidegate_kms") || line.starts_with("tidegate_cache"))
        .filter(|line| !line.ends_with(" 0"))
        .collect();
    assert_eq!(
        counted,
        [
            r#"tidegate_cache_requests_total{cache="chunks",outcome="hit"} 1"#,
            r#"tidegate_kms_requests_total{outcome="invalid",provider="other"} 1"#,
        ]
    );
}

fn scrape(metrics: &Metrics) -> String {
    prometheus::TextEncoder::new().encode_to_string(&metrics.registry.gather()).unwrap()
}

/// What a request of SSE-KMS left in the counters: requests, durations, sum of durations, first bytes, their sum, bytes,
/// cut by the client, cut by a failure.
fn counted(metrics: &Metrics, code: &str) -> (u64, u64, f64, u64, f64, u64, u64, u64) {
    let by_sse = metrics.requests.by_sse(Sse::Kms);
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

fn measured(metrics: &Metrics, body: Body, status: u16) -> MeasuredBody<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.extensions_mut().insert(Sse::Kms);
    measure(response, false, metrics.requests.clone(), (&Method::GET).into(), Instant::now()).into_body()
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
