//! The body of an answer, read over the connection that it comes over.

use std::{
    io::{self, IoSliceMut},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use super::{
    connection::{Connection, LineError},
    framing::{BodyItem, Framing},
    idle::Idle,
};

/// The body of an answer. A read that gives no bytes is its end; one that ends too soon fails.
pub trait Body: AsyncRead + Send {
    /// Reads into as many of the slices as it can at once, of which the first must have room. How many bytes; none are the
    /// end.
    fn poll_read_many(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(first) = slices.first_mut() else { return Poll::Ready(Ok(0)) };
        let mut into = ReadBuf::new(first);
        ready!(self.poll_read(cx, &mut into))?;
        Poll::Ready(Ok(into.filled().len()))
    }
}

/// Bytes that are here.
impl Body for io::Cursor<Bytes> {}

/// Where a connection goes when the body has ended.
pub(super) struct IdleReturn {
    pub(super) idle: Arc<Idle>,
    pub(super) authority: Box<str>,
}

/// The body. It writes its bytes where its reader wants them; dropping it before its end closes the connection, unless all
/// of the rest was read ahead.
pub(super) struct HttpBody {
    framing: Framing,
    /// Until the end, or an error.
    connection: Option<Connection>,
    home: Option<IdleReturn>,
    failed: bool,
}

impl HttpBody {
    /// The body that `framing` has, with where the connection is wanted afterwards.
    pub(super) fn new(framing: Framing, connection: Connection, home: Option<IdleReturn>) -> Self {
        let mut body = Self { framing, connection: Some(connection), home, failed: false };
        body.end();
        body
    }

    /// What is found behind the last byte.
    fn ended(&self) -> io::Result<()> {
        if self.failed { Err(io::Error::other("the body has failed before")) } else { Ok(()) }
    }

    /// Sees to the connection after a read.
    fn read<T>(&mut self, read: Result<T, LineError>) -> io::Result<T> {
        if read.is_err() {
            self.failed = true;
            self.connection = None;
        }
        self.end();
        read.map_err(LineError::into_io)
    }

    /// Gives the connection back, where the body has ended.
    fn end(&mut self) {
        if self.framing.next() == BodyItem::End
            && let Some(connection) = self.connection.take()
            && let Some(IdleReturn { idle, authority }) = self.home.take()
        {
            idle.put(&authority, connection);
        }
    }
}

impl Drop for HttpBody {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection
            && connection.pass_over(&mut self.framing).is_ok()
        {
            self.end();
        }
    }
}

impl AsyncRead for HttpBody {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let this = &mut *self;
        let Some(connection) = &mut this.connection else { return Poll::Ready(this.ended()) };
        let read = ready!(connection.poll_body(&mut this.framing, cx, into));
        Poll::Ready(this.read(read))
    }
}

impl Body for HttpBody {
    fn poll_read_many(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let Some(connection) = &mut this.connection else { return Poll::Ready(this.ended().map(|()| 0)) };
        let read = ready!(connection.poll_body_many(&mut this.framing, cx, slices));
        Poll::Ready(this.read(read))
    }
}
