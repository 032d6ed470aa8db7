//! A body that is watched on its way out, and how it ends: all sent, broken, or left by the client.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Response, StatusCode, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The connection has all of it.
    Complete,
    /// It broke off on our side, or the filer's.
    Failed,
    /// Nobody asked for the rest: the connection is gone.
    Left,
}

/// Who watches a body.
pub(crate) trait Watch {
    /// So many bytes have gone out, at least one.
    fn sent(&mut self, bytes: u64);

    /// It is over. Said once, whatever happens.
    fn ended(&mut self, end: End);
}

pin_project! {
    /// Passes a body on as it is, and tells.
    pub(crate) struct WatchedBody<B, W: Watch> {
        #[pin]
        inner: B,
        // Bytes still to come, where the length is known.
        left: Option<u64>,
        watcher: Watcher<W>,
    }
}

impl<B: Body, W: Watch> WatchedBody<B, W> {
    /// Has `watch` told of the body of `response`, which answers a request of that `method`.
    pub(super) fn of(response: Response<B>, method: &Method, watch: W) -> Response<Self> {
        let (parts, inner) = response.into_parts();
        let status = parts.status;
        let without_body =
            *method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let headers = &parts.headers;
        let left = match (without_body, inner.size_hint().exact()) {
            (true, _) => Some(0),
            (false, Some(length)) => Some(length),
            // The connection stops asking when it has the bytes that the header promised.
            (false, None) => headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()),
        };
        let mut watcher = Watcher { watch, over: false };
        if left == Some(0) || inner.is_end_stream() {
            watcher.end(End::Complete);
        }
        Response::from_parts(parts, Self { inner, left, watcher })
    }
}

impl<B: Body<Data = Bytes>, W: Watch> Body for WatchedBody<B, W> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        match &frame {
            None => this.watcher.end(End::Complete),
            Some(Err(_)) => this.watcher.end(End::Failed),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let length = data.len() as u64;
                    if length > 0 {
                        this.watcher.watch.sent(length);
                    }
                    *this.left = this.left.map(|left| left.saturating_sub(length));
                }
                if *this.left == Some(0) || this.inner.is_end_stream() {
                    this.watcher.end(End::Complete);
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Tells of the end when the body ends, or else when it is dropped.
struct Watcher<W: Watch> {
    watch: W,
    over: bool,
}

impl<W: Watch> Watcher<W> {
    fn end(&mut self, end: End) {
        if !std::mem::replace(&mut self.over, true) {
            self.watch.ended(end);
        }
    }
}

impl<W: Watch> Drop for Watcher<W> {
    fn drop(&mut self) {
        self.end(if std::thread::panicking() { End::Failed } else { End::Left });
    }
}
