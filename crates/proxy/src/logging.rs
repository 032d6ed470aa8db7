//! Log lines on standard error.
//!
//! Knows level, the look of a line, and how much is too much. Must not know who logs what; that no secret is logged is the
//! care of those who log.

mod entries;
mod kinds;
mod request_id_format;

use std::{io, sync::Arc, time::Duration};

use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt::{self, MakeWriter, format},
    layer::SubscriberExt as _,
    registry, reload,
};

use self::{
    entries::Entries,
    kinds::{FloodFilter, Kinds},
    request_id_format::RequestIdFormat,
};
use crate::{
    config::{Log, LogFormat, LogLevel},
    metrics::{LostLine, LostLines},
    outlet::{Form, Outlet},
    spool::Spool,
};

/// Our crates, by the start of their targets. All others speak up from `warn` on.
const OURS: [&str; 3] = ["tidegate", "prefetch", "crypto"];

/// How a line looks on this process's standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineStyle {
    /// For people: with colours on a terminal, without the time where the journal notes it.
    Text { colours: bool, time: bool },
    /// One object each.
    Json,
    /// An entry of the journal.
    Entry,
}

/// Most bytes of lines that wait for whoever reads standard error.
const ROOM: usize = 1 << 20;
/// How long the last lines may take at the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// The log of the process. When it is dropped, the last lines are written, within a second.
pub struct Logging {
    spool: Spool,
    kinds: Arc<Kinds>,
    change: Change,
}

/// Has the log go by other settings from now on.
pub type Change = Arc<dyn Fn(&Log) + Send + Sync>;

/// Sends the log events of the whole process to standard error, without anybody waiting for it. Lines that are lost, or of
/// which there are too many, are counted in `lost`. The first call counts; later ones change nothing.
///
/// # Errors
/// When there can be no more threads.
pub fn init(log: &Log, lost: &LostLines) -> io::Result<Logging> {
    let (outlet, writer) = Outlet::behind(io::stderr);
    let style = move |format| match outlet.form(format) {
        Form::Json => LineStyle::Json,
        Form::Entry => LineStyle::Entry,
        Form::Text => LineStyle::Text { colours: outlet == Outlet::Terminal, time: outlet != Outlet::JournalOfLines },
    };
    let spool = Spool::start("log", writer, ROOM, lost.of(LostLine::Slow))?;
    let kinds = Arc::new(Kinds::new(lost.of(LostLine::Many)));
    let (writer, telling) = (spool.clone(), Arc::clone(&kinds));
    let (lines, change) = subscriber(log, style, move || writer.clone(), Arc::clone(&kinds));
    // A second subscriber is refused, which is what the doc line promises.
    if tracing::subscriber::set_global_default(lines).is_ok() {
        std::thread::Builder::new().name("log-kinds".to_owned()).spawn(move || telling.tell_for_ever())?;
    }
    Ok(Logging { spool, kinds, change })
}

impl Logging {
    /// Changes level and form.
    pub fn change(&self) -> Change {
        Arc::clone(&self.change)
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.kinds.tell();
        self.spool.flush(PATIENCE);
    }
}

fn subscriber<W>(
    log: &Log,
    style: impl Fn(LogFormat) -> LineStyle + Send + Sync + 'static,
    writer: W,
    kinds: Arc<Kinds>,
) -> (impl Subscriber + Send + Sync, Change)
where
    W: for<'w> MakeWriter<'w> + Clone + Send + Sync + 'static,
{
    let (lines, form) = reload::Layer::new(lines(style(log.format), writer.clone()));
    let (filter, level) = reload::Layer::new(targets(log.level));
    // Filters of all, none of one layer: those do not get over an event that every layer refuses.
    let lines = registry().with(lines).with(filter).with(FloodFilter(kinds));
    let change = move |log: &Log| {
        // They fail when the log is gone.
        let _ = form.reload(self::lines(style(log.format), writer.clone()));
        let _ = level.reload(targets(log.level));
    };
    (lines, Arc::new(change))
}

fn lines<W>(style: LineStyle, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(style == LineStyle::Text { colours: true, time: true });
    let bare = format().with_ansi(false).without_time();
    match style {
        LineStyle::Json => {
            let lines = RequestIdFormat { lines: format().json().flatten_event(true), json: true };
            layer.json().event_format(lines).boxed()
        }
        LineStyle::Text { colours, time: true } => {
            layer.event_format(RequestIdFormat { lines: format().with_ansi(colours), json: false }).boxed()
        }
        LineStyle::Text { time: false, .. } => layer.event_format(RequestIdFormat { lines: bare, json: false }).boxed(),
        LineStyle::Entry => layer.event_format(Entries(RequestIdFormat { lines: bare, json: false })).boxed(),
    }
}

fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let others = if level == LevelFilter::TRACE { level } else { level.min(LevelFilter::WARN) };
    Targets::new().with_default(others).with_targets(OURS.map(|target| (target, level)))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::Extensions;
    use serde_json::Value;

    use super::*;
    use crate::{config::AccessLog, correlation::Correlation};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, style: LineStyle, events: impl FnOnce()) -> String {
        let kinds = Kinds::new(LostLines::new().unwrap().of(LostLine::Many));
        logged_of(Arc::new(kinds), level, style, events)
    }

    fn logged_of(kinds: Arc<Kinds>, level: LogLevel, style: LineStyle, events: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let (subscriber, _) = subscriber(&log(level, LogFormat::Text), move |_| style, move || writer.clone(), kinds);
        tracing::subscriber::with_default(subscriber, events);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn log(level: LogLevel, format: LogFormat) -> Log {
        Log { level, format, access: AccessLog::Off, access_file: None, access_sample: 1 }
    }

    const PLAIN: LineStyle = LineStyle::Text { colours: false, time: false };

    #[test]
    fn a_line_in_the_journal_has_neither_time_nor_colour() {
        let text = logged(LogLevel::Info, PLAIN, || tracing::info!(target: "tidegate", port = 1, "up"));
        assert_eq!(text, " INFO tidegate: up port=1\n");
    }

    #[test]
    fn a_terminal_gets_colours_and_the_time() {
        let dress = LineStyle::Text { colours: true, time: true };
        let text = logged(LogLevel::Info, dress, || tracing::info!(target: "tidegate", "up"));
        assert!(text.contains("\x1b["), "{text}");
        assert!(text.contains('T') && text.contains('Z'), "{text}");
    }

    #[tokio::test]
    async fn an_entry_of_the_journal_has_the_line_and_what_stands_in_it() {
        let current = Correlation::of(&Extensions::new());
        let id = current.id.to_string();
        let entries = current.scope(async {
            logged(LogLevel::Info, LineStyle::Entry, || {
                tracing::warn!(target: "tidegate", port = 1, peer = %"a", path = "/a\nb", "it fails");
                tracing::error!(target: "tidegate", request = "its own", error = ?Some("x"), "so does this");
            })
        });
        let expected = format!(
            "PRIORITY=4\nSYSLOG_IDENTIFIER=tidegate\n\
             MESSAGE=WARN tidegate: it fails port=1 peer=a path=\"/a\\nb\" request={id}\n\
             TIDEGATE_TARGET=tidegate\nTIDEGATE_REQUEST={id}\nTIDEGATE_PORT=1\nTIDEGATE_PEER=a\nTIDEGATE_PATH=/a b\n\n\
             PRIORITY=3\nSYSLOG_IDENTIFIER=tidegate\n\
             MESSAGE=ERROR tidegate: so does this request=\"its own\" error=Some(\"x\")\n\
             TIDEGATE_TARGET=tidegate\nTIDEGATE_REQUEST=its own\nTIDEGATE_ERROR=Some(\"x\")\n\n"
        );
        assert_eq!(entries.await, expected);
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = logged(LogLevel::Info, LineStyle::Json, || tracing::info!(target: "tidegate", port = 1, "up"));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["message"], &line["port"], &line["level"]), (&"up".into(), &1.into(), &"INFO".into()));
        assert!(line["timestamp"].is_string());
    }

    #[tokio::test]
    async fn no_line_tells_a_terminal_what_to_do() {
        let said = "\u{1b}[31m \u{9b}31m";
        let events = || tracing::warn!(target: "tidegate", path = said, "{said}");
        for style in [PLAIN, LineStyle::Json] {
            let about_one = Correlation::of(&Extensions::new()).scope(async { logged(LogLevel::Info, style, events) });
            for line in [logged(LogLevel::Info, style, events), about_one.await] {
                assert!(!line.trim_end().contains(char::is_control), "{line:?}");
            }
        }
    }

    #[tokio::test]
    async fn lines_of_rooms_that_know_of_no_request_have_its_id() {
        let dress = LineStyle::Text { colours: true, time: true };
        let current = Correlation::of(&Extensions::new());
        let id = current.id.to_string();
        let lines = current.scope(async {
            let events = || {
                tracing::warn!(target: "tidegate", "one {}", "\"}");
                tracing::warn!(target: "tidegate", request = "its own", "two");
            };
            let json = logged(LogLevel::Info, LineStyle::Json, events);
            (json, logged(LogLevel::Info, PLAIN, events))
        });
        let (json, text) = lines.await;
        let ids: Vec<_> =
            json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["request"].clone()).collect();
        assert_eq!(ids, [Value::from(&*id), "its own".into()]);
        let expected = format!(" WARN tidegate: one \"}} request={id}\n WARN tidegate: two request=\"its own\"\n");
        assert_eq!(text, expected);
        let coloured = Correlation::of(&Extensions::new())
            .scope(async { logged(LogLevel::Info, dress, || tracing::warn!(target: "tidegate", "one")) });
        assert!(coloured.await.contains("\x1b["));
    }

    #[test]
    fn only_our_own_crates_go_below_warn_unless_all_is_traced() {
        let events = || {
            tracing::trace!(target: "hyper::proto", "a");
            tracing::info!(target: "h2", "b");
            tracing::warn!(target: "tonic", "c");
            tracing::debug!(target: "prefetch::fetch", "d");
            tracing::error!(target: "crypto", "e");
        };
        let seen = |level| {
            let text = logged(level, PLAIN, events);
            text.lines().filter_map(|line| line.chars().last()).collect::<String>()
        };
        assert_eq!(seen(LogLevel::Error), "e");
        assert_eq!(seen(LogLevel::Info), "ce");
        assert_eq!(seen(LogLevel::Debug), "cde");
        assert_eq!(seen(LogLevel::Trace), "abcde");
    }

    #[test]
    fn level_and_form_can_be_changed() {
        let kinds = Kinds::new(LostLines::new().unwrap().of(LostLine::Many));
        let sink = Sink::default();
        let writer = sink.clone();
        let first = log(LogLevel::Info, LogFormat::Text);
        let style = |format| if format == LogFormat::Json { LineStyle::Json } else { PLAIN };
        let (subscriber, change) = subscriber(&first, style, move || writer.clone(), Arc::new(kinds));
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "tidegate", "a");
            change(&log(LogLevel::Debug, LogFormat::Json));
            tracing::debug!(target: "tidegate", "b");
            change(&log(LogLevel::Error, LogFormat::Text));
            tracing::warn!(target: "tidegate", "c");
            tracing::error!(target: "tidegate", "d");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with('{') && lines[0].contains("\"b\""), "{text}");
        assert_eq!(lines[1], "ERROR tidegate: d");
    }

    #[tokio::test(start_paused = true)]
    async fn lines_of_one_kind_are_limited_and_what_is_left_out_is_told_at_every_level() {
        let lost = LostLines::new().unwrap();
        let kinds = Arc::new(Kinds::new(lost.of(LostLine::Many)));
        let refused = || tracing::error!(target: "tidegate", "refused");
        let text = logged_of(Arc::clone(&kinds), LogLevel::Error, PLAIN, || {
            (0..107).for_each(|_| refused());
            tracing::error!(target: "tidegate", "another kind");
            kinds.tell();
            kinds.tell();
        });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.iter().filter(|line| line.ends_with("refused")).count(), 100, "{text}");
        assert!(lines[100].ends_with("another kind"), "{text}");
        assert_eq!((lines.len(), lost.of(LostLine::Many).get()), (102, 7));
        let told =
            "ERROR tidegate::logging: lines of one kind came too often, so these were left out lines=7 kind=tidegate:";
        assert!(lines[101].starts_with(told), "{text}");
        tokio::time::advance(Duration::from_secs(1)).await;
        let text = logged_of(kinds, LogLevel::Error, PLAIN, || (0..60).for_each(|_| refused()));
        assert_eq!(text.lines().count(), 50, "what drips in a second");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_traces_gets_all_and_what_is_below_the_level_takes_nothing_of_the_rest() {
        let flood = |level| {
            let events = || (0..300).for_each(|_| tracing::trace!(target: "tidegate", "fine"));
            logged(level, PLAIN, events).lines().count()
        };
        assert_eq!((flood(LogLevel::Trace), flood(LogLevel::Debug)), (300, 0));
    }
}
