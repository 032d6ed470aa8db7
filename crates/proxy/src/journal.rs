//! systemd's journal, which keeps lines as entries with fields (its native protocol).
//!
//! Knows how an entry is written and where it goes. Must not know what it says.

use std::{
    ffi::OsStr,
    fmt::{Display, Write as _},
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::{fs::MetadataExt as _, net::UnixDatagram},
    },
};

/// Where the journal takes entries.
const SOCKET: &str = "/run/systemd/journal/socket";
/// What each entry begins with, and no other line.
const BEGIN: &[u8] = b"PRIORITY=";
/// What ends an entry on its way to the socket. No value has a line break.
const END: &[u8] = b"\n\n";

/// How much an entry matters, as syslog counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Priority {
    Error = 3,
    Warning = 4,
    Info = 6,
    Debug = 7,
}

/// One entry.
pub(crate) struct Entry(String);

impl Entry {
    /// An entry that is shown as `message`.
    pub(crate) fn new(priority: Priority, message: &str) -> Self {
        let mut entry = Self(format!("PRIORITY={}\nSYSLOG_IDENTIFIER=tidegate\n", priority as u8));
        entry.add("MESSAGE", message);
        entry
    }

    /// Adds a field that is named `TIDEGATE_…`, in capitals.
    pub(crate) fn field(&mut self, name: &str, value: impl Display) {
        let capital = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
        let name: String = name.chars().map(capital).collect();
        self.add(&format!("TIDEGATE_{}", name.to_ascii_uppercase()), value);
    }

    fn add(&mut self, name: &str, value: impl Display) {
        // Writing to a text does not fail.
        let _ = write!(self.0, "{name}=");
        let _ = write!(OneLine(&mut self.0), "{value}");
        self.0.push('\n');
    }

    /// As a [`Journal`] takes it.
    pub(crate) fn text(mut self) -> String {
        self.0.push('\n');
        self.0
    }
}

/// Writes what comes without line breaks, which would begin a field.
struct OneLine<'a>(&'a mut String);

impl std::fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend(text.chars().map(|character| if character.is_control() { ' ' } else { character }));
        Ok(())
    }
}

/// Sends entries. A write sends one, and waits for a journal that is slow. A line that is none goes to the stream.
pub(crate) struct Journal<S> {
    socket: UnixDatagram,
    stream: S,
}

impl<S: AsFd> Journal<S> {
    /// The journal, if `stream` goes to it: what a service writes to its standard output or error.
    ///
    /// # Errors
    /// When it goes there, and the journal takes no entries.
    pub(crate) fn behind(stream: S) -> Option<io::Result<Self>> {
        let file = std::fs::metadata(format!("/proc/self/fd/{}", stream.as_fd().as_raw_fd())).ok()?;
        let is_journal = names_stream(std::env::var_os("JOURNAL_STREAM").as_deref(), file.dev(), file.ino());
        is_journal.then(|| connect().map(|socket| Self { socket, stream }))
    }
}

fn connect() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(SOCKET)?;
    Ok(socket)
}

/// Whether `JOURNAL_STREAM` (`device:inode`) names that very file: children of a service inherit the variable even where
/// their standard error goes elsewhere.
fn names_stream(variable: Option<&OsStr>, device: u64, inode: u64) -> bool {
    variable.is_some_and(|variable| *variable == *format!("{device}:{inode}"))
}

impl<S: Write> Write for Journal<S> {
    fn write(&mut self, entries: &[u8]) -> io::Result<usize> {
        if !entries.starts_with(BEGIN) {
            // JSON, as long as the configuration wants it.
            let line = entries.split_inclusive(|byte| *byte == b'\n').next().unwrap_or(entries);
            return self.stream.write_all(line).map(|()| line.len());
        }
        let end =
            entries.windows(END.len()).position(|window| window == END).map_or(entries.len(), |at| at + END.len());
        let entry = entries[..end].strip_suffix(b"\n").unwrap_or(entries);
        if self.socket.send(entry).is_err() {
            // It may have been started anew.
            self.socket = connect()?;
            self.socket.send(entry)?;
        }
        Ok(end)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_begins_a_field_or_ends_an_entry() {
        let mut entry = Entry::new(Priority::Warning, "two\n\nlines");
        entry.field("first.byte", 1.5);
        entry.field("path", "/a\nPRIORITY=0\r\n\n=");
        let expected = "PRIORITY=4\nSYSLOG_IDENTIFIER=tidegate\nMESSAGE=two  lines\nTIDEGATE_FIRST_BYTE=1.5\n\
                        TIDEGATE_PATH=/a PRIORITY=0   =\n\n";
        assert_eq!(entry.text(), expected);
    }

    #[test]
    fn each_write_sends_one_entry() {
        let (near, far) = UnixDatagram::pair().unwrap();
        let [one, two] = ["one", "two"].map(|message| Entry::new(Priority::Info, message).text());
        let mut journal = Journal { socket: near, stream: Vec::new() };
        journal.write_all(format!("{one}{{\"a\":1}}\n{{}}\n{two}").as_bytes()).unwrap();
        assert_eq!(journal.stream, b"{\"a\":1}\n{}\n", "which are no entries");
        for entry in [one, two] {
            let mut came = [0; 1000];
            let length = far.recv(&mut came).unwrap();
            assert_eq!(std::str::from_utf8(&came[..length]).unwrap(), &entry[..entry.len() - 1]);
        }
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        assert!(names_stream(Some(OsStr::new("8:12")), 8, 12));
        assert!(!names_stream(Some(OsStr::new("8:12")), 8, 13));
        assert!(!names_stream(None, 8, 12));
    }
}
