//! One request to one replica, and whether the head of the answer is what was asked for.

use std::{ops::Range, sync::Arc};

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::time::timeout;

use crate::{
    Cause, LengthError, NeedleRead, UpstreamBody,
    content_range::ContentRange,
    fetch::{FetchContext, replicas::Failure},
    servers::Attempt,
    urgency::{Priority, Urgency},
};

/// The header by which the filer names a request to volume servers (`request_id.InjectToRequest` in
/// `weed/util/request_id/request_id.go` @4.48).
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// Which bytes a request asks for.
pub(crate) enum Wanted {
    /// These of a needle that is `size` bytes long.
    Range {
        /// Not empty.
        range: Range<u64>,
        /// Of the whole needle.
        size: u64,
    },
    /// All of a needle, whatever its length.
    Needle,
    /// The same of one that is stored as gzip, without having the server inflate it.
    Gzip,
    /// Nothing but how long it is as it is stored.
    Head,
}

impl Wanted {
    /// Bytes, as far as is known.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Range { range, .. } => range.end - range.start,
            Self::Needle | Self::Gzip | Self::Head => 0,
        }
    }

    /// The same, by what is known of the needle: a manifest is small, whatever it covers.
    pub(crate) fn len_of(&self, read: &NeedleRead) -> u64 {
        match self {
            Self::Gzip => read.size,
            Self::Needle if read.opener.is_some() => read.size,
            Self::Needle | Self::Head | Self::Range { .. } => self.len(),
        }
    }

    /// Without `Range` when it is the whole needle anyway.
    fn range_header(&self) -> Option<String> {
        match self {
            Self::Range { range, size } if range.start > 0 || range.end < *size => {
                Some(format!("bytes={}-{}", range.start, range.end - 1))
            }
            _ => None,
        }
    }
}

/// A sound answer, its body still to be read.
pub(crate) struct Asked {
    pub(crate) answer: Response<UpstreamBody>,
    /// Of which whoever reads the body says how it ended.
    pub(crate) attempt: Attempt,
    /// Whether the needle is longer than the entry says: a file that was cut short in place keeps its needles. Then their
    /// checksums are those of more bytes than the file has.
    pub(crate) is_longer: bool,
}

/// Asks a server and checks the head of the answer.
pub(crate) async fn ask(
    context: &FetchContext,
    mut attempt: Attempt,
    read: &NeedleRead,
    wanted: &Wanted,
) -> Result<Asked, Failure> {
    attempt.sent();
    match head(context, attempt.authority(), read, wanted).await {
        Ok((answer, is_longer)) => {
            let latency = attempt.first_byte();
            context.servers.first_byte(wanted.len(), latency);
            Ok(Asked { answer, attempt, is_longer })
        }
        Err(cause) => {
            let server = Arc::clone(attempt.authority());
            attempt.ended(cause.outcome());
            Err(Failure { server, cause })
        }
    }
}

/// A sound answer, and whether it is of a needle that is longer than was thought.
async fn head(
    context: &FetchContext,
    authority: &str,
    read: &NeedleRead,
    wanted: &Wanted,
) -> Result<(Response<UpstreamBody>, bool), Cause> {
    let answer = exchange(context, authority, read, wanted, wanted.range_header()).await?;
    let Wanted::Range { range, size } = wanted else { return Ok((answer, false)) };
    if answer.status() == StatusCode::OK && length(&answer).is_some_and(|length| length > *size) {
        drop(answer);
        let range = format!("bytes={}-{}", range.start, range.end - 1);
        return Ok((exchange(context, authority, read, wanted, Some(range)).await?, true));
    }
    let is_longer = ContentRange::of(answer.headers()).is_ok_and(|part| part.size > *size);
    Ok((answer, is_longer))
}

async fn exchange(
    context: &FetchContext,
    authority: &str,
    read: &NeedleRead,
    wanted: &Wanted,
    range: Option<String>,
) -> Result<Response<UpstreamBody>, Cause> {
    let method = if matches!(wanted, Wanted::Head) { Method::HEAD } else { Method::GET };
    let uri = format!("http://{authority}/{}", read.fid);
    let mut request = Request::builder().method(method).uri(uri);
    let partial = range.is_some();
    match (range, wanted) {
        (Some(range), _) => request = request.header(header::RANGE, range),
        // Never together with a range, which would then count bytes of the gzip.
        (None, Wanted::Gzip | Wanted::Head) => request = request.header(header::ACCEPT_ENCODING, "gzip"),
        (None, Wanted::Needle | Wanted::Range { .. }) => {}
    }
    if let Some(token) = context.locate.authorize(&read.fid) {
        request = request.header(header::AUTHORIZATION, token);
    }
    if let Some(name) = &read.request {
        request = request.header(REQUEST_ID, name);
    }
    let request = request.body(()).map_err(|error| Cause::Connect(Arc::new(error)))?;
    if let Some(tally) = &read.tally {
        tally.requested();
    }
    let answer = timeout(context.first_byte_timeout, context.upstream.send(request)).await;
    let answer = answer.map_err(|_| Cause::Timeout)?.map_err(Cause::Connect)?;
    match answer.status() {
        StatusCode::OK if !partial => {}
        StatusCode::PARTIAL_CONTENT if partial => {}
        StatusCode::NOT_FOUND => return Err(Cause::NotFound),
        StatusCode::UNAUTHORIZED => return Err(Cause::Unauthorized),
        busy @ (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => {
            return Err(Cause::Busy(busy.as_u16()));
        }
        other => return Err(Cause::Status(other.as_u16())),
    }
    check_length(&answer, wanted, partial)?;
    Ok(answer)
}

fn check_length(answer: &Response<UpstreamBody>, wanted: &Wanted, partial: bool) -> Result<(), Cause> {
    let Wanted::Range { range, size } = wanted else { return Ok(()) };
    if partial {
        let part = ContentRange::of(answer.headers()).map_err(|error| Cause::Length(error.into()))?;
        if part.range != *range || part.size < *size {
            let (wanted, size) = (range.clone(), *size);
            return Err(Cause::Length(LengthError::Range { given: part.range, of: part.size, wanted, size }));
        }
    }
    match length(answer) {
        // Of a needle that is longer a part is asked for next.
        Some(length) if length > *size && !partial => Ok(()),
        Some(given) if given != wanted.len() => {
            Err(Cause::Length(LengthError::ContentLength { given, wanted: wanted.len() }))
        }
        _ => Ok(()),
    }
}

/// Whether the server keeps the needle compressed and inflates it for us, whatever the entry says: then its CRC is that
/// of other bytes than it sends. Asked only when a checksum does not match.
pub(crate) async fn is_compressed(context: &FetchContext, authority: &Arc<str>, read: &NeedleRead) -> bool {
    stored_as(context, authority, read).await.is_some_and(|form| form.is_compressed)
}

/// How a server keeps a needle.
pub(super) struct Form {
    pub(super) etag: Option<HeaderValue>,
    pub(super) is_compressed: bool,
}

/// How the server keeps the needle. `None`: it does not say.
pub(super) async fn stored_as(context: &FetchContext, authority: &Arc<str>, read: &NeedleRead) -> Option<Form> {
    let mut attempt = context.servers.attempt_at(authority);
    timeout(context.first_byte_timeout, attempt.place(&Priority::new(Urgency::Head), 0)).await.ok()?;
    let request = Request::get(format!("http://{authority}/{}", read.fid));
    let mut request = request.header(header::ACCEPT_ENCODING, "gzip");
    if let Some(token) = context.locate.authorize(&read.fid) {
        request = request.header(header::AUTHORIZATION, token);
    }
    let request = request.body(()).ok()?;
    let answer = timeout(context.first_byte_timeout, context.upstream.send(request)).await.ok()?.ok()?;
    Some(Form {
        etag: answer.headers().get(header::ETAG).cloned(),
        is_compressed: answer.headers().contains_key(header::CONTENT_ENCODING),
    })
}

/// The length that the answer announces.
pub(crate) fn length(answer: &Response<UpstreamBody>) -> Option<u64> {
    answer.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
