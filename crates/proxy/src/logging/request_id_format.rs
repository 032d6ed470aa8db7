//! The id of the request that a line is about, in the lines of rooms that do not know of requests.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::{correlation::Correlation, outlet::showable};

/// The member of a line that has it.
const MEMBER: &str = "request";

/// Writes lines as `F` does, with the id of the request for which the task runs where they do not have it.
pub(super) struct RequestIdFormat<F> {
    pub(super) lines: F,
    /// Each is a JSON object; else text.
    pub(super) json: bool,
}

impl<S, N, F> FormatEvent<S, N> for RequestIdFormat<F>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let has_id = event.metadata().fields().field(MEMBER).is_some();
        let current = Correlation::current().filter(|_| !has_id);
        if current.is_none() && !self.json {
            return self.lines.format_event(context, out, event);
        }
        let mut line = String::new();
        self.lines.format_event(context, Writer::new(&mut line), event)?;
        if self.json {
            line = showable(&line).into_owned();
        }
        let Some(current) = current else { return out.write_str(&line) };
        // An id needs no quotes.
        match (self.json, line.strip_suffix("}\n"), line.strip_suffix('\n')) {
            (true, Some(members), _) => writeln!(out, "{members},\"{MEMBER}\":\"{}\"}}", current.id),
            (false, _, Some(line)) => writeln!(out, "{line} {MEMBER}={}", current.id),
            _ => out.write_str(&line),
        }
    }
}
