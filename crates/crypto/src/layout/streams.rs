//! Where the keystream of each chunk starts.
//!
//! Since 4.01 every encrypted chunk says it itself. Before that, and after some failed writes, it must be found out:
//!
//! - 3.97 to 4.00 gave all chunks of one SSE-KMS or SSE-S3 PUT the same metadata. Chunks that follow each other with
//!   identical metadata are therefore one stream, which runs on from the first of them. Nothing written later looks like
//!   that: since then a chunk's `partOffset` or IV differs from its neighbour's, and each SSE-S3 chunk has its key wrapped
//!   anew. A part boundary ends such a run.
//! - 3.99 and 4.00 wrote multipart SSE-S3 chunks with a key but without IV. Part n starts at the upload's base IV
//!   (`x-seaweedfs-sse-s3-base-iv`, copied from the upload to the entry) plus (n-1)·2^33 bytes, a sum that the writer made in
//!   the low 64 bits only; within the part the carry goes through all bits as ever. The key was wrapped anew for each part, so a run of identical metadata is a part. Part numbers are those of the part boundaries; these were not
//!   stored before 4.01, and then the runs are counted from 1, which is right for uploads without gaps in their part
//!   numbers. (3.97 and 3.98 kept SSE-S3 keys in memory only: what they wrote is lost, and refused here for the missing
//!   `encryptedDEK`.)
//! - From 4.01 on each SSE-S3 part starts at the base IV itself. Where such a chunk was left without any metadata, that and
//!   the upload's key (`x-seaweedfs-sse-s3-key-data`) are taken, as the gateway itself now does when it completes an upload
//!   (`completedMultipartChunk` in `weed/s3api/filer_multipart.go`).
//! - Otherwise a chunk without an IV is part of one stream over the whole object, at the entry's IV.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{KeyStart, StoredChunk, detect, keyring::Keyring, metadata_place};
use crate::{
    attributes::{Attributes, name},
    error::{MetadataError, Problem},
    metadata::{Metadata, attribute_iv, entry},
    parts::{Part, Parts},
    scheme::Scheme,
    wrapped::WrappedKey,
};

/// Distance between the parts of an SSE-S3 upload before 4.01: 2^33 bytes, in blocks.
const LEGACY_PART_BLOCKS: u64 = (1 << 33) / 16;

/// The start of each chunk's keystream, `None` for raw chunks.
pub(super) fn starts(
    scheme: Scheme,
    attributes: &Attributes<'_>,
    entry: &Metadata,
    chunks: &[StoredChunk<'_>],
    keyring: &mut Keyring,
) -> Result<Vec<Option<KeyStart>>, MetadataError> {
    let mut stored = parse(scheme, chunks)?;
    let order = by_offset(chunks);
    let parts = if tell_all(chunks, &stored, &order) { None } else { Parts::read(attributes, chunks)? };
    let object = Object { scheme, attributes, entry, parts };

    let mut starts = vec![None; chunks.len()];
    let mut run = Run::default();
    for index in order {
        let Some(metadata) = stored[index].take() else {
            run.sse_metadata = &[];
            continue;
        };
        let Metadata { key, iv, part_offset } = metadata;
        let chunk = Chunk { index, stored: &chunks[index], iv, part_offset };
        run.enter(&chunk, object.part_at(chunk.stored.offset));
        let (iv, offset) = object.position(&chunk, &run)?;
        let fits = offset.and_then(|offset| offset.checked_add(chunk.stored.size).map(|_| offset));
        let offset = fits.ok_or_else(|| chunk.fails("partOffset", Problem::OutOfRange))?;
        let key = object.key(&chunk, key, keyring)?;
        starts[index] = Some(KeyStart { key, iv, offset });
    }
    Ok(starts)
}

/// The metadata of each encrypted chunk, empty where it has none. Chunks without bytes count as raw.
fn parse(scheme: Scheme, chunks: &[StoredChunk<'_>]) -> Result<Vec<Option<Metadata>>, MetadataError> {
    let metadata = |(index, chunk): (usize, &StoredChunk<'_>)| match chunk {
        chunk if chunk.sse_type == 0 || chunk.size == 0 => Ok(None),
        chunk if chunk.sse_metadata.is_empty() => Ok(Some(Metadata::default())),
        chunk => Metadata::parse(scheme, chunk.sse_metadata, metadata_place(index)).map(Some),
    };
    chunks.iter().enumerate().map(metadata).collect()
}

fn by_offset(chunks: &[StoredChunk<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..chunks.len()).collect();
    order.sort_by_key(|&index| chunks[index].offset);
    order
}

/// Whether every encrypted chunk says itself where it starts, so that parts need not be known.
fn tell_all(chunks: &[StoredChunk<'_>], stored: &[Option<Metadata>], order: &[usize]) -> bool {
    let has_iv = stored.iter().flatten().all(|metadata| metadata.iv.is_some());
    let alike = |pair: &[usize]| {
        let [one, two] = [pair[0], pair[1]];
        stored[one].is_some() && stored[two].is_some() && chunks[one].sse_metadata == chunks[two].sse_metadata
    };
    has_iv && !order.windows(2).any(alike)
}

/// One encrypted chunk.
struct Chunk<'a> {
    index: usize,
    stored: &'a StoredChunk<'a>,
    iv: Option<[u8; 16]>,
    part_offset: u64,
}

impl Chunk<'_> {
    fn is_silent(&self) -> bool {
        self.stored.sse_metadata.is_empty()
    }

    fn fails(&self, field: &str, problem: Problem) -> MetadataError {
        let place = metadata_place(self.index);
        if self.is_silent() { place.fails(problem) } else { place.join(field).fails(problem) }
    }
}

/// The run of chunks with identical metadata that the current chunk is in.
#[derive(Default)]
struct Run<'a> {
    /// How many runs there were, this one included.
    number: u64,
    /// First byte of the run in the object.
    start: u64,
    sse_metadata: &'a [u8],
    part: Option<Part>,
}

impl<'a> Run<'a> {
    fn enter(&mut self, chunk: &Chunk<'a>, part: Option<Part>) {
        let goes_on = !chunk.is_silent() && self.sse_metadata == chunk.stored.sse_metadata && self.part == part;
        if !goes_on {
            let (start, sse_metadata) = (chunk.stored.offset, chunk.stored.sse_metadata);
            *self = Self { number: self.number + 1, start, sse_metadata, part };
        }
    }
}

/// What a chunk's start depends on besides the chunk.
struct Object<'a> {
    scheme: Scheme,
    attributes: &'a Attributes<'a>,
    entry: &'a Metadata,
    parts: Option<Parts>,
}

impl Object<'_> {
    fn part_at(&self, offset: u64) -> Option<Part> {
        self.parts.as_ref().and_then(|parts| parts.at(offset))
    }

    /// The IV of a chunk's stream and the chunk's position in it; no position if that is beyond all numbers.
    fn position(&self, chunk: &Chunk<'_>, run: &Run<'_>) -> Result<([u8; 16], Option<u64>), MetadataError> {
        let part_offset = chunk.part_offset;
        let in_run = chunk.stored.offset - run.start;
        match (chunk.iv, self.scheme) {
            // SSE-C has always told its offset, so equal metadata means what it says.
            (Some(iv), Scheme::C) => Ok((iv, Some(part_offset))),
            (Some(iv), _) => Ok((iv, part_offset.checked_add(in_run))),
            (None, Scheme::S3) => match attribute_iv(self.attributes, name::S3_BASE_IV)? {
                Some(base_iv) => self.position_in_upload(chunk, run, base_iv),
                None => self.position_in_entry(chunk, Some(chunk.stored.offset)),
            },
            (None, _) if chunk.is_silent() => self.position_in_entry(chunk, Some(chunk.stored.offset)),
            (None, _) => self.position_in_entry(chunk, part_offset.checked_add(in_run)),
        }
    }

    /// A chunk without IV of a multipart upload under SSE-S3.
    fn position_in_upload(
        &self,
        chunk: &Chunk<'_>,
        run: &Run<'_>,
        base_iv: [u8; 16],
    ) -> Result<([u8; 16], Option<u64>), MetadataError> {
        let part = self.part_at(chunk.stored.offset);
        if chunk.is_silent() {
            let part = part.ok_or_else(|| chunk.fails("iv", Problem::Missing))?;
            return Ok((base_iv, Some(chunk.stored.offset - part.start)));
        }
        let part = part.unwrap_or(Part { number: run.number, start: run.start });
        Ok((legacy_part_iv(base_iv, part.number), Some(chunk.stored.offset - part.start)))
    }

    /// A chunk without IV that leaves it to the entry.
    fn position_in_entry(
        &self,
        chunk: &Chunk<'_>,
        offset: Option<u64>,
    ) -> Result<([u8; 16], Option<u64>), MetadataError> {
        // One IV cannot be that of several parts.
        if self.parts.as_ref().is_some_and(Parts::are_many) {
            return Err(chunk.fails("iv", Problem::Missing));
        }
        let iv = self.entry.iv.ok_or_else(|| detect::iv_place(self.scheme).fails(Problem::Missing))?;
        Ok((iv, offset))
    }

    fn key(&self, chunk: &Chunk<'_>, key: Option<WrappedKey>, keyring: &mut Keyring) -> Result<usize, MetadataError> {
        match key {
            Some(WrappedKey::Customer(key)) => {
                let agrees = keyring.agrees_with_entry(&key);
                let index = keyring.intern(WrappedKey::Customer(key));
                if agrees && index == 0 { Ok(index) } else { Err(chunk.fails("keyMD5", Problem::Disagrees)) }
            }
            Some(key) => Ok(keyring.intern(key)),
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
    let [mut high, mut low] = [[0; 8]; 2];
    high.copy_from_slice(&base_iv[..8]);
    low.copy_from_slice(&base_iv[8..]);
    let blocks = number.wrapping_sub(1).wrapping_mul(LEGACY_PART_BLOCKS);
    let low = u64::from_be_bytes(low).wrapping_add(blocks);
    (u128::from(u64::from_be_bytes(high)) << 64 | u128::from(low)).to_be_bytes()
}
