//! The span of a whole request, and that of its body.

use std::{borrow::Cow, time::SystemTime};

use http::{Method, StatusCode};
use opentelemetry::{
    KeyValue,
    trace::{SpanKind, Status},
};

use super::collector::{FinishedSpan, send};
use crate::correlation::{Correlation, RequestId, TraceParent};

/// A request that is recorded. It ends when it is dropped: with its body, or without an answer.
pub(crate) struct RequestSpan {
    trace: TraceParent,
    id: RequestId,
    method: Method,
    began: SystemTime,
    first_byte: Option<SystemTime>,
    bytes: u64,
    status: Option<StatusCode>,
    /// `None`: not ended.
    whole: Option<bool>,
}

impl RequestSpan {
    /// `None`: it is not recorded.
    pub(crate) fn begin(method: &Method) -> Option<Self> {
        let Correlation { id, trace } = Correlation::current()?;
        let trace = trace.filter(|trace| trace.sampled)?;
        let (method, began) = (method.clone(), SystemTime::now());
        Some(Self { trace, id, method, began, first_byte: None, bytes: 0, status: None, whole: None })
    }

    /// It has an answer.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// So many bytes of the body have gone out.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.first_byte.get_or_insert_with(SystemTime::now);
        self.bytes += bytes;
    }

    /// All of the body has, or not.
    pub(crate) fn ended(&mut self, whole: bool) {
        self.whole = Some(whole);
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        let (trace, failed) =
            (self.trace, self.whole == Some(false) || self.status.is_some_and(|s| s.is_server_error()));
        let status = if failed { Status::error("") } else { Status::Unset };
        if let Some(began) = self.first_byte {
            let (span, parent, name) = (trace.next().span, trace.span, Cow::Borrowed("body"));
            let attributes =
                vec![KeyValue::new("http.response.body.size", i64::try_from(self.bytes).unwrap_or(i64::MAX))];
            let status = if self.whole == Some(true) { Status::Unset } else { Status::error("cut") };
            send(trace, FinishedSpan { span, parent, kind: SpanKind::Internal, name, began, attributes, status });
        }
        let name = Cow::Owned(self.method.as_str().to_owned());
        let mut attributes = vec![
            KeyValue::new("http.request.method", self.method.as_str().to_owned()),
            KeyValue::new("tidegate.request", self.id.to_string()),
        ];
        attributes.extend(self.status.map(|s| KeyValue::new("http.response.status_code", i64::from(s.as_u16()))));
        let (span, parent, began) = (trace.span, trace.parent, self.began);
        send(trace, FinishedSpan { span, parent, kind: SpanKind::Server, name, began, attributes, status });
    }
}
