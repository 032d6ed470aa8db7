//! The requests that run, for whoever wants to see them: what each is, and how far its answer is.
//!
//! Knows what the head of a request and its answer say, and the bytes that go out. Must not know a query, or any header:
//! there may be secrets in all of them.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Method, Request, Response, Uri};
use http_body::Body as _;
use tokio::time::Instant;

use super::watched::{End, Watch, WatchedBody};
use crate::{
    metrics::{FrontLabel, SseLabel},
    wire::{Front, Layer, Peer, RelayedAnswer, RequestBody, RequestId},
};

/// Parts of the list, so that who looks at it does not keep all others waiting.
const SHARDS: usize = 16;
/// A rate is that of this time at least, so that somebody who looks often does not make it jump.
const SPAN: Duration = Duration::from_millis(900);

/// All requests that run. Clones are the same list.
#[derive(Clone, Default)]
pub(crate) struct RunningRequests(Arc<List>);

#[derive(Default)]
struct List {
    next: AtomicU64,
    shards: [Mutex<HashMap<u64, Arc<Exchange>>>; SHARDS],
}

/// A request whose answer is not out.
pub(crate) struct Exchange {
    pub(crate) id: RequestId,
    pub(crate) front: FrontLabel,
    pub(crate) peer: IpAddr,
    pub(crate) method: Method,
    pub(crate) started: Instant,
    uri: Uri,
    answer: OnceLock<Answer>,
    sent: AtomicU64,
    mark: Mutex<RateMark>,
}

/// What is known of an answer when it begins.
#[derive(Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) sse: SseLabel,
    pub(crate) is_relayed: bool,
    /// Bytes of its body; `None`: not known.
    pub(crate) total: Option<u64>,
}

/// When somebody looked, and what was out by then.
struct RateMark {
    at: Instant,
    sent: u64,
    rate: u64,
}

impl RunningRequests {
    /// All of them, in no order. What ends meanwhile may be among them.
    pub(crate) fn all(&self) -> Vec<Arc<Exchange>> {
        self.0.shards.iter().flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>()).collect()
    }

    fn begin(&self, exchange: Exchange) -> Entry {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let exchange = Arc::new(exchange);
        lock(self.0.shard(number)).insert(number, Arc::clone(&exchange));
        Entry { list: Arc::clone(&self.0), number, exchange }
    }
}

impl List {
    fn shard(&self, number: u64) -> &Mutex<HashMap<u64, Arc<Exchange>>> {
        &self.shards[number as usize % SHARDS]
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Exchange {
    /// As the client wrote it, without the query.
    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    /// `None`: there is none yet.
    pub(crate) fn answer(&self) -> Option<Answer> {
        self.answer.get().copied()
    }

    /// Bytes of the answer's body that are out.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes a second, since somebody looked before, or else since the request came.
    pub(crate) fn rate(&self) -> u64 {
        let (now, sent) = (Instant::now(), self.sent());
        let mut mark = lock(&self.mark);
        let time = now.duration_since(mark.at);
        if time >= SPAN {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            *mark = RateMark { at: now, sent, rate: (sent - mark.sent).saturating_mul(1000) / millis };
        }
        mark.rate
    }
}

/// An exchange's place in the list, until it is dropped.
pub(crate) struct Entry {
    list: Arc<List>,
    number: u64,
    exchange: Arc<Exchange>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(self.list.shard(self.number)).remove(&self.number);
    }
}

impl Watch for Entry {
    fn sent(&mut self, bytes: u64) {
        self.exchange.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The body may be held for a while after its last byte.
    fn ended(&mut self, _: End) {
        lock(self.list.shard(self.number)).remove(&self.number);
    }
}

/// Has the requests of the front inside in the list while they run.
pub(crate) struct ListingLayer<F> {
    front: F,
    label: FrontLabel,
    running: RunningRequests,
}

impl<F> ListingLayer<F> {
    /// The fronts that share `running` are in one list.
    pub(crate) fn new(front: F, label: FrontLabel, running: RunningRequests) -> Self {
        Self { front, label, running }
    }
}

impl<F: Front> Layer for ListingLayer<F> {
    type Inner = F;
    type Body = WatchedBody<F::Body, Entry>;

    fn inner(&self) -> &F {
        &self.front
    }

    async fn pass(&self, request: Request<RequestBody>, peer: Peer) -> Response<Self::Body> {
        let (now, method) = (Instant::now(), request.method().clone());
        let entry = self.running.begin(Exchange {
            id: RequestId::of(request.extensions()),
            front: self.label,
            peer: peer.client,
            method: method.clone(),
            started: now,
            uri: request.uri().clone(),
            answer: OnceLock::new(),
            sent: AtomicU64::new(0),
            mark: Mutex::new(RateMark { at: now, sent: 0, rate: 0 }),
        });
        let response = self.front.handle(request, peer).await;
        let extensions = response.extensions();
        let answer = Answer {
            status: response.status().as_u16(),
            sse: extensions.get().copied().unwrap_or_default(),
            is_relayed: extensions.get::<RelayedAnswer>().is_some(),
            total: response.body().size_hint().exact(),
        };
        // It is set here alone.
        let _ = entry.exchange.answer.set(answer);
        WatchedBody::of(response, &method, entry)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;
    use http_body_util::BodyExt as _;
    use tokio::time::advance;

    use super::*;
    use crate::{server::testing::FrontFn, wire};

    type Answering = FrontFn<fn(Request<RequestBody>, Peer) -> std::future::Ready<Response<wire::Body>>>;

    fn listed() -> ListingLayer<Answering> {
        fn answer(_: Request<RequestBody>, _: Peer) -> std::future::Ready<Response<wire::Body>> {
            let pieces = stream::iter([Ok(Bytes::from(vec![0; 4000])), Ok(Bytes::from(vec![0; 6000]))]);
            let mut response = Response::new(wire::Body::from_stream(Some(10_000), pieces));
            response.extensions_mut().insert(SseLabel::Kms);
            std::future::ready(response)
        }
        ListingLayer::new(FrontFn(answer), FrontLabel::S3, RunningRequests::default())
    }

    async fn asked(front: &ListingLayer<Answering>) -> Response<<ListingLayer<Answering> as Front>::Body> {
        let mut request = Request::new(RequestBody::none());
        *request.uri_mut() = "/a/b?sig=secret".parse().unwrap();
        front.handle(request, Peer::plain(([127, 0, 0, 7], 1).into())).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_download_is_listed_with_its_progress_until_its_last_byte() {
        let front = listed();
        let mut body = asked(&front).await.into_body();
        let one = front.running.all().pop().unwrap();
        let answer = one.answer().unwrap();
        assert_eq!((one.path(), one.peer.to_string(), one.front), ("/a/b", "127.0.0.7".into(), FrontLabel::S3));
        assert_eq!((answer.total, answer.sse, answer.is_relayed), (Some(10_000), SseLabel::Kms, false));
        body.frame().await.unwrap().unwrap();
        advance(Duration::from_secs(2)).await;
        assert_eq!((one.sent(), one.rate()), (4000, 2000));
        advance(Duration::from_millis(100)).await;
        assert_eq!(one.rate(), 2000, "who looks at once again sees the same");
        advance(Duration::from_secs(1)).await;
        assert_eq!(one.rate(), 0);
        body.frame().await.unwrap().unwrap();
        assert!(front.running.all().is_empty(), "the last byte is out, if the body is still there");
    }

    #[tokio::test]
    async fn one_that_is_left_or_waits_leaves_the_list_when_it_is_dropped() {
        let front = listed();
        let (one, other) = (asked(&front).await, asked(&front).await);
        assert_eq!(front.running.all().len(), 2);
        drop(one);
        assert_eq!(front.running.all().len(), 1);
        drop(other);
        assert!(front.running.all().is_empty());
        let never = FrontFn(|_, _| std::future::pending::<Response<wire::Body>>());
        let waiting = ListingLayer::new(never, FrontLabel::Filer, front.running.clone());
        let mut asking =
            Box::pin(waiting.handle(Request::new(RequestBody::none()), Peer::plain(([127, 0, 0, 1], 1).into())));
        assert!(futures_util::poll!(asking.as_mut()).is_pending());
        assert!(front.running.all().pop().unwrap().answer().is_none());
        drop(asking);
        assert!(front.running.all().is_empty());
    }
}
