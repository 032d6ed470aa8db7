//! Where lines go, and in which form.
//!
//! Knows terminals, systemd's journal and what the operator wants. Must not know what a line says.

use std::{
    borrow::Cow,
    fmt::Write as _,
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

/// A JSON object that may be shown by a terminal too. JSON lets control characters from U+007F on stand as they are, and terminals
/// obey them: a client could write to an operator's.
pub(crate) fn showable(json: &str) -> Cow<'_, str> {
    let is_obeyed = |c: char| ('\u{7f}'..='\u{9f}').contains(&c);
    if !json.contains(is_obeyed) {
        return json.into();
    }
    let mut shown = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        match is_obeyed(c) {
            // They can only be in a text. Writing to one does not fail.
            true => drop(write!(shown, "\\u{:04x}", u32::from(c))),
            false => shown.push(c),
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_get_text_the_journal_entries_and_programs_json() {
        let outlets = [Outlet::Terminal, Outlet::Journal, Outlet::JournalOfLines, Outlet::Program];
        let forms = |format| outlets.map(|outlet| outlet.form(format));
        assert_eq!(forms(LogFormat::Auto), [Form::Text, Form::Entry, Form::Text, Form::Json]);
        assert_eq!(forms(LogFormat::Text), [Form::Text, Form::Entry, Form::Text, Form::Text]);
        assert_eq!(forms(LogFormat::Json), [Form::Json; 4]);
    }

    #[test]
    fn a_terminal_obeys_nothing_of_what_json_lets_stand() {
        assert_eq!(showable("{\"a\":\"\u{9b}31m\u{7f} ä\u{a0}\"}\n"), "{\"a\":\"\\u009b31m\\u007f ä\u{a0}\"}\n");
        assert!(matches!(showable("{\"a\":\"ä\"}"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn what_is_shown_means_the_same(text in ".{0,40}", more in "[\u{0}-\u{a0}]{0,40}") {
            let value = serde_json::Value::from(text + &more);
            let json = value.to_string();
            let shown = showable(&json);
            prop_assert!(!shown.contains(char::is_control));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
    }
}
