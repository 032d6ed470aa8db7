//! A status as lines of text, as wide as they may be.

use std::cmp::Reverse;

use super::sort::Sort;
use crate::status::{
    Status,
    amounts::{age, bytes, counted, latency, percent, rate},
    state::{Download, Severity},
};

/// How it is to look.
pub(super) struct ScreenStyle {
    /// Characters on a line.
    pub(super) width: usize,
    /// Lines.
    pub(super) height: usize,
    /// Whether there are colours.
    pub(super) colour: bool,
    /// What downloads are sorted by.
    pub(super) sort: Sort,
}

/// How a piece of text stands out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Plain,
    Quiet,
    Fine,
    Look,
    Fail,
}

/// A column: its head, its characters (0: what the others leave), and whether it holds numbers.
type Column = (&'static str, usize, bool);

/// The page, its lines no longer and no more than they may be.
pub(super) fn lines(status: &Status, look: &ScreenStyle) -> Vec<String> {
    let mut page = Page { look, lines: Vec::new() };
    page.head(status);
    page.servers(status);
    page.services(status);
    page.memory(status);
    // What there may be many of comes last, and takes what is left.
    page.downloads(status);
    page.lines.truncate(look.height);
    page.lines
}

/// The page while there is no status.
pub(super) fn lost(reason: &str, look: &ScreenStyle) -> Vec<String> {
    let mut page = Page { look, lines: Vec::new() };
    page.line(&[(Tone::Fail, "No status".to_owned())]);
    page.line(&[(Tone::Plain, reason.to_owned())]);
    page.line(&[(Tone::Quiet, "Asking again every second; q quits.".to_owned())]);
    page.lines.truncate(look.height);
    page.lines
}

struct Page<'l> {
    look: &'l ScreenStyle,
    lines: Vec<String>,
}

impl Page<'_> {
    fn head(&mut self, status: &Status) {
        let problems = &status.health.problems;
        let is_failing = problems.iter().any(|problem| problem.severity == Severity::Failing);
        let (tone, verdict) = match (status.health.ready, problems.is_empty()) {
            (false, _) => (Tone::Fail, "not ready".to_owned()),
            (true, true) => (Tone::Fine, "all is well".to_owned()),
            (true, false) if is_failing => (Tone::Fail, "some reads fail".to_owned()),
            (true, false) => {
                (Tone::Look, format!("serving, {} to look at", counted(problems.len(), "thing", "things")))
            }
        };
        let about = format!("tidegate {}  up {}  ", status.build.version, age(status.uptime));
        self.line(&[(Tone::Quiet, about), (tone, verdict)]);
        for problem in problems {
            let tone = if problem.severity == Severity::Failing { Tone::Fail } else { Tone::Look };
            self.line(&[(tone, format!("! {}", problem.what)), (Tone::Quiet, format!("  {}", problem.advice))]);
        }
        let traffic = &status.traffic;
        let open: u64 = status.connections.open.values().sum();
        self.line(&[(
            Tone::Plain,
            format!(
                "{} to clients  {:.0} requests/s  {} running  {}  {}  5 min: {} of 5xx, {} cut",
                rate(traffic.bytes_per_second),
                traffic.requests_per_second,
                traffic.requests_in_flight,
                counted(open, "connection", "connections"),
                counted(traffic.fetches, "fetch", "fetches"),
                traffic.failed_lately,
                traffic.cut_lately,
            ),
        )]);
    }

    fn servers(&mut self, status: &Status) {
        const COLUMNS: [Column; 5] = [
            ("VOLUME SERVER", 0, false),
            ("STATE", 24, false),
            ("FIRST BYTE", 10, true),
            ("REQUESTS", 9, true),
            ("WAIT", 5, true),
        ];
        let rows = status.volume_servers.listed.iter().map(|server| {
            let (tone, state) = match (server.state.as_str(), server.failing_for) {
                ("good", None) => (Tone::Fine, "good".to_owned()),
                ("good", Some(time)) => (Tone::Look, format!("failing for {}", age(time))),
                ("probed", _) => (Tone::Look, "being tried".to_owned()),
                _ => (Tone::Fail, "set aside".to_owned()),
            };
            vec![
                (Tone::Plain, server.address.clone()),
                (tone, state),
                (Tone::Plain, latency(server.latency)),
                (Tone::Plain, format!("{}/{}", server.requests, server.places)),
                (Tone::Plain, server.waiting.to_string()),
            ]
        });
        self.table(&COLUMNS, rows.collect(), status.volume_servers.more);
    }

    fn services(&mut self, status: &Status) {
        const COLUMNS: [Column; 3] = [("FILER, KMS", 0, false), ("STATE", 40, false), ("", 12, true)];
        let filers = status.filers.iter().map(|filer| {
            let (tone, state) = match (filer.up, filer.used) {
                (true, true) => (Tone::Fine, "in use"),
                (true, false) => (Tone::Fine, "stands by"),
                (false, _) => (Tone::Fail, "no answer"),
            };
            vec![
                (Tone::Plain, filer.address.clone()),
                (tone, state.to_owned()),
                (Tone::Plain, filer.latency.map(latency).unwrap_or_default()),
            ]
        });
        let kms = status.kms.iter().map(|kms| {
            let last = match (&kms.last_failure, kms.last_failure_age) {
                (Some(failure), Some(time)) => format!(", {failure} {} ago", age(time)),
                _ => String::new(),
            };
            let (tone, state) = if kms.up { (Tone::Plain, "answers") } else { (Tone::Fail, "no answer") };
            vec![
                (Tone::Plain, format!("{} ({})", kms.name, kms.kind)),
                (tone, format!("{state}{last}")),
                (Tone::Plain, format!("{} opened", kms.ok)),
            ]
        });
        self.table(&COLUMNS, filers.chain(kms).collect(), 0);
    }

    fn memory(&mut self, status: &Status) {
        let memory = &status.memory;
        let caches = status.caches.iter().map(|cache| {
            let hits =
                percent(cache.hits, cache.hits + cache.misses).map_or("–".to_owned(), |hits| format!("{hits} %"));
            format!("{} {hits}", cache.name)
        });
        let caches: Vec<_> = caches.collect();
        self.line(&[]);
        self.line(&[
            (Tone::Quiet, "memory ".to_owned()),
            (
                Tone::Plain,
                format!(
                    "{} of {} taken, {} wait, process {}",
                    bytes(memory.taken as f64),
                    bytes(memory.limit as f64),
                    memory.waiting,
                    bytes(memory.resident as f64)
                ),
            ),
            (Tone::Quiet, "  hits ".to_owned()),
            (Tone::Plain, caches.join(", ")),
        ]);
    }

    fn downloads(&mut self, status: &Status) {
        const COLUMNS: [Column; 6] = [
            ("DOWNLOAD", 0, false),
            ("CLIENT", 16, false),
            ("SSE", 5, false),
            ("PROGRESS", 18, true),
            ("RATE", 12, true),
            ("AGE", 12, true),
        ];
        let mut downloads: Vec<_> = status.downloads.listed.iter().collect();
        match self.look.sort {
            Sort::Rate => downloads.sort_by_key(|download| Reverse(download.rate)),
            Sort::Age => downloads.sort_by(|one, other| other.age.total_cmp(&one.age)),
            Sort::Left => downloads.sort_by_key(|download| Reverse(left(download))),
        }
        let rows = downloads.into_iter().map(|download| {
            let total = download.total.map_or_else(String::new, |total| format!(" of {}", bytes(total as f64)));
            let progress = match (download.status, download.total.and_then(|total| percent(download.sent, total))) {
                (None, _) => (Tone::Look, "waits".to_owned()),
                (_, Some(percent)) => (Tone::Plain, format!("{percent} %{total}")),
                (_, None) => (Tone::Plain, bytes(download.sent as f64)),
            };
            let sse = download.sse.as_deref().filter(|sse| *sse != "none").unwrap_or("");
            vec![
                (Tone::Plain, download.path.clone().unwrap_or_else(|| download.id.clone())),
                (Tone::Quiet, download.peer.clone()),
                (Tone::Plain, sse.to_owned()),
                progress,
                (Tone::Plain, rate(download.rate as f64)),
                (Tone::Plain, age(download.age)),
            ]
        });
        self.table(&COLUMNS, rows.collect(), status.downloads.more);
    }

    fn table(&mut self, columns: &[Column], rows: Vec<Vec<(Tone, String)>>, more: usize) {
        self.line(&[]);
        // Between two columns is one space; what is not of the first is left out from the right where there is no room.
        const LEAST: usize = 16;
        let mut shown = columns.len();
        let taken = |shown: usize| columns[..shown].iter().map(|(_, width, _)| width + 1).sum::<usize>();
        while shown > 1 && taken(shown) + LEAST > self.look.width + 1 {
            shown -= 1;
        }
        let first = (self.look.width + 1).saturating_sub(taken(shown)).max(1);
        let cell = |(column, (tone, text)): (&Column, (Tone, String))| {
            let (_, width, is_number) = *column;
            (tone, padded(&text, if width == 0 { first } else { width }, is_number))
        };
        let spaced = |cells: Vec<(Tone, String)>| {
            let cells = columns[..shown].iter().zip(cells).map(cell);
            cells.flat_map(|cell| [cell, (Tone::Plain, " ".to_owned())]).collect::<Vec<_>>()
        };
        let head = columns.iter().map(|(name, ..)| (Tone::Quiet, (*name).to_owned())).collect();
        self.line(&spaced(head));
        if rows.is_empty() {
            self.line(&[(Tone::Quiet, "none".to_owned())]);
        }
        for row in rows {
            self.line(&spaced(row));
        }
        if more > 0 {
            self.line(&[(Tone::Quiet, format!("and {more} more"))]);
        }
    }

    /// Adds a line, cut where it is too long.
    fn line(&mut self, pieces: &[(Tone, String)]) {
        let mut line = String::new();
        let mut left = self.look.width;
        for (tone, text) in pieces {
            let text = cut(text, left);
            left -= text.chars().count();
            let code = match tone {
                Tone::Plain => "",
                Tone::Quiet => "2",
                Tone::Fine => "32",
                Tone::Look => "33",
                Tone::Fail => "1;31",
            };
            if self.look.colour && !code.is_empty() && !text.is_empty() {
                line.push_str(&format!("\x1b[{code}m{text}\x1b[0m"));
            } else {
                line.push_str(&text);
            }
        }
        self.lines.push(if self.look.colour { line } else { line.trim_end().to_owned() });
    }
}

/// Bytes that are still to go.
fn left(download: &Download) -> u64 {
    download.total.map_or(0, |total| total.saturating_sub(download.sent))
}

/// Of a text as much as fits, without what a terminal would obey.
fn cut(text: &str, width: usize) -> String {
    let letters = || text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter });
    if letters().count() <= width {
        return letters().collect();
    }
    match width {
        0 => String::new(),
        width => letters().take(width - 1).chain(['…']).collect(),
    }
}

fn padded(text: &str, width: usize, is_number: bool) -> String {
    let text = cut(text, width);
    if is_number { format!("{text:>width$}") } else { format!("{text:<width$}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::status::state::{Excerpt, VolumeServer};

    fn status() -> Status {
        let download = |id: &str, rate, age, sent| Download {
            id: id.to_owned(),
            peer: "10.0.0.7".to_owned(),
            status: Some(200),
            sse: Some("kms".to_owned()),
            sent,
            total: Some(1000),
            rate,
            age,
            ..Download::default()
        };
        let mut status = Status::default();
        status.health.ready = true;
        status.downloads.listed =
            vec![download("slow", 1, 9.0, 500), download("fast", 9, 1.0, 900), download("new", 5, 0.5, 0)];
        status.volume_servers = Excerpt {
            listed: vec![VolumeServer {
                address: "vol:1".to_owned(),
                state: "aside".to_owned(),
                ..VolumeServer::default()
            }],
            more: 3,
        };
        status
    }

    fn look(width: usize, sort: Sort) -> ScreenStyle {
        ScreenStyle { width, height: 100, colour: false, sort }
    }

    fn order(sort: Sort) -> Vec<String> {
        let lines = lines(&status(), &look(100, sort));
        let begin = lines.iter().position(|line| line.starts_with("DOWNLOAD")).unwrap();
        lines[begin + 1..].iter().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
    }

    #[test]
    fn downloads_are_sorted_by_what_is_asked_for() {
        assert_eq!(order(Sort::Rate), ["fast", "new", "slow"]);
        assert_eq!(order(Sort::Age), ["slow", "fast", "new"]);
        assert_eq!(order(Sort::Left), ["new", "slow", "fast"]);
    }

    #[test]
    fn what_is_wrong_stands_first_and_the_rest_is_counted() {
        let text = lines(&status(), &look(100, Sort::Rate)).join("\n");
        assert!(text.contains("vol:1") && text.contains("set aside") && text.contains("and 3 more"), "{text}");
        assert!(!text.contains('\x1b'));
        let coloured = ScreenStyle { colour: true, ..look(100, Sort::Rate) };
        assert!(lines(&status(), &coloured).join("\n").contains("\x1b[1;31m"));
    }

    #[test]
    fn nothing_from_outside_moves_the_cursor() {
        let mut evil = status();
        evil.downloads.listed[0].path = Some("/a\x1b[2J\r\nb".to_owned());
        let lines = lines(&evil, &look(100, Sort::Rate));
        assert!(lines.iter().all(|line| !line.contains(char::is_control)));
    }

    proptest! {
        #[test]
        fn no_line_is_longer_than_the_terminal_is_wide(width in 1_usize..200, height in 1_usize..40) {
            let look = ScreenStyle { width, height, colour: false, sort: Sort::Rate };
            let lines = lines(&status(), &look);
            prop_assert!(lines.len() <= height);
            prop_assert!(lines.iter().all(|line| line.chars().count() <= width), "{}", lines.join("\n"));
        }
    }
}
