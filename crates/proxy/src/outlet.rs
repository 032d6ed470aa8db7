//! Where lines go, and in which form.
//!
//! Knows terminals, systemd's journal and what the operator wants. Must not know what a line says.

use std::{
    io::{IsTerminal, Write},
    os::fd::AsFd,
};

use crate::{config::LogFormat, journal::Journal};

/// What is at the other end of a stream of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlet {
    /// Somebody who reads them as they come.
    Terminal,
    /// systemd's journal, which takes entries.
    Journal,
    /// systemd's journal, which takes no more than lines: its socket cannot be reached.
    JournalOfLines,
    /// A file or a pipe: a program reads them, sooner or later.
    Program,
}

/// What lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// A JSON object each.
    Json,
    /// An entry of systemd's journal each.
    Entry,
}

impl Outlet {
    /// What is behind a standard stream of this process, and what writes there.
    pub(crate) fn behind<S>(stream: fn() -> S) -> (Self, Box<dyn Write + Send>)
    where
        S: AsFd + IsTerminal + Write + Send + 'static,
    {
        match Journal::behind(stream()) {
            Some(Ok(journal)) => (Self::Journal, Box::new(journal)),
            Some(Err(_)) => (Self::JournalOfLines, Box::new(stream())),
            None if stream().is_terminal() => (Self::Terminal, Box::new(stream())),
            None => (Self::Program, Box::new(stream())),
        }
    }

    /// What lines that go there look like.
    pub(crate) fn form(self, format: LogFormat) -> Form {
        match (format, self) {
            (LogFormat::Json, _) | (LogFormat::Auto, Self::Program) => Form::Json,
            (LogFormat::Auto | LogFormat::Text, Self::Journal) => Form::Entry,
            (LogFormat::Auto, Self::Terminal | Self::JournalOfLines) | (LogFormat::Text, _) => Form::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_text_the_journal_entries_and_programs_json() {
        let outlets = [Outlet::Terminal, Outlet::Journal, Outlet::JournalOfLines, Outlet::Program];
        let forms = |format| outlets.map(|outlet| outlet.form(format));
        assert_eq!(forms(LogFormat::Auto), [Form::Text, Form::Entry, Form::Text, Form::Json]);
        assert_eq!(forms(LogFormat::Text), [Form::Text, Form::Entry, Form::Text, Form::Text]);
        assert_eq!(forms(LogFormat::Json), [Form::Json; 4]);
    }
}
