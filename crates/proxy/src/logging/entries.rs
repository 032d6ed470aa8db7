//! Lines as entries of systemd's journal: the text is what is shown, and what stands in it can be searched for.

use std::fmt;

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::{
    correlation::Correlation,
    journal::{Entry, Priority},
};

/// Writes an entry with the line that `F` writes.
pub(super) struct Entries<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for Entries<F>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let mut entry = Entry::new(priority(*event.metadata().level()), line.trim());
        entry.field("target", event.metadata().target());
        if let Some(current) = Correlation::current()
            && event.metadata().fields().field("request").is_none()
        {
            entry.field("request", current.id);
        }
        event.record(&mut Fields(&mut entry));
        out.write_str(&entry.text())
    }
}

fn priority(level: Level) -> Priority {
    match level {
        Level::ERROR => Priority::Error,
        Level::WARN => Priority::Warning,
        Level::INFO => Priority::Info,
        _ => Priority::Debug,
    }
}

struct Fields<'a>(&'a mut Entry);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != "message" {
            self.0.field(field.name(), value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // The message is in the line.
        if field.name() != "message" {
            self.0.field(field.name(), format_args!("{value:?}"));
        }
    }
}
