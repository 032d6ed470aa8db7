//! A terminal: its size, its keys, and pages put over each other.
//!
//! What it was is put back when this is dropped.

use std::{
    io::{self, IsTerminal as _, Read as _, Write as _},
    thread,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

/// Another screen, no cursor.
const BEGIN: &str = "\x1b[?1049h\x1b[?25l";
/// The screen that was, the cursor.
const END: &str = "\x1b[?25h\x1b[?1049l";

/// The terminal that this process was started in.
pub(super) struct Terminal {
    /// As its input was; `None`: the input is no terminal, and there are no keys.
    before: Option<Termios>,
    keys: mpsc::Receiver<u8>,
}

impl Terminal {
    /// Takes it.
    ///
    /// # Errors
    /// When the output is none.
    pub(super) fn open() -> io::Result<Self> {
        if !io::stdout().is_terminal() {
            return Err(io::Error::other("the output is no terminal; print it --once"));
        }
        let before = if io::stdin().is_terminal() { Some(tcgetattr(io::stdin())?) } else { None };
        if let Some(before) = &before {
            let mut now = before.clone();
            now.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            tcsetattr(io::stdin(), OptionalActions::Now, &now)?;
        }
        let (pressed, keys) = mpsc::channel(16);
        if before.is_some() {
            // Reading keys blocks; the thread ends with the process.
            thread::spawn(move || {
                let mut key = [0];
                while io::stdin().read_exact(&mut key).is_ok() && pressed.blocking_send(key[0]).is_ok() {}
            });
        } else {
            // Never dropped: no key is no end.
            std::mem::forget(pressed);
        }
        let terminal = Self { before, keys };
        write(BEGIN)?;
        Ok(terminal)
    }

    /// The next key; `None`: there will be none.
    pub(super) async fn key(&mut self) -> Option<u8> {
        self.keys.recv().await
    }

    /// Characters on a line, and lines.
    pub(super) fn size(&self) -> (usize, usize) {
        size().unwrap_or((80, 24))
    }

    /// Shows these lines in place of what was there.
    pub(super) fn show(&self, lines: &[String]) -> io::Result<()> {
        let mut page = String::from("\x1b[H");
        for (number, line) in lines.iter().enumerate() {
            if number > 0 {
                page.push_str("\r\n");
            }
            page.push_str(line);
            page.push_str("\x1b[K");
        }
        page.push_str("\x1b[J");
        write(&page)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // There is nobody to be told of an error.
        let _ = write(END);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Characters on a line of the output; `None`: it is no terminal.
pub(super) fn width() -> Option<usize> {
    size().map(|(width, _)| width)
}

fn size() -> Option<(usize, usize)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
