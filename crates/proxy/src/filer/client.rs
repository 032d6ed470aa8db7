//! Unary calls to the filers, in turn until one answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{StatusCode, uri::PathAndQuery};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{connections::Counted, status};
use crate::{
    Blame, Error, Result,
    entry::{EntryPath, sealed},
    pb,
};

/// How long connecting may take before the next filer is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one filer may take to answer one call.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// The filer refuses pings that come more often than every 20 s; its own clients use 60 s and 20 s.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest answer that is taken, in bytes: an entry of some hundred thousand chunks.
const MAX_MESSAGE: usize = 64 << 20;

/// One filer: where it answers gRPC, and where HTTP.
#[derive(Debug)]
struct Filer {
    channel: Channel,
    /// How many connections the channel has begun.
    connections: Arc<AtomicU64>,
    grpc_authority: String,
    http_authority: String,
}

/// Asks the filers for entries and volumes. Cheap to share by reference or `Arc`.
#[derive(Debug)]
pub struct FilerClient {
    filers: Vec<Filer>,
    /// Index of the filer that answered last. A hint: a stale value costs one more try.
    healthy: AtomicUsize,
}

/// An entry as it was found, and how new it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The entry.
    pub entry: pb::Entry,
    /// Every event of the filer's log at or below this position (nanoseconds) is in the entry already.
    pub log_ts_ns: i64,
    /// The filer whose clock stamped the position; positions of different filers don't compare.
    pub log_signature: i32,
}

impl FilerClient {
    /// A client of the filers at `(gRPC authority, HTTP authority)`, each `host:port`, in order of preference. Connects
    /// at the first call. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Blames the configuration if there is no address, or one is not an authority.
    pub fn new(addresses: Vec<(String, String)>) -> Result<Self> {
        let channels = addresses.into_iter().map(|(grpc_authority, http_authority)| {
            let endpoint = Endpoint::from_shared(format!("http://{grpc_authority}")).map_err(|_| {
                config_error(format!("filer.addresses: `{grpc_authority}` is not host:port; write it as weed does"))
            })?;
            let connections = Arc::default();
            let connector = Counted::new(tcp(), Arc::clone(&connections));
            let channel = settings(endpoint).connect_with_connector_lazy(connector);
            Ok(Filer { channel, connections, grpc_authority, http_authority })
        });
        Self::with_filers(channels.collect::<Result<_>>()?)
    }

    /// As [`new`](Self::new), with `tls` on every connection.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_tls(addresses: Vec<(String, String)>, tls: ClientConfig) -> Result<Self> {
        let channels = addresses.into_iter().map(|(grpc_authority, http_authority)| {
            let endpoint = Endpoint::from_shared(format!("https://{grpc_authority}")).map_err(|_| {
                config_error(format!("filer.addresses: `{grpc_authority}` is not host:port; write it as weed does"))
            })?;
            let connector = HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_only().enable_http2();
            let connections = Arc::default();
            let connector = Counted::new(connector.wrap_connector(tcp()), Arc::clone(&connections));
            let channel = settings(endpoint).connect_with_connector_lazy(connector);
            Ok(Filer { channel, connections, grpc_authority, http_authority })
        });
        Self::with_filers(channels.collect::<Result<_>>()?)
    }

    /// A client over channels that somebody else has set up, with TLS for example: `(channel, gRPC authority, HTTP
    /// authority)`.
    ///
    /// # Errors
    /// Blames the configuration if there is no channel.
    pub fn with_channels(channels: Vec<(Channel, String, String)>) -> Result<Self> {
        let filers = channels.into_iter().map(|(channel, grpc_authority, http_authority)| Filer {
            channel,
            connections: Arc::default(),
            grpc_authority,
            http_authority,
        });
        Self::with_filers(filers.collect())
    }

    fn with_filers(filers: Vec<Filer>) -> Result<Self> {
        if filers.is_empty() {
            return Err(config_error("filer.addresses is empty; name at least one filer".to_owned()));
        }
        Ok(Self { filers, healthy: AtomicUsize::new(0) })
    }

    /// The HTTP authority (`host:port`) of the filer that answered last; of the first one before any has.
    pub fn http_authority(&self) -> &str {
        &self.filers[self.first()].http_authority
    }

    /// Looks an entry up. `None`: there is none.
    ///
    /// # Errors
    /// Blames the filer: 503 when none could be reached in time, 502 when one answered with an error.
    pub async fn lookup(&self, path: &EntryPath) -> Result<Option<Found>> {
        let request =
            pb::LookupDirectoryEntryRequest { directory: path.directory().to_owned(), name: path.name().to_owned() };
        let answer: Option<pb::LookupDirectoryEntryResponse> = match self.call("LookupDirectoryEntry", request).await {
            Ok(answer) => Some(answer),
            Err((_, status)) if status::is_not_found(&status) => None,
            Err((filer, status)) => return Err(status::to_error("LookupDirectoryEntry", filer, &status)),
        };
        Ok(answer.and_then(|answer| {
            let (log_ts_ns, log_signature) = (answer.log_ts_ns, answer.log_signature);
            answer.entry.map(|mut entry| {
                sealed::as_plain(&mut entry);
                Found { entry, log_ts_ns, log_signature }
            })
        }))
    }

    /// The servers that hold a volume, one per replica. Empty: nobody holds it now.
    ///
    /// # Errors
    /// As [`FilerClient::lookup`].
    pub async fn lookup_volume(&self, volume_id: u32) -> Result<Vec<pb::Location>> {
        let id = volume_id.to_string();
        let request = pb::LookupVolumeRequest { volume_ids: vec![id.clone()] };
        let mut answer: pb::LookupVolumeResponse = match self.call("LookupVolume", request).await {
            Ok(answer) => answer,
            Err((_, status)) if status::is_unknown_volume(&status, &id) => return Ok(Vec::new()),
            Err((filer, status)) => return Err(status::to_error("LookupVolume", filer, &status)),
        };
        Ok(answer.locations_map.remove(&id).map(|found| found.locations).unwrap_or_default())
    }

    /// The index of the filer that is asked first.
    pub(crate) fn preferred(&self) -> usize {
        self.first()
    }

    /// How many filers there are.
    pub(crate) fn count(&self) -> usize {
        self.filers.len()
    }

    /// How many connections were begun to the gRPC of filer `index`. All that it has answered came over one of them.
    pub(crate) fn connections(&self, index: usize) -> u64 {
        self.filers[index].connections.load(Ordering::Acquire)
    }

    /// The HTTP authority of filer `index`.
    pub(crate) fn http_name(&self, index: usize) -> &str {
        &self.filers[index].http_authority
    }

    /// The gRPC authority of filer `index`.
    pub(crate) fn name(&self, index: usize) -> &str {
        &self.filers[index].grpc_authority
    }

    /// The HTTP authorities of all filers, the one that answered last first.
    pub(crate) fn http_authorities(&self) -> impl Iterator<Item = &str> {
        let first = self.first();
        (0..self.filers.len()).map(move |next| &*self.filers[(first + next) % self.filers.len()].http_authority)
    }

    /// The signature of filer `index`, and the time on its clock in nanoseconds since the epoch.
    ///
    /// # Errors
    /// As [`FilerClient::lookup`].
    pub(crate) async fn position(&self, index: usize) -> Result<(i32, i64)> {
        let filer = &self.filers[index];
        let failed = |method, status| status::to_error(method, &filer.grpc_authority, &status);
        let method = "GetFilerConfiguration";
        let configuration: pb::GetFilerConfigurationResponse =
            filer.call(method, pb::GetFilerConfigurationRequest {}).await.map_err(|status| failed(method, status))?;
        let pong: pb::PingResponse =
            filer.call("Ping", pb::PingRequest::default()).await.map_err(|status| failed("Ping", status))?;
        Ok((configuration.signature, pong.start_time_ns))
    }

    /// Subscribes to the changes at filer `index`. Comes back with the filer's first message at the earliest.
    ///
    /// # Errors
    /// As [`FilerClient::lookup`]. There is no deadline: who waits sets one.
    pub(crate) async fn subscribe(
        &self,
        index: usize,
        request: pb::SubscribeMetadataRequest,
    ) -> Result<Streaming<pb::SubscribeMetadataResponse>> {
        let filer = &self.filers[index];
        let method = "SubscribeMetadata";
        let failed = |status| status::to_error(method, &filer.grpc_authority, &status);
        let path = PathAndQuery::from_static("/filer_pb.SeaweedFiler/SubscribeMetadata");
        let mut grpc = Grpc::new(filer.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        grpc.ready().await.map_err(|error| failed(Status::from_error(error.into())))?;
        let answer = grpc.server_streaming(Request::new(request), path, ProstCodec::default()).await;
        answer.map(tonic::Response::into_inner).map_err(failed)
    }

    /// Whether a filer answers: a call that touches no store.
    ///
    /// # Errors
    /// As [`FilerClient::lookup`].
    pub async fn ping(&self) -> Result<()> {
        let _: pb::PingResponse = self.call_or_error("Ping", pb::PingRequest::default()).await?;
        Ok(())
    }

    /// How the filer is configured: its version, and where buckets live.
    ///
    /// # Errors
    /// As [`FilerClient::lookup`].
    pub async fn configuration(&self) -> Result<pb::GetFilerConfigurationResponse> {
        self.call_or_error("GetFilerConfiguration", pb::GetFilerConfigurationRequest {}).await
    }

    async fn call_or_error<Q, A>(&self, method: &'static str, request: Q) -> Result<A>
    where
        Q: prost::Message + Clone + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        self.call(method, request).await.map_err(|(filer, status)| status::to_error(method, filer, &status))
    }

    /// Tries every filer once, the last healthy one first. The error is that of the last one tried.
    async fn call<Q, A>(&self, method: &'static str, request: Q) -> Result<A, (&str, Status)>
    where
        Q: prost::Message + Clone + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let first = self.first();
        let mut attempt = 0;
        loop {
            let index = (first + attempt) % self.filers.len();
            let filer = &self.filers[index];
            let outcome = filer.call(method, request.clone()).await;
            attempt += 1;
            match outcome {
                Err(status) if status::is_unreachable(&status) => {
                    tracing::warn!(filer = filer.grpc_authority, method, code = ?status.code(), "filer did not answer");
                    if attempt == self.filers.len() {
                        return Err((&filer.grpc_authority, status));
                    }
                }
                answered => {
                    self.healthy.store(index, Ordering::Relaxed);
                    return answered.map_err(|status| (filer.grpc_authority.as_str(), status));
                }
            }
        }
    }

    fn first(&self) -> usize {
        self.healthy.load(Ordering::Relaxed)
    }
}

impl Filer {
    async fn call<Q, A>(&self, method: &str, message: Q) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let path = PathAndQuery::try_from(format!("/{}/{method}", pb::SERVICE))
            .map_err(|_| Status::new(Code::Internal, "not a method name"))?;
        let mut request = Request::new(message);
        request.set_timeout(CALL_DEADLINE);
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let call = async {
            grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
            grpc.unary(request, path, ProstCodec::default()).await
        };
        // The channel's own timeout ends with the answer's headers; this one covers the message too.
        match tokio::time::timeout(CALL_DEADLINE, call).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::new(Code::DeadlineExceeded, format!("no answer within {CALL_DEADLINE:?}"))),
        }
    }
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    tcp
}

fn settings(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_adaptive_window(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
}

fn config_error(message: String) -> Error {
    Error::new(Blame::Config, StatusCode::INTERNAL_SERVER_ERROR, message)
}
