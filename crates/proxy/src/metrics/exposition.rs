//! All metrics as text, in the format that whoever scrapes asks for: Prometheus's own, or OpenMetrics.

use std::fmt::Write as _;

use prometheus::{
    Registry, TextEncoder,
    proto::{LabelPair, Metric, MetricFamily, MetricType},
};

const OPEN_METRICS: &str = "application/openmetrics-text";
const OPEN_METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything in `registry`, and its media type. `accept` is what the header `Accept` says; without one, and whatever it
/// says that is not understood, the format is Prometheus's.
///
/// # Errors
/// When a metric has no samples, which is a bug.
pub(crate) fn exposition(registry: &Registry, accept: &str) -> prometheus::Result<(&'static str, String)> {
    let families = registry.gather();
    if wants_open_metrics(accept) {
        return Ok((OPEN_METRICS_TYPE, open_metrics(&families)));
    }
    Ok((prometheus::TEXT_FORMAT, TextEncoder::new().encode_to_string(&families)?))
}

/// Whether OpenMetrics is named, in a version that is given, and nothing that is better liked is Prometheus's.
fn wants_open_metrics(accept: &str) -> bool {
    let mut liked = (0.0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let (mut quality, mut version) = (1.0, "");
        for parameter in parts {
            match parameter.split_once('=').map(|(name, value)| (name.trim(), value.trim().trim_matches('"'))) {
                Some(("q", value)) => quality = value.parse().unwrap_or(0.0),
                Some(("version", value)) => version = value,
                _ => {}
            }
        }
        if media_type.eq_ignore_ascii_case(OPEN_METRICS) && matches!(version, "" | "0.0.1" | "1.0.0") {
            liked.0 = f64::max(liked.0, quality);
        } else if media_type.eq_ignore_ascii_case("text/plain") {
            liked.1 = f64::max(liked.1, quality);
        }
    }
    liked.0 > 0.0 && liked.0 >= liked.1
}

fn open_metrics(families: &[MetricFamily]) -> String {
    let mut text = String::new();
    for family in families {
        write_family(&mut text, family);
    }
    text.push_str("# EOF\n");
    text
}

fn write_family(text: &mut String, family: &MetricFamily) {
    let name = family.name();
    // The name of a family is without what its samples' names end with.
    let (base, kind) = match family.get_field_type() {
        MetricType::COUNTER => (name.strip_suffix("_total").unwrap_or(name), "counter"),
        MetricType::HISTOGRAM => (name, "histogram"),
        MetricType::GAUGE => name.strip_suffix("_info").map_or((name, "gauge"), |base| (base, "info")),
        MetricType::SUMMARY | MetricType::UNTYPED => (name, "unknown"),
    };
    // Writing to a text does not fail.
    let _ = writeln!(text, "# TYPE {base} {kind}\n# HELP {base} {}", escaped(family.help()));
    for metric in family.get_metric() {
        let labels = labels(metric.get_label());
        match kind {
            "counter" => sample(text, base, "_total", &labels, metric.get_counter().get_value()),
            "info" => sample(text, base, "_info", &labels, metric.get_gauge().get_value()),
            "gauge" => sample(text, base, "", &labels, metric.get_gauge().get_value()),
            "histogram" => write_histogram(text, base, &labels, metric),
            _ => {}
        }
    }
}

fn write_histogram(text: &mut String, base: &str, labels: &str, metric: &Metric) {
    let histogram = metric.get_histogram();
    let comma = if labels.is_empty() { "" } else { "," };
    for bucket in histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
        // `{:?}` writes a whole number with its point, as the format wants bounds.
        let le = format!("{labels}{comma}le=\"{:?}\"", bucket.upper_bound());
        sample(text, base, "_bucket", &le, bucket.cumulative_count() as f64);
    }
    let count = histogram.get_sample_count() as f64;
    sample(text, base, "_bucket", &format!("{labels}{comma}le=\"+Inf\""), count);
    sample(text, base, "_count", labels, count);
    sample(text, base, "_sum", labels, histogram.get_sample_sum());
}

fn sample(text: &mut String, base: &str, suffix: &str, labels: &str, value: f64) {
    let _ = match labels {
        "" => writeln!(text, "{base}{suffix} {value}"),
        _ => writeln!(text, "{base}{suffix}{{{labels}}} {value}"),
    };
}

fn labels(pairs: &[LabelPair]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|pair| format!("{}=\"{}\"", pair.name(), escaped(pair.value()))).collect();
    pairs.join(",")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntGaugeVec, Opts};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whoever_asks_for_open_metrics_gets_it() {
        const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, wants) in [
            (PROMETHEUS_3, true),
            ("application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true),
            ("application/openmetrics-text", true),
            ("Application/OpenMetrics-Text; version=\"1.0.0\"", true),
            ("", false),
            ("*/*", false),
            ("text/plain, application/openmetrics-text;q=0.5", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;version=2.0.0", false),
        ] {
            assert_eq!(wants_open_metrics(accept), wants, "{accept}");
        }
    }

    #[test]
    fn open_metrics_are_written_by_their_rules() {
        let registry = Registry::new();
        let drops = IntCounter::new("drops_total", "Drops, \"all\" of them.").unwrap();
        let build = IntGaugeVec::new(Opts::new("gate_build_info", "Which."), &["version"]).unwrap();
        build.with_label_values(&["1\"\n\\"]).set(1);
        let seconds = HistogramOpts::new("wait_seconds", "Waits.").buckets(vec![0.5, 2.0]);
        let seconds = HistogramVec::new(seconds, &["by"]).unwrap();
        seconds.with_label_values(&["a"]).observe(1.0);
        registry.register(Box::new(drops.clone())).unwrap();
        registry.register(Box::new(build)).unwrap();
        registry.register(Box::new(seconds)).unwrap();
        drops.inc();
        let (media_type, text) = exposition(&registry, OPEN_METRICS).unwrap();
        assert_eq!(media_type, OPEN_METRICS_TYPE);
        assert_eq!(
            text,
            "# TYPE drops counter\n# HELP drops Drops, \\\"all\\\" of them.\ndrops_total 1\n\
             # TYPE gate_build info\n# HELP gate_build Which.\ngate_build_info{version=\"1\\\"\\n\\\\\"} 1\n\
             # TYPE wait_seconds histogram\n# HELP wait_seconds Waits.\n\
             wait_seconds_bucket{by=\"a\",le=\"0.5\"} 0\nwait_seconds_bucket{by=\"a\",le=\"2.0\"} 1\n\
             wait_seconds_bucket{by=\"a\",le=\"+Inf\"} 1\nwait_seconds_count{by=\"a\"} 1\nwait_seconds_sum{by=\"a\"} 1\n\
             # EOF\n"
        );
        assert_eq!(exposition(&registry, "*/*").unwrap().0, prometheus::TEXT_FORMAT);
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(accept in "[a-z/;=,.*q0-9\" -]{0,80}") {
            wants_open_metrics(&accept);
        }
    }
}
