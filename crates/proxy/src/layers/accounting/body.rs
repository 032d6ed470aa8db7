//! A body that is counted on its way out, and its request when it ends: all sent, broken, or left by the client.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::metrics::{MethodLabel, Requests, SseLabel};

pin_project! {
    /// Passes a body on as it is, and counts.
    pub(crate) struct AccountingBody<B> {
        #[pin]
        inner: B,
        // Bytes still to come, where the length is known.
        left: Option<u64>,
        record: Record,
    }
}

impl<B: Body> AccountingBody<B> {
    pub(super) fn new(inner: B, headers: &HeaderMap, without_body: bool, mut record: Record) -> Self {
        let left = match (without_body, inner.size_hint().exact()) {
            (true, _) => Some(0),
            (false, Some(length)) => Some(length),
            // The connection stops asking when it has the bytes that the header promised.
            (false, None) => headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()),
        };
        if left == Some(0) || inner.is_end_stream() {
            record.finish(End::Complete);
        }
        Self { inner, left, record }
    }
}

impl<B> Body for AccountingBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        match &frame {
            None => this.record.finish(End::Complete),
            Some(Err(_)) => this.record.finish(End::Failed),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let length = data.len() as u64;
                    this.record.sent(length);
                    *this.left = this.left.map(|left| left.saturating_sub(length));
                }
                if *this.left == Some(0) || this.inner.is_end_stream() {
                    this.record.finish(End::Complete);
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

/// One request on its way into the counters. It goes there once: when its body ends, or else when it is dropped.
pub(super) struct Record {
    requests: Arc<Requests>,
    method: MethodLabel,
    status: StatusCode,
    sse: SseLabel,
    started: Instant,
    begun: bool,
    finished: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    Failed,
    Left,
}

impl Record {
    pub(super) fn new(
        requests: Arc<Requests>,
        method: MethodLabel,
        status: StatusCode,
        sse: SseLabel,
        started: Instant,
    ) -> Self {
        Self { requests, method, status, sse, started, begun: false, finished: false }
    }

    fn sent(&mut self, length: u64) {
        if length == 0 {
            return;
        }
        self.first_byte();
        self.requests.by_sse(self.sse).bytes.inc_by(length);
    }

    fn first_byte(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            self.requests.by_sse(self.sse).first_byte.observe(self.started.elapsed().as_secs_f64());
        }
    }

    fn finish(&mut self, end: End) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        self.requests.count(self.method, self.status, self.sse);
        let by_sse = self.requests.by_sse(self.sse);
        by_sse.duration.observe(self.started.elapsed().as_secs_f64());
        match end {
            End::Complete => self.first_byte(),
            End::Failed => by_sse.failed.inc(),
            End::Left => by_sse.left.inc(),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // Nobody asked for the rest: the connection is gone.
        let end = if std::thread::panicking() { End::Failed } else { End::Left };
        self.finish(end);
    }
}
