//! A filer that says what it is told to, over a pipe in memory.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::DuplexStream;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

/// What the filer does with each call.
#[derive(Clone)]
pub(super) enum Answer {
    /// Sends this message.
    Message(Bytes),
    /// Ends with a status.
    Status(Code, String),
    /// Says that a message of that many bytes follows.
    Announce(u32),
    /// Takes the call and says nothing.
    Hang,
    /// Sends headers, and no message.
    Stall,
    /// Does not let anybody connect.
    Disconnect,
}

impl Answer {
    pub(super) fn message(message: &impl Message) -> Self {
        Self::Message(message.encode_to_vec().into())
    }

    pub(super) fn status(code: Code, message: &str) -> Self {
        Self::Status(code, message.to_owned())
    }
}

pub(super) struct Scripted {
    answer: Answer,
    calls: Mutex<Vec<(String, Bytes)>>,
    names: Mutex<Vec<Option<HeaderValue>>>,
}

type Frames = Vec<Result<Frame<Bytes>, Infallible>>;

impl Scripted {
    pub(super) fn new(answer: Answer) -> Arc<Self> {
        Arc::new(Self { answer, calls: Mutex::default(), names: Mutex::default() })
    }

    /// Path and message of every call so far.
    pub(super) fn calls(&self) -> Vec<(String, Bytes)> {
        self.calls.lock().unwrap().clone()
    }

    /// What each request was called.
    pub(super) fn names(&self) -> Vec<Option<HeaderValue>> {
        self.names.lock().unwrap().clone()
    }

    pub(super) fn channel(self: &Arc<Self>) -> Channel {
        Endpoint::from_static("http://scripted:1").connect_with_connector_lazy(Connector(self.clone()))
    }

    fn accept(self: Arc<Self>) -> DuplexStream {
        let (client, server) = tokio::io::duplex(1 << 20);
        let service = service_fn(move |request| self.clone().serve(request));
        tokio::spawn(
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(server), service),
        );
        client
    }

    async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<impl http_body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
        let path = request.uri().path().to_owned();
        self.names.lock().unwrap().push(request.headers().get("x-amz-request-id").cloned());
        let mut body = request.into_body().collect().await.unwrap().to_bytes();
        self.calls.lock().unwrap().push((path, body.split_off(5)));
        let stall = matches!(self.answer, Answer::Stall);
        let frames: Frames = match &self.answer {
            Answer::Message(message) => {
                let length = u32::try_from(message.len()).unwrap();
                vec![Ok(framed(length, message)), Ok(trailers(Code::Ok, ""))]
            }
            Answer::Announce(length) => vec![Ok(framed(*length, b"")), Ok(trailers(Code::Ok, ""))],
            Answer::Status(code, message) => vec![Ok(trailers(*code, message))],
            Answer::Hang | Answer::Disconnect => std::future::pending().await,
            Answer::Stall => vec![],
        };
        let rest = if stall { stream::pending().left_stream() } else { stream::empty().right_stream() };
        let body = StreamBody::new(stream::iter(frames).chain(rest));
        let response = Response::builder().header("content-type", "application/grpc").body(body);
        Ok(response.unwrap())
    }
}

fn framed(length: u32, message: &[u8]) -> Frame<Bytes> {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(length);
    frame.put_slice(message);
    Frame::data(frame.freeze())
}

fn trailers(code: Code, message: &str) -> Frame<Bytes> {
    let encoded = percent_encoding::utf8_percent_encode(message, percent_encoding::CONTROLS).to_string();
    Frame::trailers(HeaderMap::from_iter([
        (http::HeaderName::from_static("grpc-status"), HeaderValue::from(code as i32)),
        (http::HeaderName::from_static("grpc-message"), HeaderValue::from_str(&encoded).unwrap()),
    ]))
}

struct Connector(Arc<Scripted>);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<DuplexStream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let filer = self.0.clone();
        Box::pin(async move {
            match filer.answer {
                Answer::Disconnect => Err(std::io::ErrorKind::ConnectionRefused.into()),
                _ => Ok(TokioIo::new(filer.accept())),
            }
        })
    }
}
