//! Talking to volume servers. [`HttpUpstream`] is the real one; tests script their own.

use std::{error::Error as StdError, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

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

/// HTTP/1.1 over pooled connections.
pub struct HttpUpstream {
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl HttpUpstream {
    /// Keeps up to `per_server` idle connections to each server; a connection may take `connect_timeout`.
    pub fn new(per_server: usize, connect_timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(connect_timeout));
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(per_server)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(READ_BUFFER)
            .build(connector);
        Self { client }
    }
}

impl Upstream for HttpUpstream {
    fn send(&self, request: Request<()>) -> Answer<'_> {
        let answer = self.client.request(request.map(|()| Empty::new()));
        Box::pin(async move {
            let answer = answer.await.map_err(|error| Arc::from(chain(&error)))?;
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
