//! The wrapped data key in an envelope of a service whose ciphertext is bytes.
//!
//! Knows what SeaweedFS makes of those bytes. Must not know any service.
//!
//! SeaweedFS 4.48 puts them into the text of a JSON document as they are (`weed/kms/gcp`, `weed/kms/azure`). Go's JSON
//! replaces each byte that is not UTF-8 by U+FFFD, so random bytes hardly ever survive. Base64 would have, and a
//! writer that is mended will write it: so text that is base64 is decoded, and any other is taken as it is.

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{Failure, KmsError};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const ALPHABETS: [GeneralPurpose; 2] =
    [GeneralPurpose::new(&STANDARD, LENIENT), GeneralPurpose::new(&URL_SAFE, LENIENT)];

/// What Go's JSON writes for a byte that is not UTF-8.
const LOST: char = '\u{fffd}';

/// The bytes that the service is to decrypt.
///
/// # Errors
/// [`Failure::Invalid`] if bytes were lost when the envelope was written.
pub(super) fn bytes(text: &str) -> Result<Vec<u8>, KmsError> {
    if text.contains(LOST) {
        let lost = "the S3 gateway lost bytes of the wrapped key when it stored it as text, so nobody can open it; \
                    4.48 does so";
        return Err(KmsError::new(Failure::Invalid, lost));
    }
    let decoded = ALPHABETS.iter().find_map(|alphabet| alphabet.decode(text).ok());
    Ok(decoded.unwrap_or_else(|| text.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_that_is_no_base64_is_taken_as_it_is() {
        assert_eq!(bytes("raw {}").unwrap(), b"raw {}");
        assert_eq!(bytes("\u{1}\u{7f}é").unwrap(), "\u{1}\u{7f}é".as_bytes());
    }

    #[test]
    fn what_lost_bytes_is_refused_with_the_reason() {
        let error = bytes("\n$\u{fffd}\u{fffd}k").err().unwrap();
        assert_eq!(error.failure(), Failure::Invalid);
        assert!(error.into_error("p", "k", std::time::Duration::ZERO).message().contains("lost bytes"));
    }

    proptest! {
        #[test]
        fn base64_of_either_alphabet_is_decoded(raw in any::<Vec<u8>>()) {
            prop_assert_eq!(bytes(&BASE64_STANDARD.encode(&raw)).unwrap(), raw.clone());
            prop_assert_eq!(bytes(&BASE64_URL_SAFE_NO_PAD.encode(&raw)).unwrap(), raw);
        }

        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            prop_assert_eq!(bytes(&text).is_err(), text.contains(LOST));
        }
    }
}
