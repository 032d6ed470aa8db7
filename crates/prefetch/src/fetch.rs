//! One fetch: one span of one needle, from whichever replica gives it.
//!
//! A fetch that breaks goes on at the byte where it broke, on another replica where there is one. When all have failed,
//! the volume is looked up afresh once and everything it names is tried once more.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use tokio::{sync::Notify, sync::mpsc, time::timeout};

use crate::{
    Cause, Decode, FetchError, NeedleRead, UpstreamBody,
    budget::{Allotment, BLOCK, Block},
    engine::Shared,
    metrics::InFlight,
    servers::Server,
    upstream::chain,
};

/// What a fetch tells the download: blocks in order, then one end.
pub(crate) type Event = Result<Option<Bytes>, FetchError>;

/// Fetches `range` (bytes of the chunk) and sends it block by block. `hungry` is notified when the client waits, so that
/// a block that is not full yet is passed on.
pub(crate) async fn run(
    shared: Arc<Shared>,
    read: NeedleRead,
    range: Range<u64>,
    allotment: Allotment,
    hungry: Arc<Notify>,
    events: mpsc::UnboundedSender<Event>,
) {
    let in_flight = InFlight::begin(&shared.metrics);
    let sink = Sink { allotment, block: None, left: range.end - range.start, hungry, events };
    let mut fetch = Fetch { shared: &shared, read: &read, etag: None, sink };
    let result = fetch.span(range).await;
    let Sink { events, .. } = fetch.sink;
    in_flight.end(result.is_ok());
    // The download may be gone; then nobody wants to know.
    let _ = events.send(result.map(|()| None));
}

struct Fetch<'a> {
    shared: &'a Shared,
    read: &'a NeedleRead,
    etag: Option<HeaderValue>,
    sink: Sink,
}

impl Fetch<'_> {
    async fn span(&mut self, range: Range<u64>) -> Result<(), FetchError> {
        let mut decoder = self.read.transform.as_ref().map(|transform| transform.start(range.start));
        let mut replicas = Replicas::new(self.shared, self.read);
        let mut position = range.start;
        loop {
            let server = replicas.next().await?;
            let cause = match self.attempt(&server, position..range.end, &mut position, decoder.as_deref_mut()).await {
                Ok(()) => return Ok(()),
                Err(cause) => cause,
            };
            replicas.failed(&server, cause);
        }
    }

    /// Asks one replica; moves `position` for every byte that was taken over.
    async fn attempt(
        &mut self,
        server: &Server,
        range: Range<u64>,
        position: &mut u64,
        mut decoder: Option<&mut (dyn Decode + 'static)>,
    ) -> Result<(), Cause> {
        let shared = self.shared;
        let _place = server.admit().await;
        let answer =
            send(shared, server, self.read, &Wanted::Range { range: range.clone(), size: self.read.size }).await?;
        self.same_needle(answer.headers().get(header::ETAG))?;
        let mut body = answer.into_body();
        while *position < range.end {
            let frame = tokio::select! {
                biased;
                frame = timeout(shared.settings.idle_timeout, body.frame()) => frame.map_err(|_| Cause::Timeout)?,
                () = self.sink.wanted() => {
                    self.sink.flush();
                    continue;
                }
            };
            let frame = frame
                .ok_or_else(|| Cause::Length(format!("ended {} bytes early", range.end - *position).into()))?
                .map_err(|error| Cause::Broken(chain(&*error).into()))?;
            let Ok(data) = frame.into_data() else { continue };
            shared.metrics.bytes.inc_by(data.len() as u64);
            if data.len() as u64 > range.end - *position {
                return Err(Cause::Length("sent more bytes than announced".into()));
            }
            self.sink.copy(&data, decoder.as_deref_mut());
            *position += data.len() as u64;
        }
        self.sink.flush();
        Ok(())
    }

    fn same_needle(&mut self, etag: Option<&HeaderValue>) -> Result<(), Cause> {
        match (&self.etag, etag) {
            (Some(first), Some(now)) if first != now => return Err(Cause::Changed),
            (None, Some(now)) => self.etag = Some(now.clone()),
            _ => {}
        }
        Ok(())
    }
}

/// Where decoded bytes go.
struct Sink {
    allotment: Allotment,
    block: Option<Block>,
    /// Bytes of the span that were not copied yet.
    left: u64,
    hungry: Arc<Notify>,
    events: mpsc::UnboundedSender<Event>,
}

impl Sink {
    /// Resolves when the client waits and there is something to pass on.
    async fn wanted(&self) {
        if self.block.as_ref().is_none_or(|block| block.filled().is_empty()) {
            return std::future::pending().await;
        }
        self.hungry.notified().await;
    }

    fn copy(&mut self, mut data: &[u8], mut decoder: Option<&mut (dyn Decode + 'static)>) {
        self.left -= data.len() as u64;
        while !data.is_empty() {
            let block = self.block.get_or_insert_with(|| self.allotment.block());
            let spare = block.spare();
            let bytes = spare.len().min(data.len());
            let (now, rest) = data.split_at(bytes);
            match &mut decoder {
                Some(decoder) => decoder.copy(now, &mut spare[..bytes]),
                None => spare[..bytes].copy_from_slice(now),
            }
            block.advance(bytes);
            data = rest;
            if block.spare().is_empty() {
                self.flush();
            }
        }
    }

    /// Passes on what the block holds. While more is to come and the block is not full, its bytes go as a copy, so that
    /// the reservation, which counts full blocks, still suffices.
    fn flush(&mut self) {
        let Some(mut block) = self.block.take() else { return };
        if block.filled().is_empty() {
            return;
        }
        let bytes = if self.left == 0 || block.filled().len() == BLOCK {
            block.freeze()
        } else {
            let bytes = Bytes::copy_from_slice(block.filled());
            block.clear();
            self.block = Some(block);
            bytes
        };
        let _ = self.events.send(Ok(Some(bytes)));
    }
}

/// The replicas of a needle, each tried once per lookup.
pub(crate) struct Replicas<'a> {
    shared: &'a Shared,
    volume: u32,
    fid: Arc<str>,
    locations: Option<crate::Locations>,
    tried: Vec<Arc<str>>,
    refreshed: bool,
    last: Option<(Arc<str>, Cause)>,
}

impl<'a> Replicas<'a> {
    pub(crate) fn new(shared: &'a Shared, read: &NeedleRead) -> Self {
        Self {
            shared,
            volume: read.volume,
            fid: Arc::clone(&read.fid),
            locations: None,
            tried: Vec::new(),
            refreshed: false,
            last: None,
        }
    }

    /// The next one to ask. An error when every one has failed twice over.
    pub(crate) async fn next(&mut self) -> Result<Arc<Server>, FetchError> {
        loop {
            let locations = match &self.locations {
                Some(locations) => locations,
                None => {
                    let found = self.shared.locate.locate(self.volume, self.refreshed).await;
                    let found = found.map_err(|reason| FetchError::Locate { volume: self.volume, reason })?;
                    self.locations.insert(found)
                }
            };
            if let Some(server) = self.shared.servers.choose(locations, &self.tried) {
                if let Some((_, cause)) = &self.last {
                    self.shared.metrics.retries.with_label_values(&[cause.reason()]).inc();
                }
                return Ok(server);
            }
            if self.refreshed {
                return Err(self.exhausted());
            }
            self.refreshed = true;
            self.locations = None;
            self.tried.clear();
        }
    }

    /// Says that `server` failed.
    pub(crate) fn failed(&mut self, server: &Server, cause: Cause) {
        tracing::debug!(fid = &*self.fid, server = &*server.authority, %cause, "fetch attempt failed");
        self.tried.push(Arc::clone(&server.authority));
        self.last = Some((Arc::clone(&server.authority), cause));
    }

    fn exhausted(&self) -> FetchError {
        match &self.last {
            Some((server, cause)) => {
                FetchError::Exhausted { fid: Arc::clone(&self.fid), server: Arc::clone(server), cause: cause.clone() }
            }
            None => FetchError::NoLocation(self.volume),
        }
    }
}

/// Which bytes a request asks for.
pub(crate) enum Wanted {
    /// These of a needle that is `size` bytes long.
    Range { range: Range<u64>, size: u64 },
    /// All of a needle, whatever its length.
    Whole,
}

/// Sends one request and checks the head of the answer.
pub(crate) async fn send(
    shared: &Shared,
    server: &Server,
    read: &NeedleRead,
    wanted: &Wanted,
) -> Result<Response<UpstreamBody>, Cause> {
    let mut request = Request::get(format!("http://{}/{}", server.authority, read.fid));
    let partial = match wanted {
        Wanted::Range { range, size } if range.start > 0 || range.end < *size => {
            request = request.header(header::RANGE, format!("bytes={}-{}", range.start, range.end - 1));
            true
        }
        _ => false,
    };
    if let Some(token) = shared.locate.authorize(&read.fid) {
        request = request.header(header::AUTHORIZATION, token);
    }
    let request = request.body(()).map_err(|error| Cause::Connect(error.to_string().into()))?;
    let answer = timeout(shared.settings.first_byte_timeout, shared.upstream.send(request)).await;
    let answer = answer.map_err(|_| Cause::Timeout)?.map_err(Cause::Connect)?;
    match answer.status() {
        StatusCode::OK if !partial => {}
        StatusCode::PARTIAL_CONTENT if partial => {}
        StatusCode::NOT_FOUND => return Err(Cause::NotFound),
        other => return Err(Cause::Status(other.as_u16())),
    }
    if let Wanted::Range { range, size } = wanted {
        check_length(&answer, range, *size, partial)?;
    }
    Ok(answer)
}

fn check_length(answer: &Response<UpstreamBody>, range: &Range<u64>, size: u64, partial: bool) -> Result<(), Cause> {
    let text = |name| answer.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if partial {
        let expected = format!("bytes {}-{}/{}", range.start, range.end - 1, size);
        match text(header::CONTENT_RANGE) {
            Some(given) if given == expected => {}
            given => return Err(Cause::Length(format!("Content-Range {given:?} instead of {expected:?}").into())),
        }
    }
    let expected = range.end - range.start;
    match text(header::CONTENT_LENGTH).map(str::parse::<u64>) {
        Some(Ok(length)) if length != expected => {
            Err(Cause::Length(format!("Content-Length {length} instead of {expected}").into()))
        }
        _ => Ok(()),
    }
}
