//! What the stages of a request took, as spans of its trace (OpenTelemetry).
//!
//! Knows spans, and the collector that takes them. Must not know what a stage does. No span has a path, a query, a header or a
//! key: what a request was about is in the log, under the id that its span has.
//!
//! Without the feature `otlp` there are none, and a stage is what it was.

#[cfg(feature = "otlp")]
mod collector;
#[cfg(feature = "otlp")]
mod request;

#[cfg(feature = "otlp")]
pub(crate) use self::{
    collector::{start, stop},
    request::RequestSpan,
};
use crate::correlation::TraceParent;

/// Our hop of a request's trace. `parent`: the hop before, if somebody who is believed told of one, who has then decided whether
/// it is recorded.
pub(crate) fn hop(parent: Option<TraceParent>) -> Option<TraceParent> {
    #[cfg(feature = "otlp")]
    let parent = parent.or_else(collector::sampled);
    parent.map(TraceParent::next)
}

/// Does `stage`, which is a span by this name of the request for which it is done.
#[cfg(not(feature = "otlp"))]
pub(crate) fn during<F: Future>(_name: &'static str, stage: F) -> F {
    stage
}

/// Does `stage`, which is a span by this name of the request for which it is done.
#[cfg(feature = "otlp")]
pub(crate) async fn during<F: Future>(name: &'static str, stage: F) -> F::Output {
    let _span = collector::StageSpan::begin(name);
    stage.await
}
