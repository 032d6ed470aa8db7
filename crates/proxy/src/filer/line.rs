//! One filer's gRPC connection, and its successor where it stands still.
//!
//! A machine that goes away without a word leaves a connection on which nothing comes any more, while new ones may reach
//! the filer at once. So a connection is not waited for to break: one that answers takes its place.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, uri::PathAndQuery};
use tokio::{sync::watch, time::timeout};
use tonic::{Code, Request, Status, Streaming, client::Grpc, metadata::MetadataMap, transport::Channel};
use tonic_prost::ProstCodec;

use super::status;
use crate::{correlation::Correlation, pb};

/// How long one filer may take to answer one call.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// Largest answer that is taken, in bytes: an entry of some hundred thousand chunks.
const MAX_MESSAGE: usize = 64 << 20;

/// What the filer calls the id of a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// Where no entry is: that it is not there is found out in the filer's store.
const DIRECTORY: &str = "/.tidegate";
const NAME: &str = "does-a-lookup-work";

/// The question for an entry that is not there.
pub(super) fn question() -> pb::LookupDirectoryEntryRequest {
    pb::LookupDirectoryEntryRequest { directory: DIRECTORY.to_owned(), name: NAME.to_owned() }
}

/// A channel, and the counter of the connections that it begins.
pub(super) type CountedChannel = (Channel, Arc<AtomicU64>);

/// A channel to a filer. It connects again by itself when its connection breaks, but not when that stands still.
pub(super) struct Line {
    channel: Channel,
    begun: Arc<AtomicU64>,
    /// The connections of the lines before it.
    before: u64,
}

impl Line {
    fn new((channel, begun): CountedChannel, before: u64) -> Self {
        Self { channel, begun, before }
    }

    /// How many connections there were to the filer, with those of the lines before.
    fn connections(&self) -> u64 {
        self.before + self.begun.load(Ordering::Acquire)
    }

    /// Calls a method, and waits for ten seconds at most.
    pub(super) async fn call<Q, A>(&self, method: &str, message: Q) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let path = path_of(method)?;
        let mut request = Request::new(message);
        request.set_timeout(CALL_DEADLINE);
        name(&mut request);
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let call = async {
            grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
            grpc.unary(request, path, ProstCodec::default()).await
        };
        // The channel's own timeout ends with the answer's headers; this one covers the message too.
        match timeout(CALL_DEADLINE, call).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::new(Code::DeadlineExceeded, format!("no answer within {CALL_DEADLINE:?}"))),
        }
    }

    /// Looks for the entry that is not there.
    pub(super) async fn answers(&self) -> Result<(), Status> {
        let found: Result<pb::LookupDirectoryEntryResponse, _> = self.call("LookupDirectoryEntry", question()).await;
        match found {
            Err(status) if !status::is_not_found(&status) => Err(status),
            _ => Ok(()),
        }
    }

    /// Calls a method that answers with a stream. There is no deadline.
    async fn stream<Q, A>(&self, method: &str, message: Q) -> Result<Streaming<A>, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let path = path_of(method)?;
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        grpc.server_streaming(Request::new(message), path, ProstCodec::default()).await.map(tonic::Response::into_inner)
    }
}

/// Says what the request is called for which this is, so that the filer's log has it (`requestIDUnaryInterceptor` in
/// `weed/pb/grpc_client_server.go` @4.48). It goes as it is, without being written anew for each call.
fn name<Q>(call: &mut Request<Q>) {
    if let Some(current) = Correlation::current() {
        let mut headers = std::mem::take(call.metadata_mut()).into_headers();
        headers.insert(REQUEST_ID, current.id.value().clone());
        *call.metadata_mut() = MetadataMap::from_headers(headers);
    }
}

fn path_of(method: &str) -> Result<PathAndQuery, Status> {
    PathAndQuery::try_from(format!("/{}/{method}", pb::SERVICE))
        .map_err(|_| Status::new(Code::Internal, "not a method name"))
}

/// One filer: where it answers gRPC, and where HTTP.
pub(super) struct Filer {
    pub(super) grpc_authority: String,
    pub(super) http_authority: String,
    dial: Box<dyn Fn() -> CountedChannel + Send + Sync>,
    line: watch::Sender<Arc<Line>>,
}

impl Filer {
    /// A filer at these authorities (`host:port`), reached over what `dial` gives.
    pub(super) fn new(
        grpc_authority: String,
        http_authority: String,
        dial: impl Fn() -> CountedChannel + Send + Sync + 'static,
    ) -> Self {
        let line = watch::Sender::new(Arc::new(Line::new(dial(), 0)));
        Self { grpc_authority, http_authority, dial: Box::new(dial), line }
    }

    /// The line that is in use.
    pub(super) fn line(&self) -> Arc<Line> {
        Arc::clone(&self.line.borrow())
    }

    /// The line that is in use, and those that take its place later.
    pub(super) fn lines(&self) -> watch::Receiver<Arc<Line>> {
        self.line.subscribe()
    }

    /// Another line, that nobody uses yet.
    pub(super) fn another_line(&self) -> Line {
        // One more than there were: no number is that of two connections.
        Line::new((self.dial)(), self.connections() + 1)
    }

    /// Puts `line` in the place of the one that is in use.
    pub(super) fn replace(&self, line: Line) {
        self.line.send_replace(Arc::new(line));
    }

    /// How many connections were begun, of those that anything was answered over.
    pub(super) fn connections(&self) -> u64 {
        self.line.borrow().connections()
    }

    /// Calls a method. Where the line is replaced meanwhile, the new one is asked as well: the answer that comes first counts.
    pub(super) async fn call<Q, A>(&self, method: &str, message: Q) -> Result<A, Status>
    where
        Q: prost::Message + Clone + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut lines = self.lines();
        let line = Arc::clone(&lines.borrow_and_update());
        let mut call = std::pin::pin!(line.call(method, message.clone()));
        tokio::select! {
            biased;
            answer = &mut call => return answer,
            Ok(()) = lines.changed() => {}
        }
        let line = self.line();
        let again = line.call(method, message);
        tokio::select! {
            Ok(answer) = &mut call => Ok(answer),
            answer = again => answer,
        }
    }

    /// As [`call`](Self::call) for a method that answers with a stream, over the line that is in use.
    pub(super) async fn stream<Q, A>(&self, method: &str, message: Q) -> Result<Streaming<A>, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        self.line().stream(method, message).await
    }
}

impl fmt::Debug for Filer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filer").field("grpc", &self.grpc_authority).field("http", &self.http_authority).finish()
    }
}
