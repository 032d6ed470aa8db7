//! The CRC-32C that a volume server has for a needle: its ETag, eight hex digits in quotes. Source: `Needle.Etag` in
//! `weed/storage/needle/crc.go` @4.48.

use std::str::FromStr;

use http::{HeaderMap, HeaderValue, header};

/// The CRC-32C (Castagnoli) of a needle as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredCrc(u32);

/// Why an answer names no checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoredCrcError {
    #[error("no ETag")]
    Missing,
    #[error("an ETag that is not text")]
    NotText,
    #[error("an ETag that is not in quotes")]
    NotQuoted,
    #[error("an ETag that is not eight hex digits")]
    Digits,
}

impl StoredCrc {
    /// What the headers of an answer say.
    ///
    /// # Errors
    /// When their ETag is no checksum.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, StoredCrcError> {
        Self::of_etag(headers.get(header::ETAG))
    }

    /// The checksum in an ETag.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn of_etag(etag: Option<&HeaderValue>) -> Result<Self, StoredCrcError> {
        let value = etag.ok_or(StoredCrcError::Missing)?;
        value.to_str().map_err(|_| StoredCrcError::NotText)?.parse()
    }

    /// Whether bytes with this CRC are those that the server means. Old volumes keep a CRC that was rotated and offset, and
    /// give it as it is when a needle is streamed.
    pub(crate) fn matches(self, crc: u32) -> bool {
        crc == self.0 || crc.rotate_right(15).wrapping_add(0xa282_ead8) == self.0
    }
}

impl FromStr for StoredCrc {
    type Err = StoredCrcError;

    fn from_str(etag: &str) -> Result<Self, StoredCrcError> {
        let digits = etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"')).ok_or(StoredCrcError::NotQuoted)?;
        let is_crc = digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| is_crc).map(Self).ok_or(StoredCrcError::Digits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_checksum_says_why() {
        for (etag, error) in [
            ("", StoredCrcError::NotQuoted),
            ("\"", StoredCrcError::NotQuoted),
            ("0a1b2c3d", StoredCrcError::NotQuoted),
            ("W/\"0a1b2c3d\"", StoredCrcError::NotQuoted),
            ("\"\"", StoredCrcError::Digits),
            ("\"0a1b2c3\"", StoredCrcError::Digits),
            ("\"0a1b2c3d4\"", StoredCrcError::Digits),
            ("\"00a1b2c3d\"", StoredCrcError::Digits),
            ("\"0a1b2c3x\"", StoredCrcError::Digits),
            ("\"+a1b2c3d\"", StoredCrcError::Digits),
        ] {
            assert_eq!(etag.parse::<StoredCrc>(), Err(error), "{etag}");
        }
    }

    #[test]
    fn an_answer_may_have_none_or_one_that_is_no_text() {
        let mut headers = HeaderMap::new();
        assert_eq!(StoredCrc::of(&headers), Err(StoredCrcError::Missing));
        headers.insert(header::ETAG, HeaderValue::from_bytes(b"\"0a1b2c\xff\"").unwrap());
        assert_eq!(StoredCrc::of(&headers), Err(StoredCrcError::NotText));
        headers.insert(header::ETAG, HeaderValue::from_static("\"0A1b2c3d\""));
        assert_eq!(StoredCrc::of(&headers), Ok(StoredCrc(0x0a1b_2c3d)));
    }

    #[test]
    fn both_forms_of_the_stored_crc_are_taken() {
        // The CRC-32C of "123456789", and what weed's deprecated CRC.Value() makes of it.
        let crc = crc32c::crc32c(b"123456789");
        assert_eq!(crc, 0xe306_9283);
        let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
        assert!(StoredCrc(crc).matches(crc) && StoredCrc(masked).matches(crc));
        assert!(!StoredCrc(crc ^ 1).matches(crc) && !StoredCrc(masked ^ 1).matches(crc));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(crc: u32) {
            prop_assert_eq!(format!("\"{crc:08x}\"").parse(), Ok(StoredCrc(crc)));
        }

        #[test]
        fn what_is_read_was_a_checksum(etag in "\"[0-9a-fxX+]{6,9}\"|\\PC{0,14}") {
            if let Ok(StoredCrc(crc)) = etag.parse() {
                prop_assert_eq!(format!("\"{crc:08x}\""), etag.to_ascii_lowercase());
            }
        }
    }
}
