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
    spool::Spool,
};

/// Most bytes of lines that wait to be written.
const ROOM: usize = 4 << 20;
/// Lines tell who reads what: not everybody's to read.
const MODE: u32 = 0o640;

/// A file that can be opened anew.
struct Named {
    path: PathBuf,
    /// What was opened last, until the first write to it.
    anew: Arc<Mutex<Option<File>>>,
}

/// What writes to it.
struct Writer {
    file: File,
    anew: Arc<Mutex<Option<File>>>,
}

/// The access log, if there is to be one. Its file is opened anew each time `told`.
///
/// # Errors
/// When the file cannot be opened: the key and why. When there can be no more threads.
pub(super) fn of(log: &Log, lost: &LostLines, told: mpsc::Receiver<()>) -> Result<Option<Arc<AccessLines>>, String> {
    if log.access == AccessLog::Off {
        tokio::spawn(ignored(told));
        return Ok(None);
    }
    let writer: Box<dyn Write + Send> = match &log.access_file {
        None => {
            tokio::spawn(ignored(told));
            Box::new(io::stdout())
        }
        Some(path) => {
            let named = Named { path: path.into(), anew: Arc::default() };
            let file = named.open().map_err(|error| {
                format!("log.access_file: {path} cannot be opened: {error}; let the user of tidegate write it")
            })?;
            let writer = Writer { file, anew: Arc::clone(&named.anew) };
            tokio::spawn(reopen(named, told));
            Box::new(writer)
        }
    };
    let spool = Spool::start("access-log", writer, ROOM, lost.of(LostLine::Access))
        .map_err(|error| format!("log.access: there is no thread for it: {error}"))?;
    let encrypted_only = log.access == AccessLog::Encrypted;
    Ok(Some(Arc::new(AccessLines { spool, encrypted_only, json: log.format == LogFormat::Json })))
}

/// Nothing to open: the signal is only kept from ending the process.
async fn ignored(mut told: mpsc::Receiver<()>) {
    while told.recv().await.is_some() {}
}

async fn reopen(named: Named, mut told: mpsc::Receiver<()>) {
    let named = Arc::new(named);
    while told.recv().await.is_some() {
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
}

impl Named {
    fn open(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(MODE).open(&self.path)
    }
}

/// Each write is of whole lines.
impl Write for Writer {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if let Some(anew) = self.anew.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.file = anew;
        }
        self.file.write_all(lines).map(|()| lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
