//! An answer of several ranges: `multipart/byteranges`, laid out before a byte is fetched.
//!
//! RFC 9110, section 14.6, in the bytes that the filer's Go code (`mime/multipart`) writes. A set of ranges that would
//! send more than the file, or that has more than [`MAX_PARTS`], is answered with the whole file, as section 14.2
//! allows: so nobody can ask for more bytes in parts than the file has.

use std::ops::Range;

use bytes::Bytes;

use super::range;

/// The most parts that one answer is made of. Each is a request of its own to a volume server.
pub const MAX_PARTS: usize = 128;

/// A stretch of an answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Section {
    /// Bytes of the answer's own: what stands between the parts.
    Framing(Bytes),
    /// Bytes of the file.
    File(Range<u64>),
}

impl Section {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Framing(text) => text.len() as u64,
            Self::File(range) => range.end - range.start,
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How much of the file goes out, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it, 200.
    Whole,
    /// One range, 206.
    Part(Range<u64>),
    /// Several ranges, 206, each with a head of its own.
    Parts(Vec<Range<u64>>),
}

impl Extent {
    /// What is sent for `ranges` of a file of `size` bytes: the ranges, unless they are not worth it.
    pub fn of(mut ranges: Vec<Range<u64>>, size: u64) -> Self {
        let sum = ranges.iter().try_fold(0_u64, |sum, range| sum.checked_add(range.end - range.start));
        if ranges.len() > MAX_PARTS || sum.is_none_or(|sum| sum > size) {
            return Self::Whole;
        }
        if ranges.len() == 1 { Self::Part(ranges.remove(0)) } else { Self::Parts(ranges) }
    }
}

/// The body for `ranges` of a file of `size` bytes, in the order asked. `content_type` is the file's; `boundary` must
/// not occur in the file, which a random one of 240 bits does not.
pub fn lay_out(ranges: &[Range<u64>], size: u64, content_type: &str, boundary: &str) -> Vec<Section> {
    let mut sections = Vec::with_capacity(ranges.len() * 2 + 1);
    for (index, part) in ranges.iter().enumerate() {
        let line_end = if index == 0 { "" } else { "\r\n" };
        let content_range = range::content_range(part, size);
        let head =
            format!("{line_end}--{boundary}\r\nContent-Range: {content_range}\r\nContent-Type: {content_type}\r\n\r\n");
        sections.push(Section::Framing(head.into()));
        sections.push(Section::File(part.clone()));
    }
    sections.push(Section::Framing(format!("\r\n--{boundary}--\r\n").into()));
    sections
}

/// A boundary as long as Go's: 60 hex digits of random bits.
pub fn boundary() -> String {
    hex::encode(rand::random::<[u8; 30]>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the real filer answered `bytes=0-1,8-` of ten bytes, but for the boundary.
    #[test]
    fn parts_look_as_the_filers_do() {
        let text: String = lay_out(&[0..2, 8..10], 10, "text/plain", "B")
            .into_iter()
            .map(|section| match section {
                Section::Framing(text) => String::from_utf8(text.to_vec()).unwrap(),
                Section::File(range) => format!("<{range:?}>"),
            })
            .collect();
        assert_eq!(
            text,
            "--B\r\nContent-Range: bytes 0-1/10\r\nContent-Type: text/plain\r\n\r\n<0..2>\
             \r\n--B\r\nContent-Range: bytes 8-9/10\r\nContent-Type: text/plain\r\n\r\n<8..10>\r\n--B--\r\n"
        );
    }

    /// `Content-Length` is made of these.
    #[test]
    fn lengths_are_those_of_the_bytes_that_go_out() {
        let sections = lay_out(&[1..4, 8..10], 10, "a/b", "B");
        let head = "--B\r\nContent-Range: bytes 1-3/10\r\nContent-Type: a/b\r\n\r\n".len() as u64;
        let lengths: Vec<_> = sections.iter().map(Section::len).collect();
        assert_eq!(lengths, [head, 3, head + 2, 2, "\r\n--B--\r\n".len() as u64]);
        assert!(Section::File(4..4).is_empty() && !Section::File(4..5).is_empty());
    }

    #[test]
    fn more_than_the_file_is_the_whole_file() {
        let whole = 0..10;
        assert_eq!(Extent::of(vec![whole.clone()], 10), Extent::Part(whole));
        assert_eq!(Extent::of(vec![0..5, 5..10], 10), Extent::Parts(vec![0..5, 5..10]));
        assert_eq!(Extent::of(vec![3..5, 3..5], 10), Extent::Parts(vec![3..5, 3..5]));
        assert_eq!(Extent::of(vec![0..6, 5..10], 10), Extent::Whole);
        assert_eq!(Extent::of(vec![0..u64::MAX, 0..u64::MAX], u64::MAX), Extent::Whole);
        let mut many: Vec<_> = (0..=MAX_PARTS as u64).map(|at| at..at + 1).collect();
        assert_eq!(Extent::of(many.clone(), 1 << 20), Extent::Whole);
        many.pop();
        assert_eq!(Extent::of(many.clone(), 1 << 20), Extent::Parts(many));
    }

    #[test]
    fn boundaries_differ() {
        assert_eq!(boundary().len(), 60);
        assert_ne!(boundary(), boundary());
    }

    proptest! {
        #[test]
        fn never_more_of_the_file_than_it_has(
            pairs in prop::collection::vec((0u64..1000, 1u64..1000), 2..200),
            size in 1u64..2000,
        ) {
            let ranges: Vec<_> = pairs.iter().map(|&(start, len)| start..start + len).collect();
            if let Extent::Parts(ranges) = Extent::of(ranges, size) {
                let sections = lay_out(&ranges, size, "a/b", "B");
                let of_file = |section: &Section| matches!(section, Section::File(_)).then(|| section.len());
                prop_assert!(sections.iter().filter_map(of_file).sum::<u64>() <= size);
                prop_assert_eq!(sections.len(), ranges.len() * 2 + 1);
            }
        }
    }
}
