//! How the chunks of an encrypted object are read when none of them has a label.
//!
//! Two sorts of writers leave such objects. Some copy stored bytes and the entry's attributes, but not the labels of the
//! chunks: what they leave is ciphertext. Others write plain bytes over an object and keep its attributes. Nothing in
//! the bytes tells one from the other, so it is told from what each of them leaves in the entry (seen on 4.48):
//!
//! | writer | what it leaves |
//! |---|---|
//! | the filer's copy, `cp.from` (`weed/server/filer_server_handlers_copy.go` @4.48) | chunks without a time; `crtime` = `mtime` |
//! | a file of a remote mount, fetched again (`filer_grpc_server_remote.go`) | chunks whose `e_tag` is a CRC; a time before `last_local_sync_ts_ns` |
//! | CopyObject to SSE-C of 3.97 to 4.22 (`weed/s3api/s3api_object_handlers_copy.go`) | the `crtime` of its source; no MD5; `mtime` in whole seconds |
//! | the S3 gateway itself, the labels lost later | chunks not later than `crtime` |
//! | a mount (`weed/mount/weedfs_file_write.go` @4.48): plain bytes | chunks with the time of `mtime`, which has nanoseconds; compressed chunks |
//! | UploadPartCopy of plain parts only, to SSE-C: plain bytes | no IV in the entry |
//!
//! Ciphertext is taken for one stream at the entry's IV, as the gateway reads it. That is what a single PUT is, but
//! neither a multipart upload nor a copy by the gateway, which starts anew with each chunk. Of several chunks the MD5 in
//! the entry tells: a PUT leaves it, a CopyObject does not. What none of this proves is refused.

use super::parsed_entry::ParsedEntry;
use crate::{
    attributes::name,
    error::{Doubt, MetadataError},
    parts::Parts,
    scheme::Scheme,
    stored::{History, StoredChunk},
};

const SECOND_NS: i64 = 1_000_000_000;
/// How far a mount's chunks may be from the time that it left in the entry, in nanoseconds: it sets `mtime` with each
/// write, and `ctime` when another `mtime` is set afterwards, as `cp -p` does.
const MOUNT_WRITES_NS: i64 = 600 * SECOND_NS;

/// How chunks without a label are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnlabelledReading {
    /// One stream at the entry's IV.
    Ciphertext,
    /// As they are.
    Raw,
    /// Nothing says which, or the keys are lost.
    Unproven(Doubt),
}

/// Who wrote the bytes of a chunk without a label.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// The filer, out of another object.
    FilerCopy,
    /// The filer, out of a remote store.
    RemoteStore,
    /// The S3 gateway.
    Gateway,
    /// A mount: the bytes are plain.
    Mount,
    Unknown,
}

/// How the chunks of an object without any label are read.
///
/// # Errors
/// When the part boundaries are needed and cannot be understood.
pub(super) fn reading(object: &ParsedEntry<'_>) -> Result<UnlabelledReading, MetadataError> {
    let has_iv = object.entry.iv.is_some();
    let has_keys = has_iv && object.entry.key.is_some();
    let mut writers = object.data_chunks().map(|chunk| writer(object.history, chunk, has_keys));
    let one = writers.next().unwrap_or(Writer::Unknown);
    let writer = if writers.all(|other| other == one) { one } else { Writer::Unknown };
    Ok(match writer {
        Writer::Mount => UnlabelledReading::Raw,
        Writer::Unknown => UnlabelledReading::Unproven(Doubt::Changed),
        // Not one part of the upload was encrypted: the first that is leaves its IV, and the others their labels.
        Writer::Gateway if object.scheme == Scheme::C && !has_iv => UnlabelledReading::Raw,
        _ if !has_keys => UnlabelledReading::Unproven(Doubt::KeyLost),
        _ if !is_one_part(object)? => UnlabelledReading::Unproven(Doubt::Parts),
        _ if !object.history.has_md5 && !is_one_stream(object, writer) => UnlabelledReading::Unproven(Doubt::NoMd5),
        _ => UnlabelledReading::Ciphertext,
    })
}

/// Whether a chunk without a label in an object where others have one is plain.
///
/// It is, but where SSE-S3 uploads are put together: gateways before 4.22 have left encrypted chunks without a label there
/// and have copied plain ones in.
pub(super) fn is_raw_beside_labels(object: &ParsedEntry<'_>, chunk: &StoredChunk<'_>) -> bool {
    let is_of_upload = chunk.modified_ts_ns <= object.history.end_of_creation();
    !(is_multipart(object) && is_of_upload && !chunk.is_compressed)
}

fn is_multipart(object: &ParsedEntry<'_>) -> bool {
    object.scheme == Scheme::S3 && object.attributes.filled(name::S3_BASE_IV).is_some()
}

/// Whether an object was written at once, or as one part.
fn is_one_part(object: &ParsedEntry<'_>) -> Result<bool, MetadataError> {
    Ok(match Parts::read(object.attributes, object.chunks)? {
        Some(parts) => !parts.are_many(),
        // Before 4.01 they were not recorded.
        None => !is_multipart(object),
    })
}

/// Whether all chunks of an object without an MD5 are one stream.
fn is_one_stream(object: &ParsedEntry<'_>, writer: Writer) -> bool {
    match writer {
        // A lone chunk of a copy is that of its source, which began at the entry's IV.
        Writer::FilerCopy => {
            object.data_chunks().count() == 1 && !object.data_chunks().any(|chunk| is_crc(chunk.e_tag))
        }
        // CopyObject of 3.97 to 4.22 left labels off only where it used one IV for all.
        Writer::Gateway => object.scheme == Scheme::C || object.data_chunks().count() == 1 || is_multipart(object),
        // Its chunks are others than were stored first.
        Writer::RemoteStore | Writer::Mount | Writer::Unknown => false,
    }
}

fn writer(history: &History, chunk: &StoredChunk<'_>, has_keys: bool) -> Writer {
    let written = chunk.modified_ts_ns;
    if written == 0 {
        return if history.is_fresh_copy() { Writer::FilerCopy } else { Writer::Unknown };
    }
    if is_crc(chunk.e_tag) {
        let is_fetched = written <= history.synced_ns && !history.is_touched();
        return if is_fetched { Writer::RemoteStore } else { Writer::Unknown };
    }
    // The volume server's client compresses what gets smaller by it, as ciphertext never does.
    if chunk.is_compressed {
        return Writer::Mount;
    }
    if written <= history.end_of_creation() {
        // A mount may be as fast as that.
        return if is_near(history.modified_ns, written, SECOND_NS) { Writer::Mount } else { Writer::Gateway };
    }
    let is_of_mount = |time| is_near(time, written, MOUNT_WRITES_NS);
    if is_of_mount(history.modified_ns) || is_of_mount(history.changed_ns) {
        return Writer::Mount;
    }
    match (history.has_md5, history.is_touched()) {
        // Longer writing. The object was a PUT, which CopyObject never left an MD5 and a key of.
        (true, true) if has_keys && written <= history.modified_ns => Writer::Mount,
        (false, false) => Writer::Gateway,
        _ => Writer::Unknown,
    }
}

/// Whether `time` is one that only a mount sets, with nanoseconds, and not far from when a chunk was written.
fn is_near(time: i64, written: i64, distance: i64) -> bool {
    time % SECOND_NS != 0 && time.abs_diff(written) <= distance.unsigned_abs()
}

/// Whether a chunk's tag is the CRC of a needle, in hex, and not base64 of an MD5.
fn is_crc(e_tag: &str) -> bool {
    e_tag.len() == 8 && e_tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl History {
    /// Whether the filer's copy has left it so, and nobody touched the file since, nor its source before.
    fn is_fresh_copy(&self) -> bool {
        self.created > 0 && self.modified_ns.div_euclid(SECOND_NS) == self.created && self.changed_ns % SECOND_NS == 0
    }

    /// Whether a mount has changed the file or its attributes. The gateway writes times in whole seconds.
    fn is_touched(&self) -> bool {
        self.modified_ns % SECOND_NS != 0 || self.changed_ns % SECOND_NS != 0
    }

    /// The last nanosecond at which the object can have been created.
    fn end_of_creation(&self) -> i64 {
        self.created.saturating_add(1).saturating_mul(SECOND_NS).saturating_sub(1)
    }
}
