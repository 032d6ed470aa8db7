//! The way to the collector: a queue that is never waited for, and a thread that sends what is in it.

use std::{
    borrow::Cow,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _},
};

use crate::correlation::{Correlation, TraceParent};

/// Spans that wait; those that find no room are lost.
const QUEUE: usize = 4096;
/// How long they wait at most until they are sent.
const DELAY: Duration = Duration::from_secs(1);
/// How long the collector may take for what it is sent.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The one of the process, as there is one log.
static COLLECTOR: OnceLock<Collector> = OnceLock::new();

struct Collector {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    /// One of so many requests of which nobody has decided is recorded.
    one_of: u32,
}

/// Sends spans to the collector at `endpoint`, an `http://host:port`, from now on. The first call counts. Must be called
/// within a Tokio runtime.
///
/// # Errors
/// When it is no address.
pub(crate) fn start(endpoint: &str, one_of: u32) -> Result<(), String> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(TIMEOUT).build();
    let exporter = exporter.map_err(|error| error.to_string())?;
    let config = BatchConfigBuilder::default().with_max_queue_size(QUEUE).with_scheduled_delay(DELAY).build();
    let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    let (name, version) = ("tidegate", env!("CARGO_PKG_VERSION"));
    let named = [KeyValue::new("service.name", name), KeyValue::new("service.version", version)];
    processor.set_resource(&Resource::builder_empty().with_attributes(named).build());
    let scope = InstrumentationScope::builder(name).with_version(version).build();
    let _ = COLLECTOR.set(Collector { processor, scope, one_of });
    Ok(())
}

/// Sends what is left, and waits for that, for `patience` at most.
pub(crate) async fn stop(patience: Duration) {
    let stopping = tokio::task::spawn_blocking(move || {
        COLLECTOR.get().map(|collector| collector.processor.shutdown_with_timeout(patience))
    });
    // The thread that sends may be in the middle of it.
    let _ = tokio::time::timeout(patience, stopping).await;
}

/// The beginning of a trace that nobody has told of; `None`: spans are not sent anywhere.
pub(super) fn sampled() -> Option<TraceParent> {
    COLLECTOR.get().map(|collector| TraceParent::begin(rand::random_range(0..collector.one_of) == 0))
}

/// What there is to say of one span.
pub(super) struct FinishedSpan {
    pub(super) span: u64,
    pub(super) parent: u64,
    pub(super) kind: SpanKind,
    pub(super) name: Cow<'static, str>,
    pub(super) began: SystemTime,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) status: Status,
}

/// Has a span sent that has ended just now.
pub(super) fn send(trace: TraceParent, ended: FinishedSpan) {
    let Some(collector) = COLLECTOR.get() else { return };
    let id = TraceId::from_bytes(trace.trace.to_be_bytes());
    let span = |id: u64| SpanId::from_bytes(id.to_be_bytes());
    collector.processor.on_end(SpanData {
        span_context: SpanContext::new(id, span(ended.span), TraceFlags::SAMPLED, false, TraceState::default()),
        parent_span_id: span(ended.parent),
        parent_span_is_remote: ended.kind == SpanKind::Server,
        span_kind: ended.kind,
        name: ended.name,
        start_time: ended.began,
        end_time: SystemTime::now(),
        attributes: ended.attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: ended.status,
        instrumentation_scope: collector.scope.clone(),
    });
}

/// A stage of a request that is recorded. It ends when it is dropped.
pub(super) struct StageSpan {
    trace: TraceParent,
    name: &'static str,
    began: SystemTime,
}

impl StageSpan {
    /// `None`: it is not done for a request, or for one that is not recorded.
    pub(super) fn begin(name: &'static str) -> Option<Self> {
        let trace = Correlation::current()?.trace.filter(|trace| trace.sampled)?;
        Some(Self { trace, name, began: SystemTime::now() })
    }
}

impl Drop for StageSpan {
    fn drop(&mut self) {
        let Self { trace, name, began } = *self;
        let (span, parent) = (trace.next().span, trace.span);
        let (name, attributes) = (Cow::Borrowed(name), Vec::new());
        send(
            trace,
            FinishedSpan { span, parent, kind: SpanKind::Internal, name, began, attributes, status: Status::Unset },
        );
    }
}
