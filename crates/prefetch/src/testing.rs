//! A scripted upstream: volume servers in memory that answer late, wrongly or not at all, as a test tells them.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, IoSliceMut, Write as _},
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{Stream, StreamExt, stream};
use http::{Method, Request, Response, StatusCode, header};
use prometheus::Registry;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::StreamReader;

use crate::{
    Body, ChunkCache, Decode, Download, Engine, FetchError, Locate, Locations, LocationsFuture, Metrics, NeedleRead,
    Opener, Piece, Plan, Settings, SharedError, Start, Transform, Upstream, UpstreamBody, upstream::Answer,
};

/// What one request meets instead of a plain answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// No connection.
    Refuse,
    /// Nothing ever comes.
    Hang,
    /// That status.
    Status(u16),
    /// The server is over its download limit, and the volume has replicas.
    OverLimit,
    /// The body breaks off with an error after so many bytes.
    BreakAfter(usize),
    /// The body ends cleanly after so many bytes.
    EndAfter(usize),
    /// The body stalls for ever after so many bytes.
    StallAfter(usize),
    /// Another ETag.
    OtherNeedle,
    /// One bit of that byte is flipped.
    Flip(usize),
    /// The same, but only where the needle is asked for whole: of a part, nobody can notice.
    FlipWhole(usize),
    /// The server keeps the needle compressed: its ETag is of other bytes than it sends.
    Inflated,
    /// The answer begins that much later.
    Late(Duration),
    /// Another ETag, and other bytes.
    Replaced,
    /// An ETag that is neither the needle's nor that of any other fault, and one bit of that byte is flipped.
    ReplacedAt(usize),
    /// No ETag, and one bit of that byte is flipped.
    UnnamedFlip(usize),
    /// The server keeps the needle compressed, and the body breaks off with an error after so many bytes.
    InflatedBreakAfter(usize),
    /// That much time passes before each 10,000 bytes of the body.
    Trickle(Duration),
}

/// The state that tests look at.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) needles: HashMap<String, Bytes>,
    /// What those needles inflate to that are stored as gzip.
    pub(crate) texts: HashMap<String, Bytes>,
    /// Faults of the next requests to a server, in order.
    pub(crate) faults: HashMap<String, VecDeque<Fault>>,
    /// `server fid range` of every request.
    pub(crate) requests: Vec<String>,
    pub(crate) open: usize,
    pub(crate) most_open: usize,
    pub(crate) latency: Duration,
    /// Servers by lookup: the first list is given first, the last one for ever. Where [`NO_FILER`] is among them the lookup fails.
    pub(crate) locations: VecDeque<Vec<&'static str>>,
}

/// In place of a server: nobody tells.
pub(crate) const NO_FILER: &str = "no filer";

#[derive(Clone, Default)]
pub(crate) struct Script(pub(crate) Arc<Mutex<World>>);

struct Open(Script);

impl Open {
    fn new(script: &Script) -> Self {
        let mut world = script.0.lock().unwrap();
        world.open += 1;
        world.most_open = world.most_open.max(world.open);
        Self(script.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().open -= 1;
    }
}

impl Upstream for Script {
    fn send(&self, request: Request<()>) -> Answer<'_> {
        Box::pin(async move {
            let server = request.uri().authority().unwrap().to_string();
            let fid = request.uri().path().trim_start_matches('/').to_owned();
            let range = request.headers().get(header::RANGE).map(|value| value.to_str().unwrap().to_owned());
            let open = Open::new(self);
            let (encoded, stored_crc);
            let (needle, fault, latency) = {
                let mut world = self.0.lock().unwrap();
                let takes_gzip = request.headers().contains_key(header::ACCEPT_ENCODING);
                let text = world.texts.get(&fid).cloned();
                let how = match (&text, request.method()) {
                    (_, &Method::HEAD) => "head",
                    (Some(_), _) if takes_gzip => "gzip",
                    _ => range.as_deref().unwrap_or("whole"),
                };
                world.requests.push(format!("{server} {fid} {how}"));
                let fault = world.faults.get_mut(&server).and_then(VecDeque::pop_front);
                let needle = world.needles.get(&fid).cloned();
                let crc = needle.as_ref().map(|needle| crc32c::crc32c(needle));
                encoded = takes_gzip && text.is_some();
                let body = if encoded { needle } else { text.or(needle) };
                stored_crc = crc.unwrap_or(0);
                (body, fault, world.latency)
            };
            let late = if let Some(Fault::Late(late)) = fault { late } else { Duration::ZERO };
            tokio::time::sleep(latency + late).await;
            match &fault {
                Some(Fault::Refuse) => {
                    return Err(refused());
                }
                Some(Fault::Hang) => std::future::pending().await,
                Some(Fault::Status(status)) => return Ok(empty(StatusCode::from_u16(*status).unwrap())),
                Some(Fault::OverLimit) => {
                    let waits = request.uri().query() == Some("proxied=true");
                    let status = if waits { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::MOVED_PERMANENTLY };
                    return Ok(empty(status));
                }
                _ => {}
            }
            let Some(needle) = needle else { return Ok(empty(StatusCode::NOT_FOUND)) };
            let mut answer = Response::builder();
            let mut body = match &range {
                None => needle.clone(),
                Some(range) => {
                    let (from, to) = range.trim_start_matches("bytes=").split_once('-').unwrap();
                    let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
                    let content = format!("bytes {from}-{to}/{}", needle.len());
                    answer = answer.status(206).header(header::CONTENT_RANGE, content);
                    needle.slice(from..=to)
                }
            };
            answer = answer.header(header::CONTENT_LENGTH, body.len());
            if encoded {
                answer = answer.header(header::CONTENT_ENCODING, "gzip");
            }
            let crc = stored_crc
                ^ match fault {
                    Some(Fault::OtherNeedle | Fault::Replaced | Fault::Inflated | Fault::InflatedBreakAfter(_)) => 1,
                    Some(Fault::ReplacedAt(_)) => 2,
                    _ => 0,
                };
            if request.headers().contains_key(header::ACCEPT_ENCODING) && matches!(fault, Some(Fault::Inflated)) {
                answer = answer.header(header::CONTENT_ENCODING, "gzip");
            }
            if !matches!(fault, Some(Fault::UnnamedFlip(_))) {
                answer = answer.header(header::ETAG, format!("\"{crc:08x}\""));
            }
            let flip = match fault {
                Some(Fault::Flip(at) | Fault::UnnamedFlip(at) | Fault::ReplacedAt(at)) => Some(at),
                Some(Fault::FlipWhole(at)) if range.is_none() => Some(at),
                Some(Fault::Replaced) => Some(0),
                _ => None,
            };
            if let Some(at) = flip.filter(|at| *at < body.len()) {
                let mut flipped = body.to_vec();
                flipped[at] ^= 4;
                body = flipped.into();
            }
            let end = match fault {
                Some(Fault::BreakAfter(bytes) | Fault::InflatedBreakAfter(bytes)) => Some((bytes, true)),
                Some(Fault::EndAfter(bytes)) => {
                    body.truncate(bytes);
                    None
                }
                Some(Fault::StallAfter(bytes)) => Some((bytes, false)),
                _ => None,
            };
            if let Some((bytes, _)) = end {
                body.truncate(bytes);
            }
            let frames: Vec<_> = body.chunks(10_000).map(|part| Ok(body.slice_ref(part))).collect();
            let tail = stream::once(async move {
                let _open = open;
                match end {
                    Some((_, true)) => Some(Err(io::Error::from(io::ErrorKind::ConnectionReset))),
                    Some((_, false)) => std::future::pending().await,
                    None => None,
                }
            });
            let pause = if let Some(Fault::Trickle(pause)) = fault { pause } else { Duration::ZERO };
            let frames = stream::iter(frames).then(move |frame| async move {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                frame
            });
            let frames = frames.chain(tail.filter_map(|end| async { end }));
            Ok(answer.body(body_of(frames)).unwrap())
        })
    }
}

fn empty(status: StatusCode) -> Response<UpstreamBody> {
    Response::builder().status(status).body(body_of(stream::empty())).unwrap()
}

/// A body that comes in these pieces.
pub(crate) fn body_of(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> UpstreamBody {
    Box::pin(Pieces(Box::pin(StreamReader::new(pieces))))
}

struct Pieces(Pin<Box<dyn AsyncRead + Send>>);

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, into)
    }
}

impl Body for Pieces {
    fn poll_read_many(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut read = 0;
        for slice in slices {
            let mut into = ReadBuf::new(slice);
            match self.0.as_mut().poll_read(cx, &mut into) {
                Poll::Ready(Err(error)) if read == 0 => return Poll::Ready(Err(error)),
                Poll::Pending if read == 0 => return Poll::Pending,
                Poll::Ready(Ok(())) => read += into.filled().len(),
                // It is found again by the next read.
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
            if into.remaining() > 0 {
                break;
            }
        }
        Poll::Ready(Ok(read))
    }
}

impl Locate for Script {
    fn locate(&self, _volume: u32, _fresh: bool) -> LocationsFuture<'_> {
        let mut world = self.0.lock().unwrap();
        let servers = if world.locations.len() > 1 {
            world.locations.pop_front().unwrap()
        } else {
            world.locations.front().cloned().unwrap_or_else(|| vec!["a:1"])
        };
        let servers: Locations = servers.into_iter().map(Arc::from).collect();
        Box::pin(async move { if servers.contains(&NO_FILER.into()) { Err(refused()) } else { Ok(servers) } })
    }
}

/// What a server that accepts no connection makes.
pub(crate) fn refused() -> SharedError {
    Arc::new(io::Error::from(io::ErrorKind::ConnectionRefused))
}

/// Opens a needle to what is stored.
pub(crate) struct AsItIs;

impl Opener for AsItIs {
    fn open(&self, stored: &mut [u8]) -> Result<Range<usize>, SharedError> {
        Ok(0..stored.len())
    }
}

/// XORs with the low byte of the position: wrong as soon as a position is.
pub(crate) struct Positional;

struct PositionalDecoder(u64);

impl Transform for Positional {
    fn start(&self, offset: u64) -> Start<'_> {
        Start::Now(Box::new(PositionalDecoder(offset)))
    }
}

impl Decode for PositionalDecoder {
    fn apply(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte ^= self.0 as u8;
            self.0 += 1;
        }
    }

    fn copy(&mut self, src: &[u8], dst: &mut [u8]) {
        dst.copy_from_slice(src);
        self.apply(dst);
    }
}

impl Script {
    pub(crate) fn engine(&self, settings: Settings) -> (Engine, Metrics) {
        let metrics = Metrics::register(&Registry::new()).unwrap();
        (Engine::new(settings, Arc::new(self.clone()), None, Arc::new(self.clone()), metrics.clone()), metrics)
    }

    /// One that keeps small chunks.
    pub(crate) fn engine_with(&self, settings: Settings, cache: ChunkCache) -> (Engine, Metrics) {
        let metrics = Metrics::register(&Registry::new()).unwrap();
        (Engine::new(settings, Arc::new(self.clone()), Some(cache), Arc::new(self.clone()), metrics.clone()), metrics)
    }

    /// Stores a needle of `size` bytes; gives the piece that reads it and the bytes that the piece should give.
    pub(crate) fn needle(&self, key: u32, size: usize) -> (NeedleRead, Vec<u8>) {
        let plain: Vec<u8> = (0..size).map(|at| (at / 7 + key as usize) as u8).collect();
        let stored: Vec<u8> = plain.iter().enumerate().map(|(at, byte)| byte ^ at as u8).collect();
        let fid = format!("3,{key:02x}00000001");
        self.0.lock().unwrap().needles.insert(fid.clone(), stored.into());
        let read = NeedleRead {
            chunk: key as usize,
            transform: Some(Arc::new(Positional)),
            ..NeedleRead::of(3, fid, size as u64)
        };
        (read, plain)
    }

    /// Stores a needle as gzip that inflates to `size` bytes; gives the piece that reads it and the bytes that the piece should
    /// give.
    pub(crate) fn text(&self, key: u32, size: usize) -> (NeedleRead, Vec<u8>) {
        let (mut read, plain) = self.needle(key, size);
        let text = self.0.lock().unwrap().needles[&*read.fid].clone();
        self.store(&read.fid, &text, true);
        read.compressed = true;
        (read, plain)
    }

    /// Stores a needle under this fid, as gzip where it is a text.
    pub(crate) fn store(&self, fid: &str, bytes: &Bytes, is_text: bool) {
        let mut world = self.0.lock().unwrap();
        if !is_text {
            world.needles.insert(fid.to_owned(), bytes.clone());
            return;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        world.needles.insert(fid.to_owned(), encoder.finish().unwrap().into());
        world.texts.insert(fid.to_owned(), bytes.clone());
    }

    /// A plan over `count` needles of `size` bytes, and its bytes.
    pub(crate) fn needles(&self, count: u32, size: usize) -> (Plan, Vec<u8>) {
        let (pieces, bytes): (Vec<_>, Vec<_>) = (1..=count).map(|key| self.needle(key, size)).unzip();
        (pieces.into_iter().map(Piece::Needle).collect(), bytes.concat())
    }

    pub(crate) fn fault(&self, server: &str, faults: impl IntoIterator<Item = Fault>) {
        self.0.lock().unwrap().faults.entry(server.to_owned()).or_default().extend(faults);
    }

    pub(crate) fn locations(&self, lookups: impl IntoIterator<Item = Vec<&'static str>>) {
        self.0.lock().unwrap().locations = lookups.into_iter().collect();
    }

    pub(crate) fn latency(&self, latency: Duration) {
        self.0.lock().unwrap().latency = latency;
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().requests.clone()
    }
}

/// All bytes of a download, or how it failed after how many.
pub(crate) async fn collect(download: Download) -> Result<Vec<u8>, (usize, FetchError)> {
    let mut bytes = Vec::new();
    let mut download = std::pin::pin!(download);
    while let Some(next) = download.next().await {
        match next {
            Ok(next) => bytes.extend_from_slice(&next),
            Err(error) => return Err((bytes.len(), error)),
        }
    }
    Ok(bytes)
}
