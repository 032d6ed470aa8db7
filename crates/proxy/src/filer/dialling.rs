//! How a filer's gRPC is connected to.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use tonic::transport::{Channel, Endpoint};

use super::connections::CountingConnector;

/// How long connecting may take before the next filer is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The filer refuses pings that come more often than every 20 s. This is for the time in which nobody asks anything: as
/// long as the filers are watched, something is always asked.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the other machine's system may say nothing: to what was sent, or to the probes of an idle connection.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);
const TCP_PROBES: Duration = Duration::from_secs(5);

/// A channel without TLS, whose connections are counted in `begun`. It connects at the first call.
pub(super) fn plain(endpoint: &Endpoint, begun: Arc<AtomicU64>) -> Channel {
    endpoint.connect_with_connector_lazy(CountingConnector::new(tcp(), begun))
}

/// The same with `tls`.
pub(super) fn with_tls(endpoint: &Endpoint, begun: Arc<AtomicU64>, tls: ClientConfig) -> Channel {
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http2();
    endpoint.connect_with_connector_lazy(CountingConnector::new(https.wrap_connector(tcp()), begun))
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_tcp_user_timeout(Some(TCP_TIMEOUT));
    tcp.set_keepalive(Some(TCP_PROBES));
    tcp.set_keepalive_interval(Some(TCP_PROBES));
    tcp.set_keepalive_retries(Some(2));
    tcp
}

/// What holds for every channel.
pub(super) fn settings(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_adaptive_window(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
}
