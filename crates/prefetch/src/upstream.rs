//! Talking to volume servers. [`HttpUpstream`] is the real one; tests script their own.
//!
//! HTTP/1.1, read by tidegate itself: so the bytes of a chunk go from the system straight into the memory in which they go to
//! the client, where a client library has a buffer of its own in between.

mod body;
mod connect;
mod connection;
mod framing;
mod head;
mod idle;
mod recorded;
mod stream;
#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use http::{Request, Response};
use rustls::ClientConfig;
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

pub use self::body::Body;
pub(crate) use self::head::GIVEN_UP;
#[doc(hidden)]
pub use self::recorded::recorded_answer;
use self::{
    body::{HttpBody, IdleReturn},
    connect::Connector,
    connection::{AnswerHead, Connection},
    head::WireRequest,
    idle::{Idle, LONGEST_REST},
};
use crate::sources::{SharedError, shared};

/// The body of an answer, of whichever upstream.
pub type UpstreamBody = Pin<Box<dyn Body>>;

/// The answer on its way, boxed so that an [`Upstream`] can stand behind a pointer.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<UpstreamBody>, SharedError>> + Send + 'a>>;

/// Sends one request to a volume server.
pub trait Upstream: Send + Sync + 'static {
    /// The answer's head and its body still to be read. An error: there is no connection, or it broke before the answer
    /// began. It and its sources are one sentence. Dropping the future or the body gives the request up.
    fn send(&self, request: Request<()>) -> Answer<'_>;
}

/// How long a server may take to begin its answer until it is asked on a new connection as well: the one in use may be to
/// a machine that is gone, or have been forgotten by something in between.
const LATE: Duration = Duration::from_secs(3);
/// Requests at once that are sent so, to all servers together. One that is slow is not to be asked for everything twice.
const ANEW: usize = 8;

/// HTTP/1.1 over pooled connections, with TLS on all of them or on none.
pub struct HttpUpstream {
    connector: Connector,
    idle: Arc<Idle>,
    /// Whoever holds one of them may send a request anew.
    spare: Semaphore,
}

impl HttpUpstream {
    /// Keeps up to `per_server` idle connections to each server; a connection may take `connect_timeout`. With `tls` every
    /// request goes as `https`, whatever its scheme says.
    pub fn new(per_server: usize, connect_timeout: Duration, tls: Option<ClientConfig>) -> Self {
        let connector = Connector::new(connect_timeout, tls);
        Self { connector, idle: Idle::new(per_server), spare: Semaphore::new(ANEW) }
    }

    /// Sends a request over a connection that rests, or a new one. One that rested may have been closed meanwhile: where
    /// nothing came over it, the request goes over another.
    async fn send_pooled(&self, request: &WireRequest) -> Result<Response<UpstreamBody>, SharedError> {
        loop {
            let (mut connection, is_new) = self.connection(request).await?;
            match connection.exchange(request).await {
                Ok(head) => {
                    let home = IdleReturn { idle: Arc::clone(&self.idle), authority: request.authority.clone() };
                    return Ok(with_body(head, connection, Some(home)));
                }
                Err(failure) if failure.nothing_came && !is_new => {}
                Err(failure) => return Err(shared(failure.error)),
            }
        }
    }

    /// A connection, and whether it is new. Where one comes back before the new one is made, that is used, and the new one
    /// rests when it is there.
    async fn connection(&self, request: &WireRequest) -> Result<(Connection, bool), SharedError> {
        if let Some(connection) = self.idle.take(&request.authority) {
            return Ok((connection, false));
        }
        let returned = self.idle.wait(&request.authority);
        let mut connecting = self.connector.connect(&request.authority);
        tokio::select! {
            biased;
            connection = &mut connecting => Ok((connection?, true)),
            Ok(connection) = returned => {
                let (idle, authority) = (Arc::clone(&self.idle), request.authority.clone());
                tokio::spawn(async move {
                    if let Ok(Ok(connection)) = timeout(LONGEST_REST, connecting).await {
                        idle.put(&authority, connection);
                    }
                });
                Ok((connection, false))
            }
        }
    }

    /// Sends a request again on a new connection when it is late, for as long as that is allowed. Pending where it is of no
    /// use.
    async fn send_anew(&self, request: &WireRequest) -> Response<UpstreamBody> {
        sleep(LATE).await;
        if let Ok(_spare) = self.spare.acquire().await
            && let Ok(mut connection) = self.connector.connect(&request.authority).await
            && let Ok(head) = connection.exchange(request).await
        {
            return with_body(head, connection, None);
        }
        std::future::pending().await
    }
}

fn with_body(head: AnswerHead, connection: Connection, home: Option<IdleReturn>) -> Response<UpstreamBody> {
    let AnswerHead { answer, framing } = head;
    let home = home.filter(|_| head::allows_another(&answer));
    answer.map(|()| Box::pin(HttpBody::new(framing, connection, home)) as UpstreamBody)
}

impl Upstream for HttpUpstream {
    fn send(&self, request: Request<()>) -> Answer<'_> {
        Box::pin(async move {
            let request = WireRequest::of(&request, self.connector.default_port()).map_err(shared)?;
            tokio::select! {
                biased;
                answer = self.send_pooled(&request) => answer,
                answer = self.send_anew(&request) => Ok(answer),
            }
        })
    }
}
