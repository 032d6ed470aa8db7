//! Where the access log goes: standard output, or a file that is opened anew when its name is given to another.
//!
//! Knows files and their names. Must not know what a line says.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::mpsc;

use crate::{
    config::{AccessLog, Log, LogFormat},
    layers::AccessLines,
    metrics::{LostLine, LostLines},
    outlet::Outlet,
    spool::Spool,
};

/// Most bytes of lines that wait to be written.
const ROOM: usize = 4 << 20;
/// Lines tell who reads what: not everybody's to read.
const MODE: u32 = 0o640;

/// A file that can be opened anew.
struct NamedFile {
    path: PathBuf,
    /// What was opened last, until the first write to it.
    anew: Mutex<Option<File>>,
}

/// What writes to it.
struct Writer {
    file: File,
    named: Arc<NamedFile>,
}

/// The access log of one configuration.
pub(super) struct AccessOutput {
    of: (AccessLog, LogFormat, Option<String>),
    named: Option<Arc<NamedFile>>,
    /// Where its lines go.
    outlet: Outlet,
    pub(super) lines: Option<Arc<AccessLines>>,
}

impl AccessOutput {
    /// The access log, if there is to be one. It goes on in the file of `before` where that is the same.
    ///
    /// # Errors
    /// When the file cannot be opened: the key and why. When there can be no more threads.
    pub(super) fn of(log: &Log, lost: &LostLines, before: Option<&Self>) -> Result<Self, String> {
        let of = (log.access, log.format, log.access_file.clone());
        if log.access == AccessLog::Off {
            return Ok(Self { of, named: None, outlet: Outlet::Program, lines: None });
        }
        let before = before.filter(|before| before.of.2 == of.2);
        let goes_on =
            before.and_then(|before| Some((before.named.clone(), before.outlet, before.lines.as_ref()?.spool.clone())));
        let (named, outlet, spool) = match goes_on {
            Some(goes_on) => goes_on,
            None => opened(log.access_file.as_ref(), lost)?,
        };
        let (encrypted_only, one_of) = (log.access == AccessLog::Encrypted, log.access_sample);
        let form = outlet.form(log.format);
        let lines = Some(Arc::new(AccessLines { spool, encrypted_only, form, one_of }));
        Ok(Self { of, named, outlet, lines })
    }
}

/// The file, if there is one; where the lines go; and what takes them.
fn opened(path: Option<&String>, lost: &LostLines) -> Result<(Option<Arc<NamedFile>>, Outlet, Spool), String> {
    let (named, outlet, writer): (_, _, Box<dyn Write + Send>) = match path {
        None => {
            let (outlet, writer) = Outlet::behind(io::stdout);
            (None, outlet, writer)
        }
        Some(path) => {
            let named = Arc::new(NamedFile { path: path.into(), anew: Mutex::default() });
            let file = named.open().map_err(|error| {
                format!("log.access_file: {path} cannot be opened: {error}; let the user of tidegate write it")
            })?;
            (Some(Arc::clone(&named)), Outlet::Program, Box::new(Writer { file, named }))
        }
    };
    let spool = Spool::start("access-log", writer, ROOM, lost.of(LostLine::Access))
        .map_err(|error| format!("log.access: there is no thread for it: {error}"))?;
    Ok((named, outlet, spool))
}

/// The file that is opened anew at SIGUSR1, if there is one.
#[derive(Clone, Default)]
pub(super) struct ReopenableFile(Arc<Mutex<Option<Arc<NamedFile>>>>);

impl ReopenableFile {
    /// From now on it is that of `output`.
    pub(super) fn take(&self, output: &AccessOutput) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&output.named);
    }

    /// Opens it anew at each of the `signals`. Where there is none, the signal is only kept from ending the process.
    pub(super) async fn run(self, mut signals: mpsc::Receiver<()>) {
        while signals.recv().await.is_some() {
            let named = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(named) = named {
                reopen(named).await;
            }
        }
    }
}

async fn reopen(named: Arc<NamedFile>) {
    let opening = Arc::clone(&named);
    let opened = tokio::task::spawn_blocking(move || opening.open()).await.map_err(io::Error::other).flatten();
    match opened {
        Ok(file) => {
            *named.anew.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
            tracing::info!(file = %named.path.display(), "opened the access log anew");
        }
        Err(error) => tracing::error!(
            %error,
            file = %named.path.display(),
            "the access log cannot be opened anew; it goes on in the file that was opened before"
        ),
    }
}

impl NamedFile {
    fn open(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(MODE).open(&self.path)
    }
}

/// Each write is of whole lines.
impl Write for Writer {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if let Some(anew) = self.named.anew.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.file = anew;
        }
        self.file.write_all(lines).map(|()| lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
