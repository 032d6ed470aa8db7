//! What a client is told when the bytes cannot be had.

use std::time::Duration;

use http::StatusCode;
use prefetch::FetchError;

use crate::{Blame, Error};

/// The answer to a failed fetch, before anything was sent.
pub(super) fn to_error(error: &FetchError) -> Error {
    let message = error.to_string();
    let answer = match error {
        FetchError::Locate { .. } | FetchError::Unlocated { .. } => {
            Error::new(Blame::Filer, StatusCode::SERVICE_UNAVAILABLE, message).retry_after(Duration::from_secs(2))
        }
        FetchError::NoMemory => {
            Error::new(Blame::Config, StatusCode::SERVICE_UNAVAILABLE, message).retry_after(Duration::from_secs(5))
        }
        FetchError::MemoryTooSmall { .. } => Error::new(Blame::Config, StatusCode::INSUFFICIENT_STORAGE, message),
        FetchError::Open { .. } | FetchError::Corrupt { .. } | FetchError::TooLarge { .. } => {
            Error::new(Blame::Volume, StatusCode::BAD_GATEWAY, message)
        }
        // It was made on our side of the seam.
        FetchError::Key { error, .. } => match error.downcast_ref::<Error>() {
            Some(error) => return error.clone(),
            None => Error::new(Blame::Kms, StatusCode::INTERNAL_SERVER_ERROR, message),
        },
        FetchError::Lost(_) => Error::new(Blame::Volume, StatusCode::INTERNAL_SERVER_ERROR, message),
        FetchError::Exhausted { .. } | FetchError::NoLocation(_) if error.is_missing() => {
            Error::new(Blame::Volume, StatusCode::BAD_GATEWAY, message)
        }
        FetchError::Exhausted { .. } | FetchError::NoLocation(_) => {
            Error::new(Blame::Volume, StatusCode::SERVICE_UNAVAILABLE, message).retry_after(Duration::from_secs(2))
        }
    };
    answer.caused_by(error.clone())
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, sync::Arc};

    use prefetch::{Cause, ContentError, LengthError};

    use super::*;

    fn exhausted(cause: Cause) -> FetchError {
        FetchError::Exhausted { fid: "3,01637037d6".into(), server: "127.0.0.1:8080".into(), cause }
    }

    #[test]
    fn only_what_more_memory_helps_against_is_507() {
        let fid = || "3,01637037d6".into();
        let helped = to_error(&FetchError::MemoryTooSmall { fid: fid(), size: 9 << 20, memory: 20 << 20 });
        assert_eq!((helped.status(), helped.blame()), (StatusCode::INSUFFICIENT_STORAGE, Blame::Config));
        assert!(helped.message().contains("at least 20971520 bytes"), "{}", helped.message());
        let others = [
            FetchError::TooLarge { fid: fid(), size: 9 << 20, limit: 1 << 20 },
            FetchError::Open { fid: fid(), reason: ContentError::Length { found: 1000, expected: 1002 } },
        ];
        for other in others.iter().map(to_error) {
            assert_eq!((other.status(), other.blame()), (StatusCode::BAD_GATEWAY, Blame::Volume));
            assert!(!other.message().contains("memory"), "{}", other.message());
        }
    }

    #[test]
    fn why_a_fetch_failed_is_kept_to_its_first_cause() {
        let error = to_error(&exhausted(Cause::Length(LengthError::Late)));
        let fetch = error.source().unwrap();
        assert!(fetch.is::<FetchError>(), "{fetch}");
        let length = fetch.source().and_then(|cause| cause.source()).and_then(|length| length.downcast_ref());
        assert_eq!(length, Some(&LengthError::Late));
    }

    #[test]
    fn what_may_pass_says_so_and_what_is_gone_does_not() {
        let passing = to_error(&exhausted(Cause::Timeout));
        assert_eq!((passing.status(), passing.blame()), (StatusCode::SERVICE_UNAVAILABLE, Blame::Volume));
        assert!(passing.delay().is_some());
        assert!(passing.message().contains("3,01637037d6") && passing.message().contains("127.0.0.1:8080"));
        let gone = to_error(&exhausted(Cause::NotFound));
        assert_eq!((gone.status(), gone.delay()), (StatusCode::BAD_GATEWAY, None));
        let reason = Arc::new(std::io::Error::other("no filer"));
        let (fid, server) = ("3,01637037d6".into(), "127.0.0.1:8080".into());
        let elsewhere = to_error(&FetchError::Unlocated { fid, server, cause: Cause::NotFound, reason });
        assert_eq!((elsewhere.status(), elsewhere.blame()), (StatusCode::SERVICE_UNAVAILABLE, Blame::Filer));
        assert!(elsewhere.message().contains("(404)") && elsewhere.message().contains("no filer"), "{elsewhere}");
    }
}
