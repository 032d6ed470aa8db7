use std::collections::{BTreeMap, BTreeSet};

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/metrics.md");

/// The daemon's metrics, those of the log, of the engine and of the S3 front, as one registry has them.
fn all() -> Metrics {
    let metrics = Metrics::new(["main"]).unwrap();
    LostLines::new().unwrap().register(&metrics.registry).unwrap();
    S3::register(&metrics.registry, ["304"], ["small"]).unwrap();
    Filers::register(&metrics.registry).unwrap().configured(["filer:8888".to_owned()]);
    let look: CacheReader = Box::new(|| CacheContents { entries: 0, bytes: Some(0) });
    CacheSizes::register(&metrics.registry, [(Cache::Chunks, look)]).unwrap();
    prefetch::Metrics::register(&metrics.registry).unwrap();
    metrics.certificates.in_use([("server".to_owned(), 1)].into());
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
        r#"tidegate_limits_hit_total{limit="requests_per_peer"} 0"#,
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
