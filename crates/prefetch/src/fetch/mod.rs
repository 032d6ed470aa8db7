//! One fetch: spans of one needle that follow each other, from whichever replica gives them. Mostly that is one; of a chunk
//! that is larger than a span the same request goes on, as long as the next span comes in time.
//!
//! A fetch that breaks goes on at the byte where it broke, on another replica where there is one. A chunk that turns out
//! corrupt while none of its bytes are out yet is fetched again from another.

mod chunk_search;
mod context;
mod first_answer;
mod next_spans;
mod replicas;
mod request;
mod span_writer;
mod target;
mod version;

use std::{io, ops::Range, sync::Arc};

use futures_util::FutureExt;
use http::{HeaderValue, header};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, sleep, timeout},
};

pub(crate) use self::{
    chunk_search::ChunkSearch,
    context::FetchContext,
    first_answer::first_answer,
    next_spans::{NextSpan, NextSpans},
    replicas::{Failure, Replicas},
    request::{ByteSelection, SoundAnswer, ask, is_compressed, length},
    span_writer::SpanWriter,
    version::{Version, VersionCheck},
};
use self::{request::ask_again, target::Target};
use crate::{
    Cause, ChunkCache, Decode, FetchError, LengthError, NeedleRead, UpstreamBody, Verify, budget::BLOCK,
    checksum::Checksum, chunk_cache::FetchedNeedle, crc, handover::Handover, metrics::InFlight, outcome::Outcome,
    servers::Attempt, stored_crc::StoredCrc, urgency::Priority,
};

/// What one fetch is to do.
pub(crate) struct Job {
    pub(crate) read: NeedleRead,
    /// Bytes of the chunk.
    pub(crate) span: Range<u64>,
    /// The byte up to which is asked for: those behind the span are for spans that follow.
    pub(crate) reach: u64,
    /// The chunk's checksum, where the chunk is read in full.
    pub(crate) checksum: Option<Arc<Checksum>>,
    /// What the download's requests for the needle must all be of.
    pub(crate) version: Arc<Version>,
    /// Whether the client waits for it.
    pub(crate) priority: Arc<Priority>,
}

/// Fetches a span and passes it on, and those that follow it.
pub(crate) async fn run(context: Arc<FetchContext>, job: Job, mut writer: SpanWriter, next_spans: NextSpans) {
    let is_full_chunk = job.span.start == 0 && job.span.end == job.read.size;
    let is_kept = is_full_chunk && ChunkCache::takes(job.read.size) && !job.read.compressed;
    if let Some(cache) = context.cache.as_ref().filter(|_| is_kept) {
        let copied = async {
            // First, for what it waits for may take long, and the bytes take room meanwhile.
            let mut decoder = job.read.decoder(0).await?;
            let fetch = |priority| needle(Arc::clone(&context), job.read.clone(), priority);
            let Some(landed) = cache.get(&job.read.fid, job.read.size, &job.priority, fetch).await else {
                return Ok(false);
            };
            let landed = landed?;
            // Of another version than what was read before it is fetched anew.
            if landed.version.as_ref().is_some_and(|version| !job.version.is_of(version, &mut false)) {
                return Ok(false);
            }
            writer.copy(&landed, decoder.as_deref_mut());
            writer.finish();
            Ok(true)
        };
        match copied.await {
            Ok(false) => {}
            ended => return writer.end(ended.map(|_| ())),
        }
    }
    let mut fetch = Fetch::new(&context, &job, Target::Download(writer), Some(next_spans));
    let result = fetch.run().await;
    if let (Err(_), Some(checksum)) = (&result, &job.checksum) {
        checksum.give_up();
    }
    if let Target::Download(writer) = fetch.target {
        writer.end(result);
    }
}

/// Fetches a needle whole, as it is stored, for all who wait for it.
async fn needle(
    context: Arc<FetchContext>,
    read: NeedleRead,
    priority: Arc<Priority>,
) -> Result<FetchedNeedle, FetchError> {
    let size = read.size;
    let checksum = (context.verify != Verify::Off).then(|| Arc::new(Checksum::new(size)));
    let read = NeedleRead { transform: None, ..read };
    let job = Job { read, span: 0..size, reach: size, checksum, version: Arc::default(), priority };
    let buffer = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    let mut fetch = Fetch::new(&context, &job, Target::Needle(buffer), None);
    fetch.run().await?;
    let stored = StoredCrc::of_etag(fetch.etag.as_ref()).ok().filter(|_| !fetch.is_longer);
    let Target::Needle(bytes) = fetch.target else { return Err(FetchError::Lost(Arc::clone(&job.read.fid))) };
    let is_proven = stored.is_some_and(|stored| stored.matches(fetch.crc));
    Ok(FetchedNeedle { bytes: bytes.into(), version: job.version.named(), is_proven })
}

struct Fetch<'a> {
    context: &'a FetchContext,
    job: &'a Job,
    sought: ChunkSearch,
    /// The span that is being fetched.
    span: Range<u64>,
    next_spans: Option<NextSpans>,
    /// The next byte to be taken over.
    position: u64,
    etag: Option<HeaderValue>,
    /// Whether it is counted in the version that is read.
    joined: bool,
    /// CRC-32C of the stored bytes from the first span on: up to this span, and up to the last that was taken over. It goes on from
    /// span to span: to put two together takes as long as to compute that of half a megabyte.
    before: u32,
    crc: u32,
    /// Whether the needle has more bytes than the file, so that its checksum says nothing.
    is_longer: bool,
    target: Target,
}

impl<'a> Fetch<'a> {
    fn new(context: &'a FetchContext, job: &'a Job, target: Target, next_spans: Option<NextSpans>) -> Self {
        let (sought, span, position) = (ChunkSearch::new(job.read.clone()), job.span.clone(), job.span.start);
        Self {
            context,
            job,
            sought,
            span,
            next_spans,
            position,
            etag: None,
            joined: false,
            before: 0,
            crc: 0,
            is_longer: false,
            target,
        }
    }

    async fn run(&mut self) -> Result<(), FetchError> {
        let in_flight = InFlight::begin(&self.context.metrics);
        let result = self.spans().await;
        in_flight.end(result.is_ok());
        result
    }

    async fn spans(&mut self) -> Result<(), FetchError> {
        let (context, job) = (self.context, self.job);
        let replicas_of = |read: &NeedleRead| Replicas::new(context, read, &job.priority);
        let mut replicas = replicas_of(&self.sought.read);
        let mut decoder = self.decoder().await?;
        loop {
            let first = match replicas.next(self.wanted().len()).await {
                Ok(first) => first,
                Err(error) => {
                    self.sought.elsewhere(&self.context.metrics.moved, error).await?;
                    replicas = replicas_of(&self.sought.read);
                    continue;
                }
            };
            let (span, before) = (self.span.start, self.position);
            let Err(failure) = self.attempt(&mut replicas, first, decoder.as_deref_mut()).await else {
                self.target.finish();
                return Ok(());
            };
            if self.span.start > span {
                // Whatever failed before is forgotten with the span that it was of.
                replicas = replicas_of(&self.sought.read);
            } else if self.position > before {
                replicas.goes_on();
            }
            if let Cause::Corrupt | Cause::Changed = failure.cause {
                // What was taken over cannot be trusted, or not be continued.
                if !self.start_over() {
                    return Err(replicas.corrupt(failure));
                }
                decoder = self.decoder().await?;
            }
            replicas.failed(failure);
        }
    }

    /// What is left to be asked for.
    fn wanted(&self) -> ByteSelection {
        ByteSelection::Range { range: self.position..self.job.reach, size: self.job.read.size }
    }

    async fn decoder(&self) -> Result<Option<Box<dyn Decode>>, FetchError> {
        self.job.read.decoder(self.span.start).await
    }

    /// Asks one replica, or two where the first is late, and takes the answer over.
    async fn attempt(
        &mut self,
        replicas: &mut Replicas<'_>,
        first: Attempt,
        mut decoder: Option<&mut (dyn Decode + 'static)>,
    ) -> Result<(), Failure> {
        let resumed = self.position - self.span.start;
        let wanted = self.wanted();
        let asked = first_answer(self.context, replicas, first, &self.sought.read, &wanted).await?;
        let mut check = VersionCheck {
            context: self.context,
            version: &self.job.version,
            read: &self.sought.read,
            wanted: &wanted,
            priority: &self.job.priority,
            // What the first span has can be taken back, or is compared.
            begins: self.span.start == self.job.span.start,
            joined: &mut self.joined,
        };
        let mut asked = if check.accepts(&asked) { asked } else { Box::pin(check.in_another_form(asked)).await? };
        let mut compared = 0;
        let etag = asked.answer.headers().get(header::ETAG).cloned();
        if self.is_stored_otherwise(etag.as_ref()) {
            // Compressed at one server and not at the other, or another needle: by what it holds of the bytes that are here.
            let wanted = ByteSelection::Range { range: self.span.start..self.job.reach, size: self.job.read.size };
            drop(asked.answer);
            asked = Box::pin(ask_again(self.context, asked.attempt, &self.sought.read, &wanted, etag.as_ref())).await?;
            compared = resumed;
        } else {
            self.context.metrics.resumed_bytes.inc_by(resumed);
        }
        let SoundAnswer { answer, mut attempt, is_longer } = asked;
        let server = Arc::clone(attempt.authority());
        let has_another = replicas.has_another(attempt.server());
        self.is_longer = is_longer;
        let mut body = answer.into_body();
        if compared > 0
            && let Err(cause) = Box::pin(self.compare(&mut body, compared, &attempt)).await
        {
            attempt.leave_place();
            attempt.ended(cause.outcome());
            return Err(Failure { server, cause });
        }
        // Not before all that is here is known to be of it, too.
        if etag.is_some() {
            self.etag = etag;
        }
        let result = loop {
            let taken = self.take_over(&mut body, &attempt, has_another, decoder.as_deref_mut()).await;
            if taken.is_err() || self.position == self.job.reach {
                // Others may have it while this one waits for the rest of the chunk.
                attempt.leave_place();
            }
            let result = match taken {
                Ok(()) => self.verify(&server).await,
                failed => failed,
            };
            if result.is_err() || self.position == self.job.reach {
                break result;
            }
            match self.goes_on(&mut attempt).await {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(cause) => break Err(cause),
            }
        };
        attempt.ended(result.as_ref().map_or_else(Cause::outcome, |()| Outcome::Sound));
        result.map_err(|cause| Failure { server, cause })
    }

    /// Whether more of the body is wanted: then the next span begins.
    async fn goes_on(&mut self, attempt: &mut Attempt) -> Result<bool, Cause> {
        self.target.end();
        let Some(next_spans) = &mut self.next_spans else { return Ok(false) };
        let Some((NextSpan { end, writer }, has_place)) = next_spans.next(attempt, &self.job.priority).await else {
            return Ok(false);
        };
        self.span = self.position..end;
        self.before = self.crc;
        self.target = Target::Download(writer);
        if has_place { Ok(true) } else { Err(Cause::Timeout) }
    }

    /// Takes a span over, behind the bytes of it that are here already.
    async fn take_over(
        &mut self,
        body: &mut UpstreamBody,
        attempt: &Attempt,
        has_another: bool,
        mut decoder: Option<&mut (dyn Decode + 'static)>,
    ) -> Result<(), Cause> {
        let (end, idle) = (self.span.end, self.context.idle_timeout);
        let mut stalls = std::pin::pin!(sleep(idle));
        while self.position < end {
            let wanted = self.target.wanted();
            let bytes = tokio::select! {
                biased;
                bytes = self.target.read(body, end - self.position) => bytes,
                () = attempt.server().stands_still(), if has_another => return Err(Cause::Timeout),
                () = hungry(wanted.as_deref()), if wanted.is_some() => {
                    self.target.flush();
                    continue;
                }
                () = &mut stalls => return Err(Cause::Timeout),
            };
            let bytes = self.read(bytes, attempt)?;
            stalls.as_mut().reset(Instant::now() + idle);
            self.crc = self.target.take(bytes, self.crc, decoder.as_deref_mut());
            self.position += bytes as u64;
        }
        if self.position == self.job.reach { no_more(body) } else { Ok(()) }
    }

    /// Counts what was read.
    fn read(&self, read: io::Result<usize>, attempt: &Attempt) -> Result<usize, Cause> {
        let bytes = read.map_err(|error| Cause::Broken(Arc::new(error)))?;
        if bytes == 0 {
            return Err(Cause::Length(LengthError::Early(self.job.reach - self.position)));
        }
        attempt.heard();
        self.context.metrics.bytes.inc_by(bytes as u64);
        Ok(bytes)
    }

    /// Compares the first `compared` bytes of a body with those of the span that are here.
    async fn compare(&self, body: &mut UpstreamBody, compared: u64, attempt: &Attempt) -> Result<(), Cause> {
        let (mut left, mut crc) = (compared, self.before);
        let mut bytes = vec![0; BLOCK.min(usize::try_from(compared).unwrap_or(BLOCK))];
        while left > 0 {
            let most = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = timeout(self.context.idle_timeout, body.read(&mut bytes[..most])).await;
            let read = self.read(read.map_err(|_| Cause::Timeout)?, attempt)?;
            crc = crc::append(crc, &bytes[..read]);
            left -= read as u64;
        }
        if crc == self.crc { Ok(()) } else { Err(Cause::Changed) }
    }

    /// Checks the chunk before its last piece is given away; the spans before have been checked in when they ended.
    async fn verify(&self, server: &Arc<str>) -> Result<(), Cause> {
        let Some(checksum) = &self.job.checksum else { return Ok(()) };
        let stored = match StoredCrc::of_etag(self.etag.as_ref()) {
            Ok(stored) if !self.is_longer => stored,
            unknown => {
                if let Err(error) = unknown {
                    tracing::debug!(request = self.sought.read.request(), fid = &*self.sought.read.fid, server = &**server, %error, "the bytes are not checked");
                }
                checksum.give_up();
                return Ok(());
            }
        };
        let span = &self.span;
        let crc = if self.is_full_chunk() {
            Some(self.crc)
        } else {
            let begun = self.job.span.start;
            checksum.add(begun, span.end - begun, self.crc);
            // A span before has failed, and the download with it: there is nothing to check.
            if span.end < self.job.read.size { None } else { checksum.of_chunk().await }
        };
        match crc {
            Some(crc) if !stored.matches(crc) => {
                if Box::pin(is_compressed(self.context, server, &self.sought.read)).await {
                    return Ok(());
                }
                self.context.metrics.crc_failures.inc();
                Err(Cause::Corrupt)
            }
            _ => Ok(()),
        }
    }

    /// Begins the span anew, if none of its bytes are out and the fault is in this span alone.
    fn start_over(&mut self) -> bool {
        let can = (self.is_full_chunk() || self.position == self.span.start) && self.target.take_back();
        if can {
            self.position = self.span.start;
            self.crc = self.before;
            self.etag = None;
        }
        can
    }

    /// Whether the span is the whole chunk.
    fn is_full_chunk(&self) -> bool {
        self.span.start == 0 && self.span.end == self.job.read.size
    }

    /// Whether bytes are here already, of a needle with another ETag.
    fn is_stored_otherwise(&self, etag: Option<&HeaderValue>) -> bool {
        let differs = self.etag.as_ref().is_some_and(|first| etag.is_some_and(|now| now != first));
        differs && self.position > self.span.start
    }
}

/// Resolves when the client waits and finds nothing.
async fn hungry(handover: Option<&Handover>) {
    if let Some(handover) = handover {
        handover.hungry().await;
    }
}

/// Looks whether a body goes on where it should end, as far as more of it is here.
fn no_more(body: &mut UpstreamBody) -> Result<(), Cause> {
    match body.read(&mut [0]).now_or_never() {
        Some(Ok(bytes)) if bytes > 0 => Err(Cause::Length(LengthError::Late)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
