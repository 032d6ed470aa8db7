//! One request to one replica, and whether the head of the answer is what was asked for.

use std::{ops::Range, sync::Arc};

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::time::timeout;

use crate::{
    Cause, LengthError, NeedleRead, UpstreamBody,
    content_range::ContentRange,
    fetch::{FetchContext, replicas::Failure},
    outcome::Outcome,
    servers::Attempt,
    upstream::GIVEN_UP,
    urgency::{Priority, Urgency},
};

/// The header by which the filer names a request to volume servers (`request_id.InjectToRequest` in
/// `weed/util/request_id/request_id.go` @4.48).
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// Which bytes a request asks for.
pub(crate) enum ByteSelection {
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

impl ByteSelection {
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
pub(crate) struct SoundAnswer {
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
    wanted: &ByteSelection,
) -> Result<SoundAnswer, Failure> {
    attempt.sent();
    match head(context, attempt.authority(), read, wanted).await {
        Ok((answer, is_longer)) => {
            let latency = attempt.first_byte();
            context.servers.first_byte(wanted.len_of(read), latency);
            Ok(SoundAnswer { answer, attempt, is_longer })
        }
        Err(cause) => {
            let server = Arc::clone(attempt.authority());
            attempt.ended(cause.outcome());
            Err(Failure { server, cause })
        }
    }
}

/// Asks a server once more, for what it has under the ETag that it named before. It may have been replaced meanwhile.
pub(super) async fn ask_again(
    context: &FetchContext,
    attempt: Attempt,
    read: &NeedleRead,
    wanted: &ByteSelection,
    named: Option<&HeaderValue>,
) -> Result<SoundAnswer, Failure> {
    let asked = ask(context, attempt, read, wanted).await?;
    if asked.answer.headers().get(header::ETAG) == named {
        return Ok(asked);
    }
    let server = Arc::clone(asked.attempt.authority());
    asked.attempt.ended(Outcome::OfNeedle);
    Err(Failure { server, cause: Cause::Changed })
}

/// A sound answer, and whether it is of a needle that is longer than was thought.
async fn head(
    context: &FetchContext,
    authority: &str,
    read: &NeedleRead,
    wanted: &ByteSelection,
) -> Result<(Response<UpstreamBody>, bool), Cause> {
    let answer = exchange(context, authority, read, wanted, wanted.range_header()).await?;
    let ByteSelection::Range { range, size } = wanted else { return Ok((answer, false)) };
    if answer.status() == StatusCode::OK && length(&answer).is_some_and(|length| length > *size) {
        drop(answer);
        let range = format!("bytes={}-{}", range.start, range.end - 1);
        return Ok((exchange(context, authority, read, wanted, Some(range)).await?, true));
    }
    let is_longer = ContentRange::of(answer.headers()).is_ok_and(|part| part.size > *size);
    Ok((answer, is_longer))
}

/// What a server is asked for. It is not to send us to another replica: over its `-concurrentDownloadLimitMB` a server of a volume
/// with replicas would answer at once for one of them, with a redirect or with what that one says, or that there is none (404;
/// `tryProxyToReplica` in `weed/server/volume_server_handlers.go` @4.48). What is proxied already it lets wait, and says 429.
/// Replicas are chosen here.
fn target(authority: &str, fid: &str) -> String {
    format!("http://{authority}/{fid}?proxied=true")
}

async fn exchange(
    context: &FetchContext,
    authority: &str,
    read: &NeedleRead,
    wanted: &ByteSelection,
    range: Option<String>,
) -> Result<Response<UpstreamBody>, Cause> {
    let method = if matches!(wanted, ByteSelection::Head) { Method::HEAD } else { Method::GET };
    let mut request = Request::builder().method(method).uri(target(authority, &read.fid));
    let partial = range.is_some();
    match (range, wanted) {
        (Some(range), _) => request = request.header(header::RANGE, range),
        // Never together with a range, which would then count bytes of the gzip.
        (None, ByteSelection::Gzip | ByteSelection::Head) => request = request.header(header::ACCEPT_ENCODING, "gzip"),
        (None, ByteSelection::Needle | ByteSelection::Range { .. }) => {}
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
        busy if matches!(busy.as_u16(), 429 | GIVEN_UP | 503) => return Err(Cause::Busy(busy.as_u16())),
        other if other.is_redirection() => return Err(Cause::Elsewhere(other.as_u16())),
        other => return Err(Cause::Status(other.as_u16())),
    }
    check_length(&answer, wanted, partial)?;
    Ok(answer)
}

fn check_length(answer: &Response<UpstreamBody>, wanted: &ByteSelection, partial: bool) -> Result<(), Cause> {
    let ByteSelection::Range { range, size } = wanted else { return Ok(()) };
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
    let request = Request::get(target(authority, &read.fid));
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

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Mutex};

    use futures_util::stream;
    use http::HeaderMap;
    use prometheus::Registry;

    use super::*;
    use crate::{
        Engine, Metrics, Settings, Upstream,
        content_range::ContentRangeError,
        testing::{AsItIs, Fault, Script, body_of},
        upstream::Answer,
    };

    #[tokio::test(start_paused = true)]
    async fn a_server_over_its_download_limit_is_not_to_answer_for_another_replica() {
        let script = Script::default();
        let (read, _) = script.needle(1, 100);
        let (engine, _) = script.engine(Settings::default());
        let context = &engine.shared.fetch;
        for wanted in [range(0..100), range(10..20), ByteSelection::Needle, ByteSelection::Gzip, ByteSelection::Head] {
            script.fault("a:1", [Fault::OverLimit]);
            let mut attempt = context.servers.attempt_at(&"a:1".into());
            attempt.place(&Priority::new(Urgency::Head), 0).await;
            let failure = ask(context, attempt, &read, &wanted).await.map(drop).unwrap_err();
            assert!(matches!(failure.cause, Cause::Busy(429)), "{}", failure.cause);
        }
    }

    /// An answer that is nothing but its head: status, `Content-Range`, `Content-Length`.
    type Head = (u16, Option<&'static str>, Option<u64>);

    /// A server that gives these answers, one after the other, and keeps what it was asked.
    struct Answers {
        heads: Mutex<VecDeque<Head>>,
        asked: Mutex<Vec<(Method, HeaderMap)>>,
    }

    impl Upstream for Answers {
        fn send(&self, request: Request<()>) -> Answer<'_> {
            self.asked.lock().unwrap().push((request.method().clone(), request.headers().clone()));
            let (status, part, length) = self.heads.lock().unwrap().pop_front().expect("one request too many");
            let mut answer = Response::builder().status(status);
            if let Some(part) = part {
                answer = answer.header(header::CONTENT_RANGE, part);
            }
            if let Some(length) = length {
                answer = answer.header(header::CONTENT_LENGTH, length);
            }
            Box::pin(async move { Ok(answer.body(body_of(stream::empty())).unwrap()) })
        }
    }

    /// Whether the needle is longer than was thought, or why the answer is not taken; and what was asked.
    async fn asked(
        wanted: &ByteSelection,
        heads: impl IntoIterator<Item = Head>,
    ) -> (Result<bool, Cause>, Vec<(Method, HeaderMap)>) {
        let answers =
            Arc::new(Answers { heads: Mutex::new(heads.into_iter().collect()), asked: Mutex::new(Vec::new()) });
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let upstream = Arc::clone(&answers) as Arc<dyn Upstream>;
        let engine = Engine::new(Settings::default(), upstream, None, Arc::new(Script::default()), metrics);
        let context = &engine.shared.fetch;
        let mut attempt = context.servers.attempt_at(&"a:1".into());
        attempt.place(&Priority::new(Urgency::Head), 0).await;
        let result = ask(context, attempt, &NeedleRead::of(3, "3,0100000001".to_owned(), 100), wanted).await;
        assert!(answers.heads.lock().unwrap().is_empty(), "an answer was not asked for");
        (result.map(|asked| asked.is_longer).map_err(|failure| failure.cause), answers.asked.lock().unwrap().clone())
    }

    fn range(range: Range<u64>) -> ByteSelection {
        ByteSelection::Range { range, size: 100 }
    }

    /// A cause with all that it says, to be compared.
    fn words(cause: Cause) -> String {
        format!("{cause:?}")
    }

    fn other_range(given: Range<u64>, of: u64, wanted: Range<u64>) -> String {
        words(Cause::Length(LengthError::Range { given, of, wanted, size: 100 }))
    }

    fn other_length(given: u64, wanted: u64) -> String {
        words(Cause::Length(LengthError::ContentLength { given, wanted }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_is_taken_only_where_it_is_the_one_that_was_asked_for() {
        let cases: [(Head, Result<bool, String>); 21] = [
            ((206, Some("bytes 10-19/100"), Some(10)), Ok(false)),
            ((206, Some("bytes 10-19/100"), None), Ok(false)),
            // A file that was cut short in place keeps its needles.
            ((206, Some("bytes 10-19/101"), Some(10)), Ok(true)),
            ((206, Some("bytes 10-19/99"), Some(10)), Err(other_range(10..20, 99, 10..20))),
            ((206, Some("bytes 11-20/100"), Some(10)), Err(other_range(11..21, 100, 10..20))),
            ((206, Some("bytes 0-19/100"), Some(20)), Err(other_range(0..20, 100, 10..20))),
            ((206, Some("bytes 10-20/100"), Some(11)), Err(other_range(10..21, 100, 10..20))),
            ((206, Some("bytes 10-18/100"), Some(9)), Err(other_range(10..19, 100, 10..20))),
            ((206, Some("bytes 11-20/101"), Some(10)), Err(other_range(11..21, 101, 10..20))),
            ((206, None, Some(10)), Err(words(Cause::Length(ContentRangeError::Missing.into())))),
            ((206, Some("bytes 10-19/100"), Some(9)), Err(other_length(9, 10))),
            ((206, Some("bytes 10-19/100"), Some(11)), Err(other_length(11, 10))),
            // Longer than the needle is no better.
            ((206, Some("bytes 10-19/100"), Some(101)), Err(other_length(101, 10))),
            ((206, Some("bytes 10-19/100"), Some(0)), Err(other_length(0, 10))),
            // The whole needle in place of the part, and its first bytes.
            ((200, None, Some(100)), Err(words(Cause::Status(200)))),
            ((200, Some("bytes 10-19/100"), Some(10)), Err(words(Cause::Status(200)))),
            ((204, None, None), Err(words(Cause::Status(204)))),
            ((404, None, None), Err(words(Cause::NotFound))),
            ((301, None, None), Err(words(Cause::Elsewhere(301)))),
            ((503, None, None), Err(words(Cause::Busy(503)))),
            // It has let the request wait for longer than its connections may.
            ((499, None, Some(0)), Err(words(Cause::Busy(499)))),
        ];
        for (head, expected) in cases {
            let (result, requests) = asked(&range(10..20), [head]).await;
            assert_eq!(result.map_err(words), expected, "{head:?}");
            let (method, headers) = &requests[0];
            assert_eq!((method, &headers[header::RANGE]), (&Method::GET, &HeaderValue::from_static("bytes=10-19")));
            assert!(!headers.contains_key(header::ACCEPT_ENCODING), "a range would count bytes of the gzip");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_needle_is_taken_only_in_its_length() {
        let cases: [(Head, Result<bool, String>); 7] = [
            ((200, None, Some(100)), Ok(false)),
            ((200, None, None), Ok(false)),
            ((200, None, Some(99)), Err(other_length(99, 100))),
            ((200, None, Some(0)), Err(other_length(0, 100))),
            ((206, Some("bytes 0-99/100"), Some(100)), Err(words(Cause::Status(206)))),
            ((401, None, None), Err(words(Cause::Unauthorized))),
            ((429, None, None), Err(words(Cause::Busy(429)))),
        ];
        for (head, expected) in cases {
            let (result, requests) = asked(&range(0..100), [head]).await;
            assert_eq!(result.map_err(words), expected, "{head:?}");
            assert!(!requests[0].1.contains_key(header::RANGE));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_needle_that_is_longer_the_part_is_asked_for() {
        let whole: Head = (200, None, Some(101));
        let (result, requests) = asked(&range(0..100), [whole, (206, Some("bytes 0-99/101"), Some(100))]).await;
        assert!(result.unwrap());
        assert_eq!(requests[1].1[header::RANGE], "bytes=0-99");
        for (again, expected) in [
            (whole, words(Cause::Status(200))),
            ((206, Some("bytes 0-98/101"), Some(99)), other_range(0..99, 101, 0..100)),
            ((206, Some("bytes 0-99/101"), Some(101)), other_length(101, 100)),
        ] {
            let (result, _) = asked(&range(0..100), [whole, again]).await;
            assert_eq!(result.map_err(words), Err(expected), "{again:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_needle_of_unknown_length_is_taken_in_any() {
        for (wanted, method, takes_gzip) in [
            (ByteSelection::Needle, Method::GET, false),
            (ByteSelection::Gzip, Method::GET, true),
            (ByteSelection::Head, Method::HEAD, true),
        ] {
            for length in [None, Some(0), Some(99), Some(101)] {
                let (result, requests) = asked(&wanted, [(200, None, length)]).await;
                assert!(!result.unwrap());
                assert_eq!(requests[0].0, method);
                assert_eq!(requests[0].1.contains_key(header::ACCEPT_ENCODING), takes_gzip);
            }
        }
    }

    #[test]
    fn how_much_a_request_brings_is_known_of_all_but_manifests() {
        let plain = NeedleRead::of(3, "3,0100000001".to_owned(), 100);
        let sealed = NeedleRead { opener: Some(Arc::new(AsItIs)), ..plain.clone() };
        for (wanted, of_plain, of_sealed) in [
            (range(10..20), 10, 10),
            (ByteSelection::Gzip, 100, 100),
            // One that is not opened may be a manifest, which is small.
            (ByteSelection::Needle, 0, 100),
            (ByteSelection::Head, 0, 0),
        ] {
            assert_eq!((wanted.len_of(&plain), wanted.len_of(&sealed)), (of_plain, of_sealed));
        }
    }
}
