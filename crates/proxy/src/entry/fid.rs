//! Needle ids: `volume,key cookie` as SeaweedFS writes them.
//!
//! Format: `weed/storage/needle/file_id.go` @4.48 and `needle.go`.

use std::{fmt, str::FromStr};

use crate::pb;

/// Hex digits of a cookie.
const COOKIE_DIGITS: usize = 8;
/// Most hex digits of a key.
const KEY_DIGITS: usize = 16;

/// Where a chunk is: volume, needle, and the cookie that proves we were told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fid {
    /// The volume that holds the needle.
    pub volume_id: u32,
    /// The needle's key within the volume.
    pub key: u64,
    /// The random number stored with the needle.
    pub cookie: u32,
}

/// A text that is no needle id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FidError {
    /// There is no comma with a decimal volume id before it.
    #[error("no volume id before a comma")]
    Volume,
    /// After the comma there are not 9 to 24 hex digits.
    #[error("not 9 to 24 hex digits after the comma")]
    KeyCookie,
    /// The part after `_` is not a decimal number, or the key overflows with it.
    #[error("the delta after `_` does not add up")]
    Delta,
    /// The chunk has neither form of an id.
    #[error("the chunk names no needle")]
    Absent,
}

impl Fid {
    /// The id of a chunk, from whichever of its two forms is set; the text wins, as in SeaweedFS.
    ///
    /// # Errors
    /// If both are absent, or the text is no id.
    pub fn of(chunk: &pb::FileChunk) -> Result<Self, FidError> {
        match (chunk.file_id.as_str(), &chunk.fid) {
            ("", Some(fid)) => Ok(fid.into()),
            ("", None) => Err(FidError::Absent),
            (text, _) => text.parse(),
        }
    }
}

impl From<&pb::FileId> for Fid {
    fn from(fid: &pb::FileId) -> Self {
        Self { volume_id: fid.volume_id, key: fid.file_key, cookie: fid.cookie }
    }
}

impl FromStr for Fid {
    type Err = FidError;

    /// Reads `3,01637037d6` or `3,01637037d6_2`, where the delta after `_` is added to the key.
    fn from_str(text: &str) -> Result<Self, FidError> {
        let (volume, needle) = text.split_once(',').ok_or(FidError::Volume)?;
        let (needle, delta) = match needle.rsplit_once('_') {
            Some((needle, delta)) => (needle, decimal(delta).ok_or(FidError::Delta)?),
            None => (needle, 0),
        };
        let digits = needle.len();
        if !needle.bytes().all(|b| b.is_ascii_hexdigit())
            || !(COOKIE_DIGITS + 1..=COOKIE_DIGITS + KEY_DIGITS).contains(&digits)
        {
            return Err(FidError::KeyCookie);
        }
        let (key, cookie) = needle.split_at(digits - COOKIE_DIGITS);
        let key = u64::from_str_radix(key, 16).map_err(|_| FidError::KeyCookie)?;
        Ok(Self {
            volume_id: decimal(volume).and_then(|id| u32::try_from(id).ok()).ok_or(FidError::Volume)?,
            key: key.checked_add(delta).ok_or(FidError::Delta)?,
            cookie: u32::from_str_radix(cookie, 16).map_err(|_| FidError::KeyCookie)?,
        })
    }
}

impl fmt::Display for Fid {
    /// Writes the id as SeaweedFS does: the key without leading zero bytes (not digits), then eight digits of cookie.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = 8 - self.key.leading_zeros() as usize / 8;
        write!(f, "{},", self.volume_id)?;
        if bytes > 0 {
            write!(f, "{:0width$x}", self.key, width = bytes * 2)?;
        }
        write!(f, "{:08x}", self.cookie)
    }
}

/// Digits only: Rust's own parser would take a sign too.
fn decimal(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fid(volume_id: u32, key: u64, cookie: u32) -> Fid {
        Fid { volume_id, key, cookie }
    }

    #[test]
    fn reads_what_seaweedfs_writes() {
        assert_eq!("3,01637037d6".parse(), Ok(fid(3, 1, 0x637037d6)));
        assert_eq!("17,130b9f66b9".parse(), Ok(fid(17, 0x13, 0x0b9f66b9)));
        assert_eq!("3,1637037d6".parse(), Ok(fid(3, 1, 0x637037d6)));
        assert_eq!("3,01637037d6_2".parse(), Ok(fid(3, 3, 0x637037d6)));
        assert_eq!("4294967295,FFFFFFFFFFFFFFFF00000001".parse(), Ok(fid(u32::MAX, u64::MAX, 1)));
    }

    #[test]
    fn refuses_what_is_no_id() {
        for (text, error) in [
            ("", FidError::Volume),
            ("3", FidError::Volume),
            (",01637037d6", FidError::Volume),
            ("+3,01637037d6", FidError::Volume),
            ("4294967296,01637037d6", FidError::Volume),
            ("3,637037d6", FidError::KeyCookie),
            ("3,1234567", FidError::KeyCookie),
            ("3,+1637037d6", FidError::KeyCookie),
            ("3,0x637037d6", FidError::KeyCookie),
            ("3,00000000000000001637037d6", FidError::KeyCookie),
            ("3,01637037d6_", FidError::Delta),
            ("3,01637037d6_x", FidError::Delta),
            ("3,ffffffffffffffff637037d6_1", FidError::Delta),
            ("3,01637037d6_99999999999999999999", FidError::Delta),
        ] {
            assert_eq!(text.parse::<Fid>(), Err(error), "{text}");
        }
    }

    #[test]
    fn writes_whole_bytes_of_the_key() {
        assert_eq!(fid(3, 1, 0x637037d6).to_string(), "3,01637037d6");
        assert_eq!(fid(3, 0x100, 1).to_string(), "3,010000000001");
        assert_eq!(fid(3, u64::MAX, 0).to_string(), "3,ffffffffffffffff00000000");
        assert_eq!(fid(3, 0, 0x637037d6).to_string(), "3,637037d6");
    }

    #[test]
    fn the_text_of_a_chunk_wins_over_its_message() {
        let message = Some(pb::FileId { volume_id: 9, file_key: 9, cookie: 9 });
        let both = pb::FileChunk { file_id: "3,01637037d6".to_owned(), fid: message, ..Default::default() };
        assert_eq!(Fid::of(&both), Ok(fid(3, 1, 0x637037d6)));
        let only = pb::FileChunk { fid: message, ..Default::default() };
        assert_eq!(Fid::of(&only), Ok(fid(9, 9, 9)));
        assert_eq!(Fid::of(&pb::FileChunk::default()), Err(FidError::Absent));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(volume_id: u32, key in 1u64.., cookie: u32) {
            let id = fid(volume_id, key, cookie);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn any_text_is_taken_or_refused(text in "\\PC*|[0-9]{1,3},[0-9a-f_]{0,30}") {
            if let Ok(id) = text.parse::<Fid>() {
                prop_assert!(id.key == 0 || id.to_string().parse() == Ok(id));
            }
        }
    }
}
