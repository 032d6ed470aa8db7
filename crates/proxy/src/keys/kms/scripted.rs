//! A KMS for tests: answers what it is told, keeps what it was asked.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    sync::Notify,
    task::{AbortHandle, JoinSet},
};

/// The next answer.
pub(crate) enum Reply {
    /// This status and body.
    This(u16, String),
    /// Nothing, ever.
    Nothing,
    /// Break the connection.
    HangUp,
}

/// Listens on a port of its own until it is dropped.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<(Parts, Bytes)>>>,
    arrived: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    /// Answers in this order; a request beyond the script is a 500 that fails the test by its text.
    pub(crate) async fn new(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(script.into_iter().collect()));
        let (asked, arrived) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(Notify::new()));
        let (to, seen, bell) = (script.clone(), asked.clone(), arrived.clone());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (to, seen, bell) = (to.clone(), seen.clone(), bell.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (to, seen, bell) = (to.clone(), seen.clone(), bell.clone());
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        seen.lock().unwrap().push((parts, body));
                        bell.notify_one();
                        let say = to.lock().unwrap().pop_front();
                        match say.unwrap_or_else(|| Reply::This(500, r#"{"message":"beyond the script"}"#.into())) {
                            Reply::This(status, body) => {
                                let answer = Response::builder().status(status).body(Full::new(Bytes::from(body)));
                                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(answer.unwrap())
                            }
                            Reply::Nothing => Ok(std::future::pending::<Result<_, Infallible>>().await?),
                            Reply::HangUp => Err("hang up".into()),
                        }
                    }
                });
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, script, asked, arrived, task: task.abort_handle() }
    }

    /// Adds answers to the script.
    pub(crate) fn say(&self, more: impl IntoIterator<Item = Reply>) {
        self.script.lock().unwrap().extend(more);
    }

    /// Waits until a request has come in whole.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<(Parts, Bytes)> {
        self.asked.lock().unwrap().clone()
    }

    /// How many answers nobody has asked for.
    pub(crate) fn left(&self) -> usize {
        self.script.lock().unwrap().len()
    }
}
