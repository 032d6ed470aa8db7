//! The `Range` header against the size of a file.
//!
//! RFC 9110, section 14, as the filer's Go code reads it: a first byte at or after the end is unsatisfiable, whatever
//! follows it; a number beyond 63 bits is malformed; a `+` before a number is taken.

use std::ops::Range;

use http::HeaderValue;

/// What a `Range` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// No range: the whole file, 200.
    Whole,
    /// These bytes, 206: at least one range, none of them empty, in the order asked, possibly overlapping. Ranges
    /// that lie behind the end have been left out. How many are too many is for the caller to say.
    Some(Vec<Range<u64>>),
    /// Well-formed, but no byte of it exists: 416 with [`unsatisfied`] as `Content-Range`. The filer's body is
    /// [`UNSATISFIABLE_BODY`].
    Unsatisfiable,
    /// Not a range that the filer understands: it answers 416 without `Content-Range`, body [`MALFORMED_BODY`].
    Malformed,
}

/// The body of the filer's 416 for [`Ranges::Unsatisfiable`]; `text/plain; charset=utf-8`.
pub const UNSATISFIABLE_BODY: &str = "invalid range: failed to overlap\n";
/// The body of the filer's 416 for [`Ranges::Malformed`]; `text/plain; charset=utf-8`.
pub const MALFORMED_BODY: &str = "invalid range\n";

/// Reads a `Range` header for a file of `size` bytes. Of several headers the filer reads the first. Only a GET has
/// ranges: the filer ignores them on HEAD, as the RFC wants.
pub fn parse(header: Option<&HeaderValue>, size: u64) -> Ranges {
    let Some(header) = header.filter(|header| !header.is_empty()) else { return Ranges::Whole };
    let Some(set) = header.to_str().ok().and_then(|text| text.strip_prefix("bytes=")) else { return Ranges::Malformed };
    let specs = set.split(',').map(trim).filter(|spec| !spec.is_empty());
    let mut found = Vec::new();
    let mut asked = false;
    for spec in specs {
        asked = true;
        match parse_one(spec, size) {
            Some(range) if range.is_empty() => {}
            Some(range) => found.push(range),
            None => return Ranges::Malformed,
        }
    }
    match (asked, found.is_empty()) {
        // `bytes=` and `bytes=,` ask for nothing. The filer answers 200 without a body; we send the file.
        (false, _) => Ranges::Whole,
        (true, true) => Ranges::Unsatisfiable,
        (true, false) => Ranges::Some(found),
    }
}

/// The value of `Content-Range` for a part of a file of `size` bytes.
pub fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1))
}

/// The value of `Content-Range` when no byte of what was asked for exists.
pub fn unsatisfied(size: u64) -> String {
    format!("bytes */{size}")
}

/// One range, empty if it does not overlap the file. `None`: malformed.
fn parse_one(spec: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    let (first, last) = (trim(first), trim(last));
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(size.saturating_sub(suffix)..size);
    }
    let start = number(first)?;
    if start >= size {
        // What follows is not even read by the filer.
        return Some(size..size);
    }
    if last.is_empty() {
        return Some(start..size);
    }
    let last = number(last)?;
    (start <= last).then(|| start..last.saturating_add(1).min(size))
}

/// A number of at most 63 bits, a plus before it allowed, as Go reads it.
fn number(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<i64>().ok().and_then(|n| u64::try_from(n).ok())
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, size: u64) -> Ranges {
        parse(Some(&HeaderValue::from_str(text).unwrap()), size)
    }

    fn some(ranges: &[Range<u64>]) -> Ranges {
        Ranges::Some(ranges.to_vec())
    }

    fn one(range: Range<u64>) -> Ranges {
        Ranges::Some(vec![range])
    }

    /// Each line was seen on the real filer, with a file of ten bytes.
    #[test]
    fn reads_what_the_filer_reads() {
        for (text, range) in [
            ("bytes=0-3", 0..4),
            ("bytes=3-", 3..10),
            ("bytes=-3", 7..10),
            ("bytes=-20", 0..10),
            ("bytes=9-", 9..10),
            ("bytes=9-9", 9..10),
            ("bytes=0-99", 0..10),
            ("bytes=0-4,20-", 0..5),
            ("bytes= 0-3", 0..4),
            ("bytes=0 - 3", 0..4),
            ("bytes=- 3", 7..10),
            ("bytes=+1-3", 1..4),
            ("bytes=0-10,", 0..10),
        ] {
            assert_eq!(read(text, 10), one(range), "{text}");
        }
        for text in ["bytes=10-", "bytes=11-", "bytes=10-12", "bytes=20-5"] {
            assert_eq!(read(text, 10), Ranges::Unsatisfiable, "{text}");
        }
        for text in [
            "bytes=5-3",
            "bytes=a-b",
            "Bytes=0-3",
            "items=0-3",
            "0-3",
            "bytes=0-3;",
            "bytes=++1-3",
            "bytes=1-++3",
            "bytes=0-99999999999999999999",
            "bytes=99999999999999999999-",
            "bytes=1-2-3",
            "bytes=-",
            "bytes =0-3",
            "bytes=20-,5-3",
            "bytes=5",
        ] {
            assert_eq!(read(text, 10), Ranges::Malformed, "{text}");
        }
        assert_eq!(read("bytes=0-", 0), Ranges::Unsatisfiable);
        assert_eq!(read("bytes=0-0", 0), Ranges::Unsatisfiable);
    }

    /// Where the filer answers 206 with a range that ends before it begins, an empty 200, or not at all.
    #[test]
    fn does_not_copy_the_filers_faults() {
        assert_eq!(read("bytes=-0", 10), Ranges::Unsatisfiable);
        assert_eq!(read("bytes=-1", 0), Ranges::Unsatisfiable);
        assert_eq!(read("bytes=--3", 10), Ranges::Malformed);
        assert_eq!(read("bytes=", 10), Ranges::Whole);
        assert_eq!(read("bytes=,", 10), Ranges::Whole);
    }

    #[test]
    fn several_ranges_keep_their_order() {
        assert_eq!(read("bytes=5-6, 0-1 ,\t-1", 10), some(&[5..7, 0..2, 9..10]));
        assert_eq!(read("bytes=0-9,0-9", 10), some(&[0..10, 0..10]));
    }

    #[test]
    fn no_header_is_the_whole_file() {
        assert_eq!(parse(None, 10), Ranges::Whole);
        assert_eq!(read("", 10), Ranges::Whole);
        assert_eq!(parse(Some(&HeaderValue::from_bytes(b"bytes=\xff").unwrap()), 10), Ranges::Malformed);
    }

    #[test]
    fn content_range_counts_from_zero_and_includes_the_last() {
        assert_eq!(content_range(&(1..3), 10), "bytes 1-2/10");
        assert_eq!(unsatisfied(10), "bytes */10");
    }

    proptest! {
        #[test]
        fn ranges_lie_within_the_file(text in "bytes=[0-9 ,+-]{0,40}|\\PC*", size in 0u64..1_000_000) {
            if let Ok(header) = HeaderValue::from_str(&text)
                && let Ranges::Some(ranges) = parse(Some(&header), size)
            {
                prop_assert!(!ranges.is_empty());
                prop_assert!(ranges.iter().all(|range| range.start < range.end && range.end <= size));
            }
        }

        #[test]
        fn a_written_range_is_read(size in 1u64..=i64::MAX as u64, a: u64, b: u64) {
            let (start, last) = (a % size, b % size);
            let expected = if start <= last { one(start..last + 1) } else { Ranges::Malformed };
            prop_assert_eq!(read(&format!("bytes={start}-{last}"), size), expected);
            prop_assert_eq!(read(&format!("bytes={start}-"), size), one(start..size));
            prop_assert_eq!(read(&format!("bytes=-{}", last + 1), size), one(size - last - 1..size));
        }
    }
}
