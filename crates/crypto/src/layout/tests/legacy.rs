//! What gateways before 4.01 wrote, made up after their source.

use super::made_up::{BOUNDARIES, Entry, MIB, base64, iv, kms, s3, s3_without_iv};

const BASE_IV: &str = "x-seaweedfs-sse-s3-base-iv";
const KEY_DATA: &str = "x-seaweedfs-sse-s3-key-data";
/// 8 GiB in blocks.
const BLOCKS: u128 = 1 << 29;

#[test]
fn a_run_of_identical_kms_metadata_is_one_stream() {
    let json = kms("a", 1, 0);
    let entry = Entry::new(&[], &[(2, &json), (2, &json), (2, &json)]);
    assert_eq!(entry.starts(), [Some((0, 1, 0)), Some((0, 1, MIB)), Some((0, 1, 2 * MIB))]);
}

#[test]
fn a_run_of_identical_s3_metadata_is_one_stream() {
    let json = s3(1, 5);
    let entry = Entry::new(&[], &[(3, &json), (3, &json)]);
    assert_eq!(entry.starts(), [Some((0, 5, 0)), Some((0, 5, MIB))]);
}

#[test]
fn a_run_ends_at_other_metadata_at_a_raw_chunk_and_at_a_part() {
    let (one, two) = (s3(1, 5), s3(2, 6));
    let entry = Entry::new(&[], &[(3, &one), (3, &two), (3, &one), (0, ""), (3, &one), (3, &one)]);
    let offsets: Vec<_> = entry.starts().iter().map(|start| start.map(|start| start.2)).collect();
    assert_eq!(offsets, [Some(0), Some(0), Some(0), None, Some(0), Some(MIB)]);

    let parts = r#"[{"part":1,"start":0,"end":1},{"part":2,"start":1,"end":3}]"#;
    let entry = Entry::new(&[(BOUNDARIES, parts)], &[(3, &one), (3, &one), (3, &one)]);
    let offsets: Vec<_> = entry.starts().iter().map(|start| start.map(|start| start.2)).collect();
    assert_eq!(offsets, [Some(0), Some(0), Some(MIB)]);
}

#[test]
fn multipart_kms_of_that_time_follows_the_usual_rule() {
    // The IV is that of the part already, and completion wrote the offset within it.
    let chunks = [kms("a", 1, 0), kms("a", 1, MIB as i64), kms("b", 2, 0)];
    let entry = Entry::new(&[], &chunks.each_ref().map(|json| (2, json.as_str())));
    assert_eq!(entry.starts(), [Some((0, 1, 0)), Some((0, 1, MIB)), Some((1, 2, 0))]);
}

/// For each chunk: index of its key, blocks from the base IV to its own, position in the stream.
fn parts_of(entry: &Entry) -> Vec<(usize, u128, u64)> {
    let base = u128::from_be_bytes(iv(7));
    let layout = entry.read().unwrap();
    let starts = layout.chunks.iter().flatten();
    starts.map(|start| (start.key, u128::from_be_bytes(start.iv) - base, start.offset)).collect()
}

#[test]
fn multipart_s3_parts_are_8_gib_apart() {
    // Each part has its key wrapped anew, so two parts are two runs.
    let (one, two) = (s3_without_iv(1), s3_without_iv(2));
    let entry = Entry::new(&[(BASE_IV, &base64(&iv(7)))], &[(3, &one), (3, &one), (3, &two), (3, &two)]);
    assert_eq!(parts_of(&entry), [(0, 0, 0), (0, 0, MIB), (1, BLOCKS, 0), (1, BLOCKS, MIB)]);
}

#[test]
fn part_numbers_are_taken_from_the_boundaries_where_there_are_any() {
    let (one, two) = (s3_without_iv(1), s3_without_iv(2));
    let by_chunk = r#"[{"part":2,"start":0,"end":1},{"part":9,"start":1,"end":3}]"#;
    let by_byte = r#"[{"part":2,"start":0,"end":7,"endOffset":1048576},
        {"part":9,"start":7,"end":9,"startOffset":1048576,"endOffset":3145728}]"#;
    for parts in [by_chunk, by_byte] {
        let base_iv = base64(&iv(7));
        let entry = Entry::new(&[(BASE_IV, &base_iv), (BOUNDARIES, parts)], &[(3, &one), (3, &two), (3, &two)]);
        assert_eq!(parts_of(&entry), [(0, BLOCKS, 0), (1, 8 * BLOCKS, 0), (1, 8 * BLOCKS, MIB)]);
    }
}

#[test]
fn the_sum_with_the_part_number_stays_in_the_low_64_bits() {
    let (one, two) = (s3_without_iv(1), s3_without_iv(2));
    let base: [u8; 16] = (u128::MAX - BLOCKS + 1).to_be_bytes();
    let entry = Entry::new(&[], &[(3, &one), (3, &two)]).with(BASE_IV, &base);
    let ivs: Vec<_> = entry.read().unwrap().chunks.iter().flatten().map(|start| start.iv).collect();
    let wrapped = u128::from(u64::MAX) << 64;
    assert_eq!(ivs, [base, wrapped.to_be_bytes()]);
}

#[test]
fn the_base_iv_may_be_raw_and_must_be_16_bytes() {
    let chunk = s3_without_iv(1);
    let entry = Entry::new(&[], &[(3, &chunk)]).with(BASE_IV, &iv(7));
    assert_eq!(entry.starts(), [Some((0, 7, 0))]);
    let entry = Entry::new(&[(BASE_IV, "short")], &[(3, &chunk)]);
    assert_eq!(entry.fails(), "x-seaweedfs-sse-s3-base-iv of the entry: 5 bytes instead of 16");
}

#[test]
fn a_chunk_with_an_iv_does_not_look_at_the_base_iv() {
    let parts = "not looked at either";
    let entry = Entry::new(&[(BASE_IV, "short"), (BOUNDARIES, parts)], &[(3, &s3(1, 5)), (3, &s3(2, 6))]);
    assert_eq!(entry.starts(), [Some((0, 5, 0)), Some((1, 6, 0))]);
}

#[test]
fn a_part_without_any_metadata_starts_at_the_base_iv() {
    let key = base64(s3_without_iv(1).as_bytes());
    let parts = r#"[{"part":1,"start":0,"end":2},{"part":2,"start":2,"end":4}]"#;
    let upload = [(BASE_IV, base64(&iv(7))), (KEY_DATA, key), (BOUNDARIES, parts.to_owned())];
    let upload = upload.each_ref().map(|(name, value)| (*name, value.as_str()));
    let entry = Entry::new(&upload, &[(3, ""), (3, ""), (3, ""), (3, &s3(2, 6))]);
    assert_eq!(entry.starts(), [Some((0, 7, 0)), Some((0, 7, MIB)), Some((0, 7, 0)), Some((1, 6, 0))]);

    let entry = Entry::new(&upload[..2], &[(3, "")]);
    assert_eq!(entry.fails(), "sse_metadata of chunk 0: missing");
}

#[test]
fn broken_boundaries_are_refused_where_they_are_needed() {
    let chunk = s3(1, 5);
    let fails = |parts| Entry::new(&[(BOUNDARIES, parts)], &[(3, &chunk), (3, &chunk)]).fails();
    let place = "X-Seaweedfs-Multipart-Part-Boundaries of the entry";
    assert_eq!(fails("{}"), format!("{place}: not a JSON array"));
    assert_eq!(fails(r#"[{"part":0,"start":0}]"#), format!("{place}: out of range"));
    assert_eq!(fails(r#"[{"part":10001,"start":0}]"#), format!("{place}: out of range"));
    assert_eq!(fails(r#"[{"part":1,"start":2}]"#), format!("{place}: out of range"));
    assert_eq!(fails("[7]"), format!("{place}: out of range"));
}
