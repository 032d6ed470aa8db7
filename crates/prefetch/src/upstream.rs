//! Talking to volume servers. [`HttpUpstream`] is the real one; tests script their own.

use std::{error::Error as StdError, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Uri, uri::Scheme};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use tokio::{sync::Semaphore, time::sleep};

/// The body of an answer.
pub type UpstreamBody = UnsyncBoxBody<Bytes, Box<dyn StdError + Send + Sync>>;

/// The answer on its way, boxed so that an [`Upstream`] can stand behind a pointer.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<UpstreamBody>, Arc<str>>> + Send + 'a>>;

/// Sends one request to a volume server.
pub trait Upstream: Send + Sync + 'static {
    /// The answer's head and its body still to be read. An error is a sentence: no connection, or it broke before the
    /// answer began. Dropping the future or the body gives the request up.
    fn send(&self, request: Request<()>) -> Answer<'_>;
}

/// The largest read buffer of one connection, in bytes.
const READ_BUFFER: usize = 256 << 10;

/// How long a server may take to begin its answer until it is asked on a new connection as well: the one in use may be to
/// a machine that is gone, or have been forgotten by something in between.
const LATE: Duration = Duration::from_secs(3);
/// Requests at once that are sent so, to all servers together. One that is slow is not to be asked for everything twice.
const ANEW: usize = 8;
/// How long the other machine's system may say nothing: to what was sent, or to the probes of an idle connection.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);
const TCP_PROBES: Duration = Duration::from_secs(5);

/// HTTP/1.1 over pooled connections, with TLS on all of them or on none.
pub struct HttpUpstream {
    pooled: Http,
    /// Without a pool: a new connection for each request.
    anew: Http,
    /// Whoever holds one of them may send a request anew.
    spare: Semaphore,
}

#[derive(Clone)]
enum Http {
    Plain(Client<HttpConnector, Empty<Bytes>>),
    Tls(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>),
}

impl HttpUpstream {
    /// Keeps up to `per_server` idle connections to each server; a connection may take `connect_timeout`. With `tls` every
    /// request goes as `https`, whatever its scheme says.
    pub fn new(per_server: usize, connect_timeout: Duration, tls: Option<ClientConfig>) -> Self {
        let http = |idle| Http::new(idle, connect_timeout, tls.clone());
        Self { pooled: http(per_server), anew: http(0), spare: Semaphore::new(ANEW) }
    }

    /// Sends a request again on a new connection when it is late, for as long as that is allowed. Pending where it is of no
    /// use.
    async fn send_anew(&self, request: Request<()>) -> Response<Incoming> {
        sleep(LATE).await;
        if let Ok(_spare) = self.spare.acquire().await
            && let Ok(answer) = self.anew.send(request).await
        {
            return answer;
        }
        std::future::pending().await
    }
}

impl Http {
    fn new(idle: usize, connect_timeout: Duration, tls: Option<ClientConfig>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_tcp_user_timeout(Some(TCP_TIMEOUT));
        connector.set_keepalive(Some(TCP_PROBES));
        connector.set_keepalive_interval(Some(TCP_PROBES));
        connector.set_keepalive_retries(Some(2));
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_max_idle_per_host(idle)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(READ_BUFFER);
        match tls {
            None => Self::Plain(builder.build(connector)),
            Some(tls) => {
                connector.enforce_http(false);
                let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1();
                Self::Tls(builder.build(https.wrap_connector(connector)))
            }
        }
    }

    async fn send(&self, request: Request<()>) -> Result<Response<Incoming>, Arc<str>> {
        let mut request = request.map(|()| Empty::new());
        let answer = match self {
            Self::Plain(client) => client.request(request),
            Self::Tls(client) => {
                let mut parts = std::mem::take(request.uri_mut()).into_parts();
                parts.scheme = Some(Scheme::HTTPS);
                *request.uri_mut() = Uri::from_parts(parts).map_err(|error| Arc::from(error.to_string()))?;
                client.request(request)
            }
        };
        answer.await.map_err(|error| chain(&error).into())
    }
}

impl Upstream for HttpUpstream {
    fn send(&self, request: Request<()>) -> Answer<'_> {
        Box::pin(async move {
            let again = self.send_anew(request.clone());
            let answer = tokio::select! {
                biased;
                answer = self.pooled.send(request) => answer?,
                answer = again => answer,
            };
            Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
        })
    }
}

/// An error with its sources, `client error (Connect): tcp connect error: Connection refused`.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
