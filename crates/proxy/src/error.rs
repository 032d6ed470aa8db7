//! The one error of the daemon: whose fault it is, whether a retry helps, what the client is told.
//!
//! Knows HTTP status codes and blame. Must not know any module that raises it, and never carries key material. Messages are
//! written to logs as they are; what clients are shown of them is less.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use http::StatusCode;

/// Whose fault an error is. The value is a label in logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The request asked for something that cannot be had this way.
    Client,
    /// The filer answered wrongly, late or not at all, or stores an entry that cannot be read.
    Filer,
    /// The S3 gateway could not be reached, or did not answer.
    Gateway,
    /// The volume servers could not give the bytes.
    Volume,
    /// The key management service refused, or could not be reached.
    Kms,
    /// The operator's configuration forbids or lacks something.
    Config,
    /// A bug of our own.
    Tidegate,
}

impl Blame {
    /// The lower-case label: `client`, `filer`, `gateway`, `volume`, `kms`, `config`, `tidegate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Filer => "filer",
            Self::Gateway => "gateway",
            Self::Volume => "volume",
            Self::Kms => "kms",
            Self::Config => "config",
            Self::Tidegate => "tidegate",
        }
    }
}

/// An error on its way to the client: status, blame, one sentence that says what happened and what to do.
#[derive(Clone, Debug)]
pub struct Error {
    blame: Blame,
    status: StatusCode,
    retry_after: Option<Duration>,
    code: Option<Cow<'static, str>>,
    message: Cow<'static, str>,
    public: Option<Cow<'static, str>>,
    /// Shared, so that an error can be answered to all who waited for it.
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// The result of anything that can end in an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that the same request will meet again.
    pub fn new(blame: Blame, status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { blame, status, retry_after: None, code: None, message: message.into(), public: None, source: None }
    }

    /// Says that the same request may succeed after `delay`; the client gets `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Adds a short machine-readable code, as S3 (`InvalidArgument`) or the KMS (`DisabledException`) names it.
    #[must_use]
    pub fn code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Keeps the error that this one comes of. The message says already what of it is to be read.
    #[must_use]
    pub(crate) fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        self.blame
    }

    /// The status that the client is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// How long the client should wait before it tries again; `None`: a retry does not help.
    pub fn delay(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The machine-readable code, where there is one.
    pub fn short_code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Shows clients `message` in place of the one that the log has, where that says what is the operator's business. Ids
    /// of needles and addresses of servers are taken out of either.
    #[must_use]
    pub fn publicly(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.public = Some(message.into());
        self
    }

    /// The sentence for the operator: all that is known.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The sentence for clients, from which `error_response` takes out what it must not say.
    pub fn public(&self) -> &str {
        self.public.as_deref().unwrap_or(&self.message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
