//! A needle whole, as it is stored, from whichever replica gives it.

use std::sync::Arc;

use bytes::BufMut;
use http::header;
use tokio::{io::AsyncReadExt, time::timeout};

use crate::{
    Cause, FetchError, LengthError, NeedleRead, Verify,
    budget::BLOCK,
    crc,
    fetch::{
        ByteSelection, ChunkSearch, Failure, FetchContext, Replicas, SoundAnswer, Version, VersionCheck, first_answer,
        is_compressed, length,
    },
    metrics::InFlight,
    outcome::Outcome,
    servers::Attempt,
    stored_crc::StoredCrc,
    urgency::Priority,
};

/// How often an answer counts as a step forward although its body breaks off and all of it is thrown away.
const ANEW: u32 = 8;

/// What a needle holds, or why not.
pub(super) enum NeedleContent {
    /// All of it.
    Here {
        /// The bytes.
        bytes: Vec<u8>,
        /// Whether the server says that they are gzip.
        gzip: bool,
    },
    /// It is longer than the limit. How long, where the server said so.
    Longer(Option<u64>),
}

/// Reads what is `wanted` of a needle, of at most `limit` bytes.
///
/// # Errors
/// When no replica gives it.
pub(super) async fn stored(
    context: &FetchContext,
    read: &NeedleRead,
    wanted: &ByteSelection,
    limit: u64,
    priority: &Priority,
) -> Result<NeedleContent, FetchError> {
    // What is read by one request is of one version.
    stored_of(context, read, wanted, limit, priority, &mut PartVersion::default()).await
}

/// The version of a needle that is read part by part.
#[derive(Default)]
pub(super) struct PartVersion {
    version: Arc<Version>,
    joined: bool,
    /// Whether a part has been read.
    has_begun: bool,
}

impl PartVersion {
    /// Where all that is read of it is to be of `version`.
    pub(super) fn of(version: Arc<Version>) -> Self {
        Self { version, ..Self::default() }
    }
}

/// The same of a needle of which other parts were read: it is to be of the same version.
///
/// # Errors
/// As [`stored`], also where no replica has that version any more.
pub(super) async fn stored_of(
    context: &FetchContext,
    read: &NeedleRead,
    wanted: &ByteSelection,
    limit: u64,
    priority: &Priority,
    version: &mut PartVersion,
) -> Result<NeedleContent, FetchError> {
    // Of one that asks for no bytes nothing is in flight.
    let in_flight = (!matches!(wanted, ByteSelection::Head)).then(|| InFlight::begin(&context.metrics));
    let mut sought = ChunkSearch::new(read.clone());
    let replicas_of = |read: &NeedleRead| Replicas::new(context, read, priority);
    let mut replicas = replicas_of(&sought.read);
    let mut begun = 0;
    let result = loop {
        let chosen = match replicas.next(wanted.len_of(read)).await {
            Ok(chosen) => chosen,
            Err(error) => match sought.elsewhere(&context.metrics.moved, error).await {
                Ok(()) => {
                    replicas = replicas_of(&sought.read);
                    continue;
                }
                Err(error) => break Err(error),
            },
        };
        let PartVersion { version, joined, has_begun } = &mut *version;
        let (read, begins) = (&sought.read, !*has_begun);
        let check = VersionCheck { context, version, read, wanted, priority, begins, joined };
        match attempt(&mut replicas, chosen, check, limit, &mut begun).await {
            Ok(stored) => {
                *has_begun |= matches!(stored, NeedleContent::Here { .. });
                break Ok(stored);
            }
            Err(failure) => replicas.failed(failure),
        }
    };
    if let Some(in_flight) = in_flight {
        in_flight.end(result.is_ok());
    }
    result
}

async fn attempt(
    replicas: &mut Replicas<'_>,
    chosen: Attempt,
    mut check: VersionCheck<'_>,
    limit: u64,
    begun: &mut u32,
) -> Result<NeedleContent, Failure> {
    let VersionCheck { context, read, wanted, .. } = check;
    let asked = first_answer(context, replicas, chosen, read, wanted).await?;
    let asked = if check.accepts(&asked) { asked } else { check.in_another_form(asked).await? };
    let SoundAnswer { answer, mut attempt, .. } = asked;
    *begun += 1;
    if *begun <= ANEW {
        replicas.goes_on();
    }
    let gzip = answer.headers().get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
    let is_checked = match context.verify {
        Verify::Off => false,
        // A needle that the server inflates on the way has the checksum of other bytes.
        Verify::Whole => !matches!(wanted, ByteSelection::Range { .. }) && (gzip || !read.is_gzip()),
        Verify::Always => true,
    };
    let crc = StoredCrc::of(answer.headers()).ok().filter(|_| is_checked);
    let has_another = replicas.has_another(attempt.server());
    let mut result = collect(context, &attempt, has_another, answer, gzip, limit).await;
    // Before the next request to this server, which needs a place too.
    attempt.leave_place();
    let server = Arc::clone(attempt.authority());
    if let (Ok(NeedleContent::Here { bytes, .. }), Some(stored)) = (&result, crc)
        && !stored.matches(crc::append(0, bytes))
        && (gzip || !is_compressed(context, &server, read).await)
    {
        context.metrics.crc_failures.inc();
        result = Err(Cause::Corrupt);
    }
    attempt.ended(result.as_ref().map_or_else(Cause::outcome, |_| Outcome::Sound));
    result.map_err(|cause| Failure { server, cause })
}

async fn collect(
    context: &FetchContext,
    attempt: &Attempt,
    has_another: bool,
    answer: http::Response<crate::UpstreamBody>,
    gzip: bool,
    limit: u64,
) -> Result<NeedleContent, Cause> {
    let announced = length(&answer);
    if announced.is_some_and(|announced| announced > limit) {
        return Ok(NeedleContent::Longer(announced));
    }
    let mut body = answer.into_body();
    let mut bytes = Vec::with_capacity(usize::try_from(announced.unwrap_or(0)).unwrap_or(0));
    // One byte more tells that it is longer. Where it should end there is no room for any.
    let most = announced.unwrap_or(limit.saturating_add(1));
    loop {
        let mut surplus = [0];
        let left = usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(bytes.len());
        let read = async {
            if left == 0 {
                return body.read(&mut surplus).await;
            }
            bytes.reserve(left.min(BLOCK));
            body.read_buf(&mut (&mut bytes).limit(left)).await
        };
        let read = tokio::select! {
            biased;
            read = timeout(context.idle_timeout, read) => read.map_err(|_| Cause::Timeout)?,
            () = attempt.server().stands_still(), if has_another => return Err(Cause::Timeout),
        };
        let read = read.map_err(|error| Cause::Broken(Arc::new(error)))?;
        if read == 0 {
            break;
        }
        attempt.heard();
        context.metrics.bytes.inc_by(read as u64);
        if left == 0 {
            return Err(Cause::Length(LengthError::More(most)));
        }
        if bytes.len() as u64 > limit {
            return Ok(NeedleContent::Longer(None));
        }
    }
    if let Some(announced) = announced.filter(|announced| *announced != bytes.len() as u64) {
        return Err(Cause::Length(LengthError::Announced { given: bytes.len(), announced }));
    }
    Ok(NeedleContent::Here { bytes, gzip })
}
