//! Where a fetch takes its bytes over to.

use super::Sink;
use crate::Decode;

/// One of these.
pub(super) enum Target {
    /// The blocks of one download, decoded.
    Download(Sink),
    /// A buffer for all who wait for the needle, as it is stored.
    Needle(Vec<u8>),
    /// Nowhere: one span has ended, and the next has not begun.
    Nobody,
}

impl Target {
    /// Resolves when somebody waits and there is something to pass on.
    pub(super) async fn wanted(&self) {
        match self {
            Self::Download(sink) => sink.wanted().await,
            Self::Needle(_) | Self::Nobody => std::future::pending().await,
        }
    }

    /// Takes bytes over.
    pub(super) fn copy(&mut self, data: &[u8], decoder: Option<&mut (dyn Decode + 'static)>) {
        match self {
            Self::Download(sink) => sink.copy(data, decoder),
            Self::Needle(bytes) => bytes.extend_from_slice(data),
            Self::Nobody => {}
        }
    }

    /// Passes on what is here.
    pub(super) fn flush(&mut self) {
        if let Self::Download(sink) = self {
            sink.flush();
        }
    }

    /// Passes on the last piece.
    pub(super) fn finish(&mut self) {
        if let Self::Download(sink) = self {
            sink.finish();
        }
    }

    /// The last piece is passed on, and the span has ended well.
    pub(super) fn end(&mut self) {
        if let Self::Download(mut sink) = std::mem::replace(self, Self::Nobody) {
            sink.finish();
            sink.end(Ok(()));
        }
    }

    /// Takes everything back, to begin anew; `false`: some bytes are out already.
    pub(super) fn take_back(&mut self) -> bool {
        match self {
            Self::Download(sink) => sink.take_back(),
            Self::Needle(bytes) => {
                bytes.clear();
                true
            }
            Self::Nobody => false,
        }
    }
}
