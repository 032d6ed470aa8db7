//! What a filer entry is: its path, size, ETag, headers, and which chunk holds which byte.
//!
//! Knows the entry as SeaweedFS stores and presents it. Must not know sockets, keys or ciphers: what an attribute
//! means for decryption is read elsewhere.

mod content_type;
mod disposition;
mod fid;
pub mod headers;
pub mod manifest;
mod path;
pub(crate) mod query;
pub mod sealed;
mod tag;
pub mod visible;

use std::time::{Duration, SystemTime};

use bytes::Bytes;

pub(crate) use self::path::routed;
pub use self::{
    content_type::ContentTypes,
    fid::{Fid, FidError},
    path::{EntryPath, EntryPathError},
};
use crate::pb;

/// What an entry is, as far as a reader must tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory; the filer lists it.
    Directory,
    /// A file with its bytes in this cluster. Hard links are files: the filer has merged in what they share.
    File,
    /// A file whose bytes are in a remote store only; the filer fetches them.
    RemoteOnly,
    /// A symbolic link. The filer does not follow it.
    Symlink,
    /// A device, pipe or socket.
    Special,
}

/// Type bits of Go's `os.FileMode`.
const MODE_SYMLINK: u32 = 1 << 27;
const MODE_SPECIAL: u32 = (1 << 26) | (1 << 25) | (1 << 24) | (1 << 21) | (1 << 19);

/// The last second that an HTTP date can name: the end of the year 9999.
const LAST_HTTP_DATE: u64 = 253_402_300_799;

impl pb::Entry {
    /// What the entry is.
    pub fn kind(&self) -> Kind {
        let mode = self.attributes.as_ref().map_or(0, |a| a.file_mode);
        if self.is_directory {
            Kind::Directory
        } else if mode & MODE_SYMLINK != 0 {
            Kind::Symlink
        } else if mode & MODE_SPECIAL != 0 {
            Kind::Special
        } else if self.chunks.is_empty() && self.remote_entry.as_ref().is_some_and(|remote| remote.remote_size > 0) {
            Kind::RemoteOnly
        } else {
            Kind::File
        }
    }

    /// Size of the file in bytes, plaintext, as the filer gives it in `Content-Length`. From `FileSize` in
    /// `weed/filer/filechunks.go` @4.48. An entry without attributes has none: 0.
    pub fn size(&self) -> u64 {
        let Some(attributes) = &self.attributes else { return 0 };
        let remote = self.remote_entry.as_ref().filter(|remote| remote.remote_mtime > attributes.mtime);
        let remote_size = remote.and_then(|remote| u64::try_from(remote.remote_size).ok()).unwrap_or(0);
        let end = self.chunks.iter().map(pb::FileChunk::end).max().unwrap_or(0);
        attributes.file_size.max(remote_size).max(end)
    }

    /// Drops inline content that does not reach the end of a file which has chunks as well: who appends to a file by gRPC
    /// (`AppendToEntry` @4.48) leaves it there. The filer reads the chunks, except for a range that the content covers; two
    /// ranges of one file must not be of two.
    pub(crate) fn drop_stale_content(&mut self) {
        if !self.chunks.is_empty() && (self.content.len() as u64) < self.size() {
            self.content.clear();
        }
    }

    /// When the file last changed, in whole seconds, as `Last-Modified` has it. `None`: never recorded, or a date
    /// before 1970 or after 9999, which HTTP can't name.
    pub fn modified(&self) -> Option<SystemTime> {
        let seconds = u64::try_from(self.attributes.as_ref()?.mtime).ok()?;
        (seconds <= LAST_HTTP_DATE).then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// An attribute by name. SeaweedFS writes names in more than one case; an exact match wins.
    pub fn attribute(&self, name: &str) -> Option<&Bytes> {
        self.extended
            .get(name)
            .or_else(|| self.extended.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
    }
}

impl pb::FileChunk {
    /// The first byte of the file after the chunk. Nonsense (negative offsets, overflow) is refused where chunks are
    /// laid out; here it is cut to what fits.
    pub fn end(&self) -> u64 {
        u64::try_from(self.offset).unwrap_or(0).saturating_add(self.size)
    }
}

#[cfg(test)]
mod tests;
