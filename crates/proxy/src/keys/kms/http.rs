//! The HTTP client that providers ask with: small requests, small answers, answers wiped after use.
//!
//! Knows hyper, TLS and time limits. Must not know any KMS.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use zeroize::{Zeroize, Zeroizing};

use super::{Failure, KmsError};
use crate::{
    Blame, Error, Result,
    correlation::{Correlation, REQUEST_ID},
};

/// Longest answer that is read, in bytes. A KMS's answer is one to two KiB.
const LONGEST: usize = 64 * 1024;
/// How long an unused connection is kept. Below the idle timeouts of the services' load balancers.
const IDLE: Duration = Duration::from_secs(20);

/// How often a connection is probed on which nothing is said, so that one to a machine that is gone ends before it is used.
const TCP_PROBES: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum ExchangeError {
    /// No connection, or it broke; in words without addresses of ours.
    Connection(String),
    /// Not within the request timeout.
    Late,
    /// Longer than any KMS answers.
    TooLong,
}

impl ExchangeError {
    /// What it means for whoever wanted a key.
    pub(super) fn into_kms_error(self) -> KmsError {
        match self {
            Self::Connection(why) => KmsError::new(Failure::Unreachable, &why),
            Self::Late => KmsError::new(Failure::Unreachable, "no answer within request_timeout"),
            Self::TooLong => KmsError::new(Failure::Nonsense, "the answer is too long"),
        }
    }
}

/// An answer. The body is wiped when it goes.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    #[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "only AWS says something there"))]
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// The client of one provider. Clones share its connections.
#[derive(Clone, Debug)]
pub(super) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    /// The header in which the service looks for what a request is called.
    named_by: HeaderName,
}

impl HttpClient {
    /// A client for `https://` (the system's root certificates) and `http://` addresses.
    ///
    /// # Errors
    /// [`Blame::Config`] if `tls` will be needed and the system has no root certificates. Without `tls` it then does with
    /// none, and any `https://` address fails.
    pub(super) fn new(connect_timeout: Duration, request_timeout: Duration, tls: bool) -> Result<Self> {
        Ok(Self::with_tls(connect_timeout, request_timeout, tls_config(tls)?))
    }

    /// The same with these TLS settings.
    pub(super) fn with_tls(connect_timeout: Duration, request_timeout: Duration, tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(connect_timeout));
        tcp.set_nodelay(true);
        tcp.set_tcp_user_timeout(Some(request_timeout));
        tcp.set_keepalive(Some(TCP_PROBES));
        tcp.set_keepalive_interval(Some(TCP_PROBES));
        tcp.set_keepalive_retries(Some(2));
        tcp.enforce_http(false);
        let https =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let client =
            Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).build(https);
        Self { client, timeout: request_timeout, named_by: REQUEST_ID }
    }

    /// The same for a service that looks for the name of a request in this header, and not in `X-Request-Id`.
    #[cfg_attr(not(feature = "azure"), allow(dead_code, reason = "the others have no such header"))]
    pub(super) fn named_by(self, named_by: HeaderName) -> Self {
        Self { named_by, ..self }
    }

    /// Sends a request and reads the whole answer within the request timeout.
    ///
    /// It says for which request of ours that is, in a header beside those that may be signed already.
    pub(super) async fn send(&self, mut request: Request<Bytes>) -> Result<Answer, ExchangeError> {
        if let Some(current) = Correlation::current() {
            request.headers_mut().insert(self.named_by.clone(), current.id.value().clone());
        }
        tokio::time::timeout(self.timeout, self.exchange(request.map(Full::new)))
            .await
            .map_err(|_| ExchangeError::Late)?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, ExchangeError> {
        let answer = self.client.request(request).await.map_err(|error| ExchangeError::Connection(chain(&error)))?;
        let (parts, mut incoming) = answer.into_parts();
        // Full size from the start: a growing vector would leave copies behind.
        let mut body = Zeroizing::new(Vec::with_capacity(LONGEST));
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| ExchangeError::Connection(chain(&error)))?;
            let Ok(data) = frame.into_data() else { continue };
            if body.len() + data.len() > LONGEST {
                return Err(ExchangeError::TooLong);
            }
            body.extend_from_slice(&data);
            // hyper's own buffer can be wiped only where no other frame shares it.
            if let Ok(mut data) = data.try_into_mut() {
                data.zeroize();
            }
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

fn tls_config(required: bool) -> Result<ClientConfig> {
    let broken = |what: &str, error: &dyn std::error::Error| {
        Error::new(Blame::Config, StatusCode::INTERNAL_SERVER_ERROR, format!("{what}: {error}"))
    };
    let builder = || {
        ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| broken("no TLS", &error))
    };
    match builder()?.with_native_roots() {
        Ok(config) => Ok(config.with_no_client_auth()),
        Err(_) if !required => Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth()),
        Err(error) => Err(broken("no root certificates to check a KMS by; install ca-certificates", &error)),
    }
}

/// The innermost cause, which is the one that says something ("Connection refused").
fn chain(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
