//! New connections to volume servers: names, addresses, and TLS.

use std::{future::Future, io, pin::Pin, time::Duration};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use tower_service::Service;

use super::connection::Connection;
use crate::sources::{SharedError, shared};

/// How long the other machine's system may say nothing: to what was sent, or to the probes of an idle connection.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);
const TCP_PROBES: Duration = Duration::from_secs(5);

/// A connection on its way.
pub(super) type ConnectFuture = Pin<Box<dyn Future<Output = Result<Connection, SharedError>> + Send>>;

/// Makes connections, with TLS on all of them or on none.
pub(super) enum Connector {
    Plain(HttpConnector),
    Tls(HttpsConnector<HttpConnector>),
}

impl Connector {
    /// A connection may take `connect_timeout`, TLS not counted.
    pub(super) fn new(connect_timeout: Duration, tls: Option<ClientConfig>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_tcp_user_timeout(Some(TCP_TIMEOUT));
        connector.set_keepalive(Some(TCP_PROBES));
        connector.set_keepalive_interval(Some(TCP_PROBES));
        connector.set_keepalive_retries(Some(2));
        match tls {
            None => Self::Plain(connector),
            Some(tls) => {
                connector.enforce_http(false);
                let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1();
                Self::Tls(https.wrap_connector(connector))
            }
        }
    }

    /// The port that a `Host` does not name.
    pub(super) fn default_port(&self) -> u16 {
        match self {
            Self::Plain(_) => 80,
            Self::Tls(_) => 443,
        }
    }

    /// A new connection to a server, `host:port`.
    pub(super) fn connect(&self, authority: &str) -> ConnectFuture {
        let scheme = if let Self::Plain(_) = self { "http" } else { "https" };
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
        match self {
            Self::Plain(connector) => {
                let mut connector = connector.clone();
                Box::pin(async move {
                    let uri = uri.map_err(shared)?;
                    let stream = connector.call(uri).await.map_err(shared)?;
                    Ok(Connection::new(stream.into_inner()))
                })
            }
            Self::Tls(connector) => {
                let mut connector = connector.clone();
                Box::pin(async move {
                    let uri = uri.map_err(shared)?;
                    match connector.call(uri).await.map_err(SharedError::from)? {
                        MaybeHttpsStream::Https(stream) => Ok(Connection::new(stream.into_inner())),
                        MaybeHttpsStream::Http(_) => Err(shared(io::Error::other("a connection without TLS"))),
                    }
                })
            }
        }
    }
}
