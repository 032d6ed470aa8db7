//! Where the keystream of each chunk starts, by the kind of the object.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    detect,
    keyring::Keyring,
    kind::Kind,
    parsed_entry::{ParsedEntry, metadata_place},
    unlabelled::{UnlabelledReading, is_raw_beside_labels},
};
use crate::{
    attributes::name,
    error::{Doubt, MetadataError, Place, Problem},
    metadata::{Metadata, attribute_iv, entry},
    parts::{Part, Parts},
    scheme::Scheme,
    stored::StoredChunk,
    wrapped::WrappedKey,
};

/// Distance between the parts of an SSE-S3 upload before 4.01: 2^33 bytes, in blocks.
const LEGACY_PART_BLOCKS: u64 = (1 << 33) / 16;

/// Where the keystream of a chunk starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyStart {
    /// Index into [`Layout::keys`](crate::Layout::keys).
    pub key: usize,
    /// IV of the stream.
    pub iv: [u8; 16],
    /// Position in the stream of the chunk's first byte.
    pub offset: u64,
}

// Wrapped keys and IVs have no business in a log.
impl fmt::Debug for KeyStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStart").field("key", &self.key).field("offset", &self.offset).finish_non_exhaustive()
    }
}

/// The start of each chunk's keystream, in the order of the entry; `None` for raw chunks.
pub(super) fn starts(
    object: &ParsedEntry<'_>,
    kind: Kind,
    keyring: &mut Keyring,
) -> Result<Vec<Option<KeyStart>>, MetadataError> {
    match kind {
        Kind::Plain | Kind::Unlabelled(UnlabelledReading::Raw) => Ok(vec![None; object.chunks.len()]),
        Kind::Unlabelled(UnlabelledReading::Unproven(doubt)) => {
            Err(object.first_label().fails(Problem::Unlabelled(doubt)))
        }
        Kind::Unlabelled(UnlabelledReading::Ciphertext) => unlabelled(object, keyring),
        Kind::SelfDescribing => labelled(object, keyring, |chunk| Ok(chunk.own_start())),
        Kind::EqualRuns => equal_runs(object, keyring),
        Kind::UploadParts => upload_parts(object, keyring),
        Kind::EntryStream => entry_stream(object, keyring),
    }
}

/// The IV of a chunk's stream, and the position in it of the chunk's first byte; no position if that is beyond all numbers.
type Start = ([u8; 16], Option<u64>);

/// All chunks that hold bytes are one stream, under the entry's key.
fn unlabelled(object: &ParsedEntry<'_>, keyring: &mut Keyring) -> Result<Vec<Option<KeyStart>>, MetadataError> {
    let mut starts = vec![None; object.chunks.len()];
    for (index, chunk) in object.chunks.iter().enumerate().filter(|(_, chunk)| !chunk.is_manifest && chunk.size > 0) {
        let missing = || detect::key_place(object.scheme).fails(Problem::Missing);
        let key = keyring.entry_key().ok_or_else(missing)?;
        let (iv, offset) = object.in_entry_stream(chunk)?;
        let offset = offset.ok_or_else(|| label_place(index).fails(Problem::OutOfRange))?;
        starts[index] = Some(KeyStart { key, iv, offset });
    }
    Ok(starts)
}

/// Neighbours with identical metadata are one stream, which starts where the first of them says.
fn equal_runs(object: &ParsedEntry<'_>, keyring: &mut Keyring) -> Result<Vec<Option<KeyStart>>, MetadataError> {
    let parts = Parts::read(object.attributes, object.chunks)?;
    let mut run = Run::default();
    labelled(object, keyring, |chunk| {
        run.enter(chunk, part_at(parts.as_ref(), chunk.stored.offset));
        let (iv, offset) = chunk.own_start();
        Ok((iv, offset.and_then(|offset| offset.checked_add(chunk.stored.offset - run.start))))
    })
}

/// Chunks without an IV start where their part does.
///
/// - 3.99 and 4.00 started part n at the upload's base IV plus (n-1)·2^33 bytes, a sum that the writer made in the low 64
///   bits only; within the part the carry goes through all bits as ever. The key was wrapped anew for each part, so a run
///   of identical metadata is a part. Part numbers are those of the part boundaries; these were not stored before 4.01,
///   and then the runs are counted from 1, which is right for uploads without gaps in their part numbers. (3.97 and 3.98
///   kept SSE-S3 keys in memory only: what they wrote is lost, and refused here for the missing `encryptedDEK`.)
/// - From 4.01 on each part starts at the base IV itself. Where such a chunk was left without any metadata, that and the
///   upload's key are taken, as the gateway itself does when it completes an upload (`completedMultipartChunk` in
///   `weed/s3api/filer_multipart.go` @4.48).
fn upload_parts(object: &ParsedEntry<'_>, keyring: &mut Keyring) -> Result<Vec<Option<KeyStart>>, MetadataError> {
    let base_iv = attribute_iv(object.attributes, name::S3_BASE_IV)?;
    let parts = Parts::read(object.attributes, object.chunks)?;
    let mut run = Run::default();
    labelled(object, keyring, |chunk| {
        let part = part_at(parts.as_ref(), chunk.stored.offset);
        run.enter(chunk, part);
        let missing = || chunk.fails("iv", Problem::Missing);
        match (chunk.label.iv, base_iv) {
            (Some(_), _) => Ok(chunk.own_start()),
            (None, None) => Err(missing()),
            (None, Some(base_iv)) if chunk.is_silent() => {
                let part = part.ok_or_else(missing)?;
                Ok((base_iv, Some(chunk.stored.offset - part.start)))
            }
            (None, Some(base_iv)) => {
                let part = part.unwrap_or(Part { number: run.number, start: run.start });
                Ok((legacy_part_iv(base_iv, part.number), Some(chunk.stored.offset - part.start)))
            }
        }
    })
}

/// Chunks without an IV are one stream over the whole object, at the entry's.
fn entry_stream(object: &ParsedEntry<'_>, keyring: &mut Keyring) -> Result<Vec<Option<KeyStart>>, MetadataError> {
    // One IV cannot be that of several parts.
    let are_many = Parts::read(object.attributes, object.chunks)?.is_some_and(|parts| parts.are_many());
    labelled(object, keyring, |chunk| match chunk.label.iv {
        Some(_) => Ok(chunk.own_start()),
        None if are_many => Err(chunk.fails("iv", Problem::Missing)),
        None if chunk.label.part_offset != 0 && chunk.label.part_offset != chunk.stored.offset => {
            Err(chunk.fails("partOffset", Problem::Disagrees))
        }
        None => object.in_entry_stream(chunk.stored),
    })
}

/// Goes through the chunks by their offset and asks `start` for each that has a label.
fn labelled<'o>(
    object: &'o ParsedEntry<'_>,
    keyring: &mut Keyring,
    mut start: impl FnMut(&Chunk<'o>) -> Result<Start, MetadataError>,
) -> Result<Vec<Option<KeyStart>>, MetadataError> {
    let mut starts = vec![None; object.chunks.len()];
    for (place, &index) in object.order.iter().enumerate() {
        let stored = &object.chunks[index];
        let Some(label) = &object.labels[index] else {
            check_raw(object, index)?;
            continue;
        };
        let chunk = Chunk { index, place, stored, label };
        let (iv, offset) = start(&chunk)?;
        let fits = offset.and_then(|offset| offset.checked_add(stored.size).map(|_| offset));
        let offset = fits.ok_or_else(|| chunk.fails("partOffset", Problem::OutOfRange))?;
        let key = object.key(&chunk, keyring)?;
        starts[index] = Some(KeyStart { key, iv, offset });
    }
    Ok(starts)
}

/// Refuses a chunk without a label that may be encrypted.
fn check_raw(object: &ParsedEntry<'_>, index: usize) -> Result<(), MetadataError> {
    let chunk = &object.chunks[index];
    if chunk.is_manifest || chunk.size == 0 || is_raw_beside_labels(object, chunk) {
        return Ok(());
    }
    Err(label_place(index).fails(Problem::Unlabelled(Doubt::Upload)))
}

/// What says that a chunk is encrypted.
fn label_place(index: usize) -> Place {
    Place::Chunk { index, field: "sse_type".to_owned() }
}

fn part_at(parts: Option<&Parts>, offset: u64) -> Option<Part> {
    parts.and_then(|parts| parts.at(offset))
}

/// One encrypted chunk.
struct Chunk<'a> {
    index: usize,
    /// Its place among the chunks by their offset.
    place: usize,
    stored: &'a StoredChunk<'a>,
    label: &'a Metadata,
}

impl Chunk<'_> {
    fn is_silent(&self) -> bool {
        self.stored.sse_metadata.is_empty()
    }

    fn own_start(&self) -> Start {
        (self.label.iv.unwrap_or_default(), Some(self.label.part_offset))
    }

    fn fails(&self, field: &str, problem: Problem) -> MetadataError {
        let place = metadata_place(self.index);
        if self.is_silent() { place.fails(problem) } else { place.join(field).fails(problem) }
    }
}

/// The run of neighbours with identical metadata that the current chunk is in.
#[derive(Default)]
struct Run<'a> {
    /// How many runs there were, this one included.
    number: u64,
    /// First byte of the run in the object.
    start: u64,
    /// Place of the latest chunk.
    place: usize,
    sse_metadata: &'a [u8],
    part: Option<Part>,
}

impl<'a> Run<'a> {
    fn enter(&mut self, chunk: &Chunk<'a>, part: Option<Part>) {
        let is_next = chunk.place == self.place + 1;
        let is_alike = !chunk.is_silent() && self.sse_metadata == chunk.stored.sse_metadata && self.part == part;
        if is_next && is_alike {
            self.place = chunk.place;
            return;
        }
        let (start, sse_metadata) = (chunk.stored.offset, chunk.stored.sse_metadata);
        *self = Self { number: self.number + 1, start, place: chunk.place, sse_metadata, part };
    }
}

impl ParsedEntry<'_> {
    fn first_label(&self) -> Place {
        label_place(self.chunks.iter().position(|chunk| !chunk.is_manifest && chunk.size > 0).unwrap_or(0))
    }

    /// Where a chunk starts in the one stream of the whole object.
    fn in_entry_stream(&self, chunk: &StoredChunk<'_>) -> Result<Start, MetadataError> {
        let iv = self.entry.iv.ok_or_else(|| detect::iv_place(self.scheme).fails(Problem::Missing))?;
        Ok((iv, Some(chunk.offset).filter(|offset| offset.checked_add(chunk.size).is_some())))
    }

    fn key(&self, chunk: &Chunk<'_>, keyring: &mut Keyring) -> Result<usize, MetadataError> {
        match &chunk.label.key {
            Some(WrappedKey::Customer(key)) => {
                let agrees = keyring.agrees_with_entry(key);
                let index = keyring.intern(WrappedKey::Customer(key.clone()));
                if agrees && index == 0 { Ok(index) } else { Err(chunk.fails("keyMD5", Problem::Disagrees)) }
            }
            Some(key) => Ok(keyring.intern(key.clone())),
            None if self.scheme == Scheme::C || chunk.is_silent() => self.key_elsewhere(keyring),
            None if self.scheme == Scheme::Kms => Err(chunk.fails("encryptedDataKey", Problem::Missing)),
            None => Err(chunk.fails("encryptedDEK", Problem::Missing)),
        }
    }

    /// The key of a chunk that has none: the upload's, or the entry's.
    fn key_elsewhere(&self, keyring: &mut Keyring) -> Result<usize, MetadataError> {
        let missing = || detect::key_place(self.scheme).fails(Problem::Missing);
        let upload = self.attributes.filled(name::S3_KEY_DATA).filter(|_| self.scheme == Scheme::S3);
        let Some(base64) = upload else { return keyring.entry_key().ok_or_else(missing) };
        let place = entry(name::S3_KEY_DATA);
        let json = STANDARD.decode(base64).map_err(|_| place.fails(Problem::NotBase64))?;
        let key = Metadata::parse(self.scheme, &json, place)?.key.ok_or_else(missing)?;
        Ok(keyring.intern(key))
    }
}

/// The IV of a part of an SSE-S3 upload before 4.01, `number` counting from 1.
fn legacy_part_iv(base_iv: [u8; 16], number: u64) -> [u8; 16] {
    let mut iv = base_iv;
    if let Some(low) = iv.last_chunk_mut() {
        let blocks = number.wrapping_sub(1).wrapping_mul(LEGACY_PART_BLOCKS);
        *low = u64::from_be_bytes(*low).wrapping_add(blocks).to_be_bytes();
    }
    iv
}
