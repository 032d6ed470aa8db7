//! Where a fetch takes its bytes over to.

use std::{future::poll_fn, io, sync::Arc};

use bytes::BufMut;
use tokio::io::AsyncReadExt;

use super::SpanWriter;
use crate::{Decode, UpstreamBody, crc, handover::Handover};

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
    /// Where somebody waits, if there is something that could be passed on.
    pub(super) fn wanted(&self) -> Option<Arc<Handover>> {
        match self {
            Self::Download(writer) => writer.wanted(),
            Self::Needle(_) | Self::Nobody => None,
        }
    }

    /// Reads the next bytes of a body to where they belong, `most` at most. How many; none are its end.
    pub(super) async fn read(&mut self, body: &mut UpstreamBody, most: u64) -> io::Result<usize> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        match self {
            Self::Download(writer) => {
                let mut slices = writer.spare(most);
                poll_fn(|cx| body.as_mut().poll_read_many(cx, &mut slices)).await
            }
            Self::Needle(bytes) => body.read_buf(&mut bytes.limit(most)).await,
            Self::Nobody => Ok(0),
        }
    }

    /// Takes over the `bytes` that were read last: decodes them where they lie. The CRC-32C of them as they came, behind `crc`.
    pub(super) fn take(&mut self, bytes: usize, crc: u32, decoder: Option<&mut (dyn Decode + 'static)>) -> u32 {
        match self {
            Self::Download(writer) => writer.take(bytes, crc, decoder),
            Self::Needle(needle) => crc::append(crc, &needle[needle.len() - bytes..]),
            Self::Nobody => crc,
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
