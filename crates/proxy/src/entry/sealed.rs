//! The sizes of sealed chunks as SeaweedFS 4.05 to 4.07 wrote them: of what is stored, and not of what was sealed.
//!
//! Knows what sealing adds. Must not know how a chunk is opened. Source: `weed/filer/filechunks.go` @4.48, and what entries of
//! that time hold.

use std::ops::Range;

use crate::pb;

/// What sealing adds to a chunk, in bytes: a nonce of 12 and a tag of 16. From `weed/util/cipher.go` @4.48.
const SEAL: u64 = 28;

/// Gives the chunks of a file the sizes of their plaintext, if its end tells that it is such a one: its last chunk is sealed
/// and ends those 28 bytes behind the file. No other writer records a file that is shorter than its chunks.
pub fn as_plain(entry: &mut pb::Entry) {
    let file_size = recorded(entry);
    if last(entry).is_some_and(|chunk| is_over(chunk, file_size)) {
        shrink(entry, file_size);
    }
}

/// The chunk that tells whether the file is such a one though its end does not, because it was recorded anew by a later filer,
/// which makes every file as long as its chunks: if that chunk is as long as what is stored of it. `None`: it is not.
pub fn witness(entry: &pb::Entry) -> Option<&pb::FileChunk> {
    last(entry).filter(|chunk| {
        let is_sealed = !chunk.cipher_key.is_empty() && !chunk.is_compressed && !chunk.is_chunk_manifest;
        is_sealed && chunk.size > SEAL && chunk.end() >= recorded(entry)
    })
}

/// What is to be done when the [`witness`] has spoken: the chunks get the sizes of their plaintext, and so does the file.
pub fn as_plain_by_witness(entry: &mut pb::Entry) {
    let Some(end) = witness(entry).map(pb::FileChunk::end) else { return };
    shrink(entry, end - SEAL);
    if let Some(attributes) = &mut entry.attributes {
        attributes.file_size = attributes.file_size.min(end - SEAL);
    }
}

fn recorded(entry: &pb::Entry) -> u64 {
    entry.attributes.as_ref().map_or(0, |attributes| attributes.file_size)
}

fn last(entry: &pb::Entry) -> Option<&pb::FileChunk> {
    entry.chunks.iter().max_by_key(|chunk| chunk.end())
}

fn shrink(entry: &mut pb::Entry, file_size: u64) {
    let starts = starts(&entry.chunks, file_size);
    for chunk in &mut entry.chunks {
        let next = next(&starts, chunk);
        if is_over(chunk, next) {
            chunk.size = next - begin(chunk);
        }
    }
}

/// The chunks that overlap `range` (bytes of the file) and may be smaller than what they hold: sealed over gzip, with a hole
/// behind them that a file of those versions has not. Each with the size that it has if that is so: if its size here is
/// the number of bytes that are stored.
pub fn doubtful(chunks: &[pb::FileChunk], file_size: u64, range: &Range<u64>) -> Vec<(usize, u64)> {
    if !chunks.iter().any(may_be_smaller) {
        return Vec::new();
    }
    let starts = starts(chunks, file_size);
    let doubtful = chunks.iter().enumerate().filter(|(_, chunk)| may_be_smaller(chunk)).filter_map(|(index, chunk)| {
        let next = next(&starts, chunk);
        let matters = begin(chunk) < range.end && range.start < next;
        (matters && chunk.end() < next).then(|| (index, next - begin(chunk)))
    });
    doubtful.collect()
}

/// Whether a chunk by itself can be one of the [`doubtful`].
pub fn may_be_smaller(chunk: &pb::FileChunk) -> bool {
    !chunk.cipher_key.is_empty() && chunk.is_compressed && !chunk.is_chunk_manifest && chunk.size > SEAL
}

fn begin(chunk: &pb::FileChunk) -> u64 {
    u64::try_from(chunk.offset).unwrap_or(0)
}

/// Where chunks begin, and where the file ends, in order.
fn starts(chunks: &[pb::FileChunk], file_size: u64) -> Vec<u64> {
    let mut starts: Vec<u64> = chunks.iter().map(begin).chain([file_size]).collect();
    starts.sort_unstable();
    starts
}

/// Where the next chunk begins, or the file ends.
fn next(starts: &[u64], chunk: &pb::FileChunk) -> u64 {
    let begin = begin(chunk);
    starts.get(starts.partition_point(|start| *start <= begin)).copied().unwrap_or(begin)
}

/// Whether the chunk is sealed, and its size goes beyond `end` (byte of the file) by what sealing may have added.
fn is_over(chunk: &pb::FileChunk, end: u64) -> bool {
    let over = chunk.end().saturating_sub(end);
    // Of a compressed chunk the size is that of the gzip, which is smaller than the text.
    let is_seal = over == SEAL || (chunk.is_compressed && (1..SEAL).contains(&over));
    !chunk.cipher_key.is_empty() && begin(chunk) < end && is_seal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(offset: i64, size: u64, is_compressed: bool) -> pb::FileChunk {
        pb::FileChunk { offset, size, is_compressed, cipher_key: vec![7; 32].into(), ..Default::default() }
    }

    fn sizes(file_size: u64, chunks: Vec<pb::FileChunk>) -> (u64, Vec<u64>) {
        let attributes = Some(pb::FuseAttributes { file_size, ..Default::default() });
        let mut entry = pb::Entry { chunks, attributes, ..Default::default() };
        as_plain(&mut entry);
        (entry.size(), entry.chunks.iter().map(|chunk| chunk.size).collect())
    }

    #[test]
    fn chunks_that_were_given_the_size_of_what_is_stored_get_that_of_their_plaintext() {
        assert_eq!(sizes(1000, vec![sealed(0, 1028, false)]), (1000, vec![1000]));
        let three = vec![sealed(2000, 528, false), sealed(0, 1028, false), sealed(1000, 1028, false)];
        assert_eq!(sizes(2500, three), (2500, vec![500, 1000, 1000]));
        // Text of 200 bytes that is 180 as gzip.
        assert_eq!(sizes(200, vec![sealed(0, 208, true)]), (200, vec![200]));
    }

    #[test]
    fn chunks_of_other_versions_keep_their_size() {
        assert_eq!(sizes(1000, vec![sealed(0, 1000, false)]), (1000, vec![1000]));
        assert_eq!(sizes(0, vec![sealed(0, 1028, false)]), (1028, vec![1028]));
        assert_eq!(sizes(1000, vec![sealed(0, 1027, false)]), (1027, vec![1027]));
        assert_eq!(sizes(1000, vec![sealed(1000, 28, false)]), (1028, vec![28]));
        // One that overwrites the last 28 bytes of another.
        assert_eq!(sizes(2000, vec![sealed(0, 1028, false), sealed(1000, 1000, false)]), (2000, vec![1028, 1000]));
        let plain = pb::FileChunk { cipher_key: Default::default(), ..sealed(0, 1028, false) };
        assert_eq!(sizes(1000, vec![plain]), (1028, vec![1028]));
    }

    #[test]
    fn a_file_that_was_recorded_anew_is_told_by_what_is_stored_of_its_last_chunk() {
        let attributes = Some(pb::FuseAttributes { file_size: 2528, ..Default::default() });
        let chunks = vec![sealed(0, 1028, false), sealed(1000, 1028, false), sealed(2000, 528, false)];
        let mut entry = pb::Entry { chunks, attributes, ..Default::default() };
        as_plain(&mut entry);
        assert_eq!(witness(&entry), Some(&sealed(2000, 528, false)));
        as_plain_by_witness(&mut entry);
        assert_eq!((entry.size(), recorded(&entry)), (2500, 2500));
        assert_eq!(entry.chunks.iter().map(|chunk| chunk.size).collect::<Vec<_>>(), [1000, 1000, 500]);
        for none in [sealed(0, 28, false), sealed(0, 90, true), pb::FileChunk { size: 90, ..Default::default() }] {
            assert_eq!(witness(&pb::Entry { chunks: vec![none], ..Default::default() }), None);
        }
    }

    #[test]
    fn a_chunk_of_nothing_but_its_seal_is_not_smaller_than_what_it_holds() {
        assert!(!may_be_smaller(&sealed(0, SEAL, true)) && may_be_smaller(&sealed(0, SEAL + 1, true)));
    }

    #[test]
    fn a_hole_behind_a_sealed_and_compressed_chunk_is_a_doubtful_one() {
        let chunks = [sealed(0, 90, true), sealed(1000, 1000, true), sealed(2000, 90, true), sealed(3000, 90, false)];
        assert_eq!(doubtful(&chunks, 4000, &(0..4000)), [(0, 1000), (2, 1000)]);
        assert_eq!(doubtful(&chunks, 4000, &(1000..2000)), []);
        assert_eq!(doubtful(&chunks, 4000, &(999..1000)), [(0, 1000)]);
    }
}
