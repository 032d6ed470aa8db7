//! `Content-Range` of an answer: which bytes came, and of how many. Source: RFC 9110, section 14.4.

use std::{ops::Range, str::FromStr};

use http::{HeaderMap, header};

/// The bytes of a part, and the size of what it is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// Not empty, and not beyond `size`.
    pub(crate) range: Range<u64>,
    /// In bytes.
    pub(crate) size: u64,
}

/// Why an answer does not say which bytes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentRangeError {
    /// It says nothing.
    #[error("no Content-Range")]
    Missing,
    /// It has bytes that are not ASCII.
    #[error("a Content-Range that is not text")]
    NotText,
    /// Its unit is another, or none.
    #[error("a Content-Range that does not count bytes")]
    NotBytes,
    /// It is not written as it should be.
    #[error("a Content-Range that is not <first>-<last>/<size>")]
    Form,
    /// It has a number that is none, or none of 64 bits.
    #[error("a number in Content-Range that is none, or is too large")]
    Number,
    /// Its size is `*`.
    #[error("a Content-Range without a size")]
    NoSize,
    /// Its last byte lies before the first.
    #[error("a Content-Range that ends before it begins")]
    Backwards,
    /// Its last byte lies beyond its size.
    #[error("a Content-Range that goes beyond the size in it")]
    Beyond,
}

impl ContentRange {
    /// What the headers of an answer say.
    ///
    /// # Errors
    /// When they say nothing, or nothing that can be true.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ContentRangeError> {
        let value = headers.get(header::CONTENT_RANGE).ok_or(ContentRangeError::Missing)?;
        value.to_str().map_err(|_| ContentRangeError::NotText)?.parse()
    }
}

impl FromStr for ContentRange {
    type Err = ContentRangeError;

    fn from_str(value: &str) -> Result<Self, ContentRangeError> {
        let (unit, rest) = value.split_once(' ').ok_or(ContentRangeError::NotBytes)?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return Err(ContentRangeError::NotBytes);
        }
        let (range, size) = rest.split_once('/').ok_or(ContentRangeError::Form)?;
        let (first, last) = range.split_once('-').ok_or(ContentRangeError::Form)?;
        if size == "*" {
            return Err(ContentRangeError::NoSize);
        }
        let (first, last, size) = (number(first)?, number(last)?, number(size)?);
        if last < first {
            return Err(ContentRangeError::Backwards);
        }
        if last >= size {
            return Err(ContentRangeError::Beyond);
        }
        Ok(Self { range: first..last + 1, size })
    }
}

/// Digits and nothing else: no sign, no space.
fn number(digits: &str) -> Result<u64, ContentRangeError> {
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number).ok_or(ContentRangeError::Number)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_true_says_why() {
        for (value, error) in [
            ("", ContentRangeError::NotBytes),
            ("bytes", ContentRangeError::NotBytes),
            ("items 0-1/2", ContentRangeError::NotBytes),
            ("bytes 0-1", ContentRangeError::Form),
            ("bytes */5", ContentRangeError::Form),
            ("bytes 0-1/*", ContentRangeError::NoSize),
            ("bytes -1/5", ContentRangeError::Number),
            ("bytes +0-1/5", ContentRangeError::Number),
            ("bytes  0-1/5", ContentRangeError::Number),
            ("bytes 0-1/18446744073709551616", ContentRangeError::Number),
            ("bytes 2-1/5", ContentRangeError::Backwards),
            ("bytes 0-5/5", ContentRangeError::Beyond),
            ("bytes 18446744073709551615-18446744073709551615/18446744073709551615", ContentRangeError::Beyond),
        ] {
            assert_eq!(value.parse::<ContentRange>(), Err(error), "{value}");
        }
    }

    #[test]
    fn an_answer_may_have_none_or_one_that_is_no_text() {
        let mut headers = HeaderMap::new();
        assert_eq!(ContentRange::of(&headers), Err(ContentRangeError::Missing));
        headers.insert(header::CONTENT_RANGE, HeaderValue::from_bytes(b"bytes 0-1/\xff").unwrap());
        assert_eq!(ContentRange::of(&headers), Err(ContentRangeError::NotText));
        headers.insert(header::CONTENT_RANGE, HeaderValue::from_static("Bytes 1-1/3"));
        assert_eq!(ContentRange::of(&headers), Ok(ContentRange { range: 1..2, size: 3 }));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(first: u64, more: u64, behind in 1u64..) {
            let last = first.saturating_add(more).min(u64::MAX - 1);
            let first = first.min(last);
            let size = last.saturating_add(behind);
            let read = format!("bytes {first}-{last}/{size}").parse();
            prop_assert_eq!(read, Ok(ContentRange { range: first..last + 1, size }));
        }

        #[test]
        fn what_is_read_can_be_true(value in "(bytes )?[-+/* 0-9]{0,24}|\\PC{0,40}") {
            if let Ok(ContentRange { range, size }) = value.parse() {
                prop_assert!(range.start < range.end && range.end <= size);
                let again = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                prop_assert_eq!(again.parse(), Ok(ContentRange { range, size }));
            }
        }
    }
}
