//! What a gRPC status of the filer means to us: no such entry, ask another filer, or an error for the client.
//!
//! Knows status codes and the filer's wording. Must not know which call ended so.

use std::{error::Error as _, time::Duration};

use http::StatusCode;
use tonic::{Code, Status};

use crate::{Blame, Error};

/// How long a client is told to wait when no filer answers: about the time that a filer needs to come back.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The filer's wording for a missing entry, from `filer_pb.ErrNotFound`. It arrives as `Unknown` with this message.
const NOT_FOUND: &str = "no entry is found in filer store";

/// Longest part of the filer's own words that is passed on, in bytes.
const MAX_MESSAGE: usize = 200;

/// Whether the filer says that there is no such entry.
pub(super) fn is_not_found(status: &Status) -> bool {
    status.code() == Code::NotFound || (status.code() == Code::Unknown && status.message().contains(NOT_FOUND))
}

/// Whether the filer says that the master knows no server for the volume. That too arrives as `Unknown`, with several
/// messages joined.
pub(super) fn is_unknown_volume(status: &Status, volume_id: &str) -> bool {
    let said = format!("volume id {volume_id} not found");
    status.code() == Code::NotFound || (status.code() == Code::Unknown && status.message().contains(&said))
}

/// Whether another filer may do better: this one was not reached, is going away, or took too long.
pub(super) fn is_unreachable(status: &Status) -> bool {
    // A status with a source was made by the transport on our side, not sent by the filer; but one about the
    // message's size is ours too, and would come again.
    let broken_transport = status.source().is_some() && status.code() != Code::OutOfRange;
    broken_transport || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
}

/// The status as the error that the client is answered with.
pub(super) fn to_error(call: &str, filer: &str, status: &Status) -> Error {
    let said = shortened(status.message());
    if is_unreachable(status) {
        let message = format!("no filer answered {call}; last tried {filer}: {said}; try again");
        let error = Error::new(Blame::Filer, StatusCode::SERVICE_UNAVAILABLE, message).retry_after(RETRY_AFTER);
        return error.caused_by(status.clone()).publicly(format!("no filer answered {call}; try again"));
    }
    if status.code() == Code::ResourceExhausted {
        let message = format!("filer {filer} is overloaded ({call}): {said}; try again");
        let error = Error::new(Blame::Filer, StatusCode::SERVICE_UNAVAILABLE, message).retry_after(RETRY_AFTER);
        return error.caused_by(status.clone()).publicly(format!("the filer is overloaded ({call}); try again"));
    }
    Error::new(
        Blame::Filer,
        StatusCode::BAD_GATEWAY,
        format!("filer {filer} failed {call} with {:?}: {said}", status.code()),
    )
    .caused_by(status.clone())
    .publicly(format!("the filer failed {call} with {:?}", status.code()))
}

fn shortened(message: &str) -> &str {
    let end = (0..=MAX_MESSAGE.min(message.len())).rev().find(|&end| message.is_char_boundary(end));
    &message[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_the_status_that_it_comes_of() {
        for status in [Status::internal("x"), Status::unavailable("x"), Status::resource_exhausted("x")] {
            let error = to_error("LookupVolume", "127.0.0.1:18888", &status);
            let source = error.source().and_then(|source| source.downcast_ref::<Status>());
            assert_eq!(source.map(Status::code), Some(status.code()));
        }
    }
}
