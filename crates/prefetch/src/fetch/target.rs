//! Where a fetch takes its bytes over to.

use super::SpanWriter;
use crate::Decode;

/// One of these.
pub(super) enum Target {
    /// The blocks of one download, decoded.
    Download(SpanWriter),
    /// A buffer for all who wait for the needle, as it is stored.
    Needle(Vec<u8>),
    /// Nowhere: one span has ended, and the next has not begun.
    Nobody,
}

impl Target {
    /// Resolves when somebody waits and there is something to pass on.
    pub(super) async fn wanted(&self) {
        match self {
            Self::Download(writer) => writer.wanted().await,
            Self::Needle(_) | Self::Nobody => std::future::pending().await,
        }
    }

    /// Takes bytes over.
    pub(super) fn copy(&mut self, data: &[u8], decoder: Option<&mut (dyn Decode + 'static)>) {
        match self {
            Self::Download(writer) => writer.copy(data, decoder),
            Self::Needle(bytes) => bytes.extend_from_slice(data),
            Self::Nobody => {}
        }
    }

    /// Passes on what is here.
    pub(super) fn flush(&mut self) {
        if let Self::Download(writer) = self {
            writer.flush();
        }
    }

    /// Passes on the last piece.
    pub(super) fn finish(&mut self) {
        if let Self::Download(writer) = self {
            writer.finish();
        }
    }

    /// The last piece is passed on, and the span has ended well.
    pub(super) fn end(&mut self) {
        if let Self::Download(mut writer) = std::mem::replace(self, Self::Nobody) {
            writer.finish();
            writer.end(Ok(()));
        }
    }

    /// Takes everything back, to begin anew; `false`: some bytes are out already.
    pub(super) fn take_back(&mut self) -> bool {
        match self {
            Self::Download(writer) => writer.take_back(),
            Self::Needle(bytes) => {
                bytes.clear();
                true
            }
            Self::Nobody => false,
        }
    }
}
