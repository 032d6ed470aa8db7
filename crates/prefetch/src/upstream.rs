//! Talking to volume servers. [`HttpUpstream`] is the real one; tests script their own.

use std::{error::Error as StdError, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Uri, uri::Scheme};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;

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

/// HTTP/1.1 over pooled connections, with TLS on all of them or on none.
pub struct HttpUpstream(Clients);

enum Clients {
    Plain(Client<HttpConnector, Empty<Bytes>>),
    Tls(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>),
}

impl HttpUpstream {
    /// Keeps up to `per_server` idle connections to each server; a connection may take `connect_timeout`. With `tls` every
    /// request goes as `https`, whatever its scheme says.
    pub fn new(per_server: usize, connect_timeout: Duration, tls: Option<ClientConfig>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(connect_timeout));
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_max_idle_per_host(per_server)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(READ_BUFFER);
        Self(match tls {
            None => Clients::Plain(builder.build(connector)),
            Some(tls) => {
                connector.enforce_http(false);
                let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1();
                Clients::Tls(builder.build(https.wrap_connector(connector)))
            }
        })
    }
}

impl Upstream for HttpUpstream {
    fn send(&self, request: Request<()>) -> Answer<'_> {
        let mut request = request.map(|()| Empty::new());
        let answer = match &self.0 {
            Clients::Plain(client) => client.request(request),
            Clients::Tls(client) => {
                let mut parts = std::mem::take(request.uri_mut()).into_parts();
                parts.scheme = Some(Scheme::HTTPS);
                match Uri::from_parts(parts) {
                    Ok(uri) => *request.uri_mut() = uri,
                    Err(error) => return Box::pin(std::future::ready(Err(error.to_string().into()))),
                }
                client.request(request)
            }
        };
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
