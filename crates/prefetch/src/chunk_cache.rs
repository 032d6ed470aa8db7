//! Hot chunks in memory, as they are stored, between the fetches and the volume servers.
//!
//! Knows needles by their id, and that a needle never changes under its id: so what is kept cannot be stale. Must not
//! know what the bytes mean: what is encrypted on the volume is encrypted here.
//!
//! Kept are needles of up to [`LARGEST`] bytes that somebody read whole and whose CRC-32C is the one that the server
//! named. A stream of large chunks passes by; a stream of small ones does not push out what is asked for more often
//! (moka's TinyLFU decides who stays). Ranges of what is kept are served from it; a range of what is not is fetched as it
//! is, so that nobody fetches more than was asked for. A needle that the server inflates on the way has another checksum
//! and is not kept.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use moka::future::Cache;

use crate::{
    Upstream, UpstreamBody,
    upstream::{Answer, chain},
};

/// The largest needle that is kept, in bytes.
const LARGEST: u64 = 1 << 20;
/// What a needle takes in memory beside its bytes.
const OVERHEAD: usize = 256;

/// Says that a request asks for a whole needle of that many bytes. Goes with the request as an extension.
#[derive(Clone, Copy)]
pub(crate) struct WholeNeedle(pub(crate) u64);

/// Called for every lookup: whether the bytes were here, or on their way here for somebody else.
pub type OnLookup = Box<dyn Fn(bool) + Send + Sync>;

/// An [`Upstream`] that remembers.
pub struct ChunkCache<U> {
    upstream: U,
    kept: Cache<Arc<str>, Needle>,
    /// What is being fetched, by its URL: two replicas may be asked at once, so that a slow one can be overtaken.
    flights: Cache<String, Needle>,
    on_lookup: OnLookup,
}

#[derive(Clone)]
struct Needle {
    bytes: Bytes,
    etag: HeaderValue,
}

/// Why a needle is not kept, for all who waited for it.
enum Unkept {
    /// There was no whole answer.
    Failed(Arc<str>),
    /// The answer, for whoever comes first.
    Other(Mutex<Option<Response<UpstreamBody>>>),
}

impl<U: Upstream> ChunkCache<U> {
    /// Keeps up to `bytes` of what comes from `upstream`.
    pub fn new(upstream: U, bytes: u64, on_lookup: OnLookup) -> Self {
        let kept = Cache::builder()
            .max_capacity(bytes)
            .weigher(|fid: &Arc<str>, needle: &Needle| {
                u32::try_from(needle.bytes.len() + fid.len() + OVERHEAD).unwrap_or(u32::MAX)
            })
            .build();
        let flights = Cache::builder().max_capacity(0).build();
        Self { upstream, kept, flights, on_lookup }
    }

    async fn whole(&self, request: Request<()>, size: u64) -> Result<Response<UpstreamBody>, Arc<str>> {
        let fid: Arc<str> = request.uri().path().trim_start_matches('/').into();
        if let Some(needle) = self.kept.get(&fid).await {
            (self.on_lookup)(true);
            return Ok(answer(needle));
        }
        let mut fetched = false;
        let fetch = async {
            fetched = true;
            let needle = self.fetch(again(&request), size).await?;
            self.kept.insert(fid, needle.clone()).await;
            Ok(needle)
        };
        // Whoever asks the same server for the same needle meanwhile waits for this answer.
        let outcome = self.flights.try_get_with(request.uri().to_string(), fetch).await;
        (self.on_lookup)(!fetched);
        match outcome {
            Ok(needle) => Ok(answer(needle)),
            Err(unkept) => match &*unkept {
                Unkept::Failed(reason) => Err(Arc::clone(reason)),
                Unkept::Other(answer) => {
                    let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
                    match answer {
                        Some(answer) => Ok(answer),
                        None => self.upstream.send(request).await,
                    }
                }
            },
        }
    }

    async fn fetch(&self, request: Request<()>, size: u64) -> Result<Needle, Unkept> {
        let other = |answer| Unkept::Other(Mutex::new(Some(answer)));
        let answer = self.upstream.send(request).await.map_err(Unkept::Failed)?;
        let announced = answer.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        if answer.status() != StatusCode::OK || announced.and_then(|length| length.parse().ok()) != Some(size) {
            return Err(other(answer));
        }
        let (head, mut body) = answer.into_parts();
        // Put together once: the connection's buffer, of which a slice would hold on to all, is free again at once.
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Unkept::Failed(chain(&*error).into()))?;
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
        let bytes = Bytes::from(bytes);
        match head.headers.get(header::ETAG) {
            Some(etag) if bytes.len() as u64 == size && names_checksum_of(etag, &bytes) => {
                Ok(Needle { etag: etag.clone(), bytes })
            }
            _ => Err(other(Response::from_parts(head, full(bytes)))),
        }
    }
}

impl<U: Upstream> Upstream for ChunkCache<U> {
    fn send(&self, request: Request<()>) -> Answer<'_> {
        match request.extensions().get() {
            Some(&WholeNeedle(size)) if size <= LARGEST => Box::pin(self.whole(request, size)),
            _ => self.upstream.send(request),
        }
    }

    fn holds(&self, fid: &str) -> bool {
        self.kept.contains_key(fid)
    }

    fn held(&self, fid: &str) -> Option<Bytes> {
        // It waits only while the cache puts itself in order; then the needle is asked for as if it were not here.
        let needle = self.kept.get(fid).now_or_never()??;
        (self.on_lookup)(true);
        Some(needle.bytes)
    }
}

fn again(request: &Request<()>) -> Request<()> {
    let mut again = Request::new(());
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    again
}

fn answer(needle: Needle) -> Response<UpstreamBody> {
    let length = HeaderValue::from(needle.bytes.len());
    let mut answer = Response::new(full(needle.bytes));
    *answer.headers_mut() = HeaderMap::from_iter([(header::ETAG, needle.etag), (header::CONTENT_LENGTH, length)]);
    answer
}

fn full(bytes: Bytes) -> UpstreamBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The ETag of a volume server is the CRC-32C of the stored bytes, 8 hex digits in quotes.
fn names_checksum_of(etag: &HeaderValue, bytes: &[u8]) -> bool {
    let digits = etag.to_str().ok().and_then(|etag| etag.strip_prefix('"')?.strip_suffix('"'));
    digits.is_some_and(|digits| digits.len() == 8 && u32::from_str_radix(digits, 16) == Ok(crc32c::crc32c(bytes)))
}

#[cfg(test)]
mod tests;
