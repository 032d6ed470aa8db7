//! The client's body on its way to the filer.
//!
//! ```text
//!                          upload()
//!   in its UnreadBody ─────────────────────▶ in an Upload, not read from ──the gate refuses──▶ an error to the filer's
//!          ▲                                   │       │                                      connection
//!          │    the Upload is dropped: its     │       │ polled, the gate (if any) lets it
//!          │    connection could not be made   │       ▼
//!          └───────────────────────────────────┘     in an Upload, read from ──dropped──▶ gone
//! ```
//!
//! One that is refused goes back likewise, with the drop of its Upload. What is dropped for good reads what the client still
//! sends, and throws it away ([`RequestBody`]).

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    expect::{Decision, Watch},
    progress::Progress,
};
use crate::wire::{BoxError, RequestBody};

/// What the filer's connection reads from: the client's body, once the gate (if there is one) lets it.
///
/// A client that sent `Expect: 100-continue` is told to go on when its body is first polled, so a body behind a closed
/// gate is not polled.
pub(super) struct Upload {
    body: Option<RequestBody>,
    gate: Option<Watch>,
    /// Where the body goes back to if nobody has read from it.
    unread: Option<UnreadBody>,
    progress: Option<Progress>,
}

/// A body of which nothing was read yet, to be sent to whoever takes the connection.
#[derive(Clone)]
pub(super) struct UnreadBody(Arc<Mutex<Option<RequestBody>>>);

impl UnreadBody {
    pub(super) fn new(body: RequestBody) -> Self {
        Self(Arc::new(Mutex::new(Some(body))))
    }

    /// The body, if it was not read from, whose `progress` is told of. It comes back when the upload is dropped before it was polled.
    pub(super) fn upload(&self, gate: Option<Watch>, progress: Progress) -> Option<Upload> {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Upload { body: Some(body), gate, unread: Some(self.clone()), progress: Some(progress) })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(UnreadBody(place)) = &self.unread {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
        }
    }
}

/// The client left, or broke its connection, before its body was complete.
#[derive(Debug)]
pub(super) struct ClientGone(BoxError);

impl fmt::Display for ClientGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client's body broke off")
    }
}

impl std::error::Error for ClientGone {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

impl Upload {
    /// The body of a request that has none.
    pub(super) fn none() -> Self {
        Self { body: None, gate: None, unread: None, progress: None }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(gate) = &mut this.gate {
            match ready!(gate.poll(cx)) {
                Decision::Send => this.gate = None,
                Decision::Refused(refused) => return Poll::Ready(Some(Err(refused.into()))),
            }
        }
        this.unread = None;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx).map_err(|error| ClientGone(error).into());
        match (&this.progress, frame.is_ready()) {
            (Some(progress), true) => progress.got_on(),
            (Some(progress), false) => progress.wants_more(),
            (None, _) => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
