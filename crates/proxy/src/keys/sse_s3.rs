//! The key encryption key of SSE-S3: from the configuration, or from the filer's file.
//!
//! Knows the order of the sources and when the file is read again. Must not know how the file is fetched
//! ([`KekSource`]) or how it is sealed (`crypto`).
//!
//! The S3 gateway takes `kek`, else `key`, else the file, and does not start with both, or with a file that says
//! otherwise. So what is configured is never mixed with the file here either.

use std::sync::Arc;
use std::time::Duration;

use crypto::{DataKey, Kek, KekError, S3Key};
use futures_util::future::BoxFuture;
use http::StatusCode;
use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};
use zeroize::Zeroizing;

use crate::{Blame, Error, Result};

/// The file that holds the key where none is configured.
pub const KEK_PATH: &str = "/etc/s3/sse_kek";
/// The file is read again at most this often.
const READ_AGAIN: Duration = Duration::from_secs(3);

/// What `[sse_s3]` says.
#[derive(Default)]
pub struct Settings {
    /// `key`: any text; the key is derived from it.
    pub key: Option<Zeroizing<String>>,
    /// `kek`: the key itself, 64 hex digits.
    pub kek: Option<Zeroizing<String>>,
    /// `kek_passphrase`: opens [`KEK_PATH`] where the gateway has sealed it.
    pub kek_passphrase: Option<Zeroizing<String>>,
}

/// Reads [`KEK_PATH`] from the filer.
pub trait KekSource: Send + Sync {
    /// The file's bytes; `None` if there is no such file.
    ///
    /// # Errors
    /// Whatever kept it from being read. It is passed on to the client as it is.
    fn read(&self) -> BoxFuture<'_, Result<Option<Zeroizing<Vec<u8>>>>>;
}

/// Opens SSE-S3 data keys.
pub struct SseS3 {
    store: Store,
}

enum Store {
    Settings(Kek),
    File(Box<File>),
}

struct File {
    source: Arc<dyn KekSource>,
    passphrase: Option<Zeroizing<String>>,
    /// The last key that the file gave. It outlives readings that fail.
    known: watch::Sender<Option<Arc<Kek>>>,
    /// Held while the file is read, so that it is read once for all who wait.
    last: Mutex<Option<FileRead>>,
}

/// When the file was last read, and why that gave no key if it did not.
struct FileRead {
    at: Instant,
    failed: Option<Error>,
}

impl SseS3 {
    /// By these settings; `source` is asked only where neither `key` nor `kek` is set.
    ///
    /// # Errors
    /// [`Blame::Config`] if both are set, or `kek` is not 64 hex digits.
    pub fn new(settings: Settings, source: Arc<dyn KekSource>) -> Result<Self> {
        let store = match (settings.kek, settings.key) {
            (Some(_), Some(_)) => {
                return Err(broken("sse_s3.key and sse_s3.kek are both set; keep the one that the S3 gateway has"));
            }
            (Some(kek), None) => {
                Store::Settings(Kek::from_hex(&kek).map_err(|_| broken("sse_s3.kek is not 64 hex digits"))?)
            }
            (None, Some(key)) => Store::Settings(Kek::derive(&key)),
            (None, None) => Store::File(Box::new(File {
                source,
                passphrase: settings.kek_passphrase,
                known: watch::Sender::new(None),
                last: Mutex::new(None),
            })),
        };
        Ok(Self { store })
    }

    /// The data key behind `key`.
    ///
    /// # Errors
    /// [`Blame::Config`] if there is no key encryption key, or not the right one; what [`KekSource`] failed with.
    pub(super) async fn open(&self, key: &S3Key) -> Result<DataKey> {
        match &self.store {
            Store::Settings(kek) => kek.open(key).map_err(|_| {
                broken("the SSE-S3 key in the configuration (sse_s3.key or sse_s3.kek) is not the one this object was written with")
            }),
            Store::File(file) => file.open(key).await,
        }
    }

    /// Reads the file now, whenever it was read last: at the start, so that a key that is wrong is noticed before somebody
    /// needs it, and on reload. `false`: the filer has no such file, or the key is configured and there is nothing to
    /// read.
    ///
    /// # Errors
    /// As [`open`](Self::open). What the file said before stays in use then, and the next need tries again.
    pub(super) async fn read(&self) -> Result<bool> {
        match &self.store {
            Store::Settings(_) => Ok(false),
            Store::File(file) => file.read().await,
        }
    }
}

impl File {
    async fn open(&self, key: &S3Key) -> Result<DataKey> {
        let tried = self.known();
        if let Some(kek) = &tried
            && let Ok(opened) = kek.open(key)
        {
            return Ok(opened);
        }
        // Not read yet, or rotated.
        let failed = self.read_again(tried.as_ref()).await;
        match self.known().map(|kek| kek.open(key)) {
            Some(Ok(opened)) => Ok(opened),
            _ => Err(failed.unwrap_or_else(|| {
                broken("the SSE-S3 key in the filer's /etc/s3/sse_kek is not the one this object was written with")
            })),
        }
    }

    async fn read(&self) -> Result<bool> {
        let mut last = self.last.lock().await;
        let Some(file) = self.source.read().await? else {
            return if self.known().is_some() {
                Err(broken("the filer no longer has /etc/s3/sse_kek"))
            } else {
                Ok(false)
            };
        };
        self.known.send_replace(Some(Arc::new(kek(&file, self.passphrase.as_ref())?)));
        // Should this key not open what comes next, the file may be read at once.
        *last = None;
        Ok(true)
    }

    fn known(&self) -> Option<Arc<Kek>> {
        self.known.borrow().clone()
    }

    /// Reads the file unless somebody has just done so or it has given another key than `tried` meanwhile. Why the last
    /// reading gave none, if so.
    async fn read_again(&self, tried: Option<&Arc<Kek>>) -> Option<Error> {
        let mut last = self.last.lock().await;
        let replaced = self.known().is_some_and(|kek| !tried.is_some_and(|tried| Arc::ptr_eq(tried, &kek)));
        if let Some(reading) = last.as_ref()
            && (replaced || reading.at.elapsed() < READ_AGAIN)
        {
            return reading.failed.clone();
        }
        let failed = match read(self.source.as_ref(), self.passphrase.as_ref()).await {
            Ok(kek) => {
                self.known.send_replace(Some(Arc::new(kek)));
                None
            }
            Err(error) => Some(error),
        };
        *last = Some(FileRead { at: Instant::now(), failed: failed.clone() });
        failed
    }
}

async fn read(source: &dyn KekSource, passphrase: Option<&Zeroizing<String>>) -> Result<Kek> {
    let Some(file) = source.read().await? else {
        return Err(broken(
            "no SSE-S3 key: the filer has no /etc/s3/sse_kek; set sse_s3.key or sse_s3.kek to what the S3 gateway has \
             (s3.sse.key or s3.sse.kek)",
        ));
    };
    kek(&file, passphrase)
}

fn kek(file: &[u8], passphrase: Option<&Zeroizing<String>>) -> Result<Kek> {
    Kek::from_file(file, passphrase.map(|text| text.as_str())).map_err(|error| {
        let advice = match error {
            KekError::PassphraseNeeded | KekError::WrongPassphrase => {
                "; set sse_s3.kek_passphrase as the S3 gateway has it"
            }
            KekError::NotHex | KekError::Format => "",
        };
        broken(format!("no SSE-S3 key in the filer's /etc/s3/sse_kek: {error}{advice}"))
    })
}

fn broken(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Blame::Config, StatusCode::INTERNAL_SERVER_ERROR, message).code("SseS3Key")
}

#[cfg(test)]
mod tests;
