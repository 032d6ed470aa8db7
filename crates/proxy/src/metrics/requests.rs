//! Requests of the fronts: how many, how long, how much.

use std::sync::OnceLock;

use http::{Method, StatusCode};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// How the object that a request was about is encrypted. A front puts it into the extensions of its response; an
/// answer without it counts as `none`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SseLabel {
    /// Not encrypted, or relayed, or not found out.
    #[default]
    None,
    /// SSE-C.
    C,
    /// SSE-KMS.
    Kms,
    /// SSE-S3.
    S3,
}

impl SseLabel {
    pub(super) const ALL: [Self; 4] = [Self::None, Self::C, Self::Kms, Self::S3];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::C => "c",
            Self::Kms => "kms",
            Self::S3 => "s3",
        }
    }
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "OTHER"];

/// The closed set of the method label: what a client makes up counts as `OTHER`.
#[derive(Clone, Copy)]
pub(crate) struct MethodLabel(usize);

impl From<&Method> for MethodLabel {
    fn from(method: &Method) -> Self {
        let known = METHODS.iter().position(|name| *name == method.as_str());
        Self(known.unwrap_or(METHODS.len() - 1))
    }
}

/// The client left before it was answered; nobody was sent this code. The filer and nginx log it so.
pub(crate) const CLIENT_LEFT: u16 = 499;

/// Codes that are common enough to have a ready counter. Sorted.
const CODES: [u16; 28] = [
    200,
    201,
    202,
    204,
    206,
    301,
    302,
    304,
    307,
    308,
    400,
    401,
    403,
    404,
    405,
    409,
    411,
    412,
    413,
    416,
    429,
    CLIENT_LEFT,
    500,
    501,
    502,
    503,
    504,
    508,
];

/// Seconds. From an inline file to an hour-long download.
const DURATION: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0, 3600.0];
/// Seconds. From a cached entry to a KMS that takes its time.
const FIRST_BYTE: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Counters and histograms of the requests that clients make.
pub struct Requests {
    total: IntCounterVec,
    /// The children of `total` by method, sse and code: made when first needed, then found without hashing.
    ready: Box<[OnceLock<IntCounter>]>,
    by_sse: [BySse; 4],
    in_flight: IntGauge,
    served: IntCounter,
    relayed: IntCounter,
}

/// What has no other label than `sse`.
pub(crate) struct BySse {
    pub(crate) duration: Histogram,
    pub(crate) first_byte: Histogram,
    pub(crate) bytes: IntCounter,
    pub(crate) left: IntCounter,
    pub(crate) failed: IntCounter,
}

impl Requests {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let total = counter(
            registry,
            "tidegate_requests_total",
            "Requests that are over, by method, the status code that was sent, and the object's encryption.",
            &["method", "code", "sse"],
        )?;
        let duration = histogram(
            registry,
            "tidegate_request_duration_seconds",
            "From a request's headers to the last byte of the answer's body, or to its end if it was cut.",
            &DURATION,
        )?;
        let first_byte = histogram(
            registry,
            "tidegate_time_to_first_byte_seconds",
            "From a request's headers to the first byte of the answer's body, or to the headers of an answer without one.",
            &FIRST_BYTE,
        )?;
        let bytes = counter(
            registry,
            "tidegate_response_bytes_total",
            "Bytes of bodies handed to clients' connections, counted as they go.",
            &["sse"],
        )?;
        let cut = counter(
            registry,
            "tidegate_responses_cut_total",
            "Answers that ended before their body was complete, by who ended them.",
            &["sse", "by"],
        )?;
        let answers = counter(
            registry,
            "tidegate_answers_total",
            "Answers that began, by who gave them: tidegate, or a filer or S3 gateway whose answer was passed on.",
            &["by"],
        )?;
        let in_flight = IntGauge::new("tidegate_requests_in_flight", "Requests whose answer is not out.")?;
        registry.register(Box::new(in_flight.clone()))?;
        let by_sse = SseLabel::ALL.map(|sse| {
            let sse = sse.as_str();
            BySse {
                duration: duration.with_label_values(&[sse]),
                first_byte: first_byte.with_label_values(&[sse]),
                bytes: bytes.with_label_values(&[sse]),
                left: cut.with_label_values(&[sse, "client"]),
                failed: cut.with_label_values(&[sse, "failure"]),
            }
        });
        let ready = (0..METHODS.len() * SseLabel::ALL.len() * CODES.len()).map(|_| OnceLock::new()).collect();
        let (served, relayed) = (answers.with_label_values(&["served"]), answers.with_label_values(&["relayed"]));
        let requests = Self { total, ready, by_sse, in_flight, served, relayed };
        for sse in SseLabel::ALL {
            for (method, code) in [("GET", 200), ("GET", 206), ("HEAD", 200)] {
                // A counter that appears with its first request has no rate for it.
                requests.total.with_label_values(&[method, &code.to_string(), sse.as_str()]);
            }
        }
        Ok(requests)
    }

    pub(crate) fn by_sse(&self, sse: SseLabel) -> &BySse {
        &self.by_sse[sse as usize]
    }

    /// A request has come.
    pub(crate) fn begun(&self) {
        self.in_flight.inc();
    }

    /// Its answer begins; whether it is passed on.
    pub(crate) fn answered(&self, is_relayed: bool) {
        if is_relayed { &self.relayed } else { &self.served }.inc();
    }

    /// It is over: its answer is out, or nobody waits for one.
    pub(crate) fn over(&self) {
        self.in_flight.dec();
    }

    pub(crate) fn count(&self, method: MethodLabel, status: StatusCode, sse: SseLabel) {
        let code = status.as_u16();
        let make = || self.total.with_label_values(&[METHODS[method.0], status.as_str(), sse.as_str()]);
        match CODES.binary_search(&code) {
            Ok(column) => {
                let row = method.0 * SseLabel::ALL.len() + sse as usize;
                self.ready[row * CODES.len() + column].get_or_init(make).inc();
            }
            Err(_) => make().inc(),
        }
    }
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<HistogramVec> {
    let histogram = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), &["sse"])?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_can_be_searched() {
        assert!(CODES.is_sorted());
    }

    #[test]
    fn every_request_has_its_own_counter() {
        let requests = Requests::register(&Registry::new()).unwrap();
        let made_up = Method::from_bytes(b"MKCOL").unwrap();
        let cases = [
            (Method::GET, 200, SseLabel::None, ["GET", "200", "none"]),
            (Method::GET, 206, SseLabel::Kms, ["GET", "206", "kms"]),
            (Method::HEAD, 200, SseLabel::C, ["HEAD", "200", "c"]),
            (Method::PUT, 201, SseLabel::S3, ["PUT", "201", "s3"]),
            (Method::GET, 418, SseLabel::None, ["GET", "418", "none"]),
            (made_up, 508, SseLabel::S3, ["OTHER", "508", "s3"]),
        ];
        for (times, (method, code, sse, labels)) in (1..).zip(cases) {
            for _ in 0..times {
                requests.count(MethodLabel::from(&method), StatusCode::from_u16(code).unwrap(), sse);
            }
            assert_eq!(requests.total.with_label_values(&labels).get(), times);
        }
    }
}
