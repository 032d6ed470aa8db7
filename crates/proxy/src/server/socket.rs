//! A TCP connection that can be made to end with a reset, and that ends when its client does not read.
//!
//! An answer to an HTTP/1.0 client without a length ends where the connection ends, so there a plain close would make a
//! broken body look whole. While such an answer is on its way the socket is armed: closed for any reason, it resets.
//!
//! Bytes that wait to be written hold memory that others wait for. When the system has taken none of them for the write
//! timeout, the write fails, and with it the connection.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use super::stall::StallTimer;

pub(super) struct Socket {
    stream: TcpStream,
    reset: Reset,
    write_timeout: Duration,
    /// Since when the system takes no bytes.
    stalled: Option<Instant>,
    timer: StallTimer,
}

/// Whether closing the socket resets the connection. Clones speak of the same socket.
#[derive(Clone, Default)]
pub(super) struct Reset(Arc<AtomicBool>);

impl Reset {
    pub(super) fn arm(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn disarm(&self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Socket {
    pub(super) fn new(stream: TcpStream, write_timeout: Duration) -> Self {
        Self { stream, reset: Reset::default(), write_timeout, stalled: None, timer: StallTimer::default() }
    }

    pub(super) fn reset(&self) -> Reset {
        self.reset.clone()
    }

    /// The outcome of a write, or what comes of it if it has waited for too long. `first` is of the bytes to write.
    fn limited(
        &mut self,
        outcome: Poll<io::Result<usize>>,
        first: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let since = *self.stalled.get_or_insert_with(Instant::now);
        ready!(self.timer.poll(since + self.write_timeout, cx));
        // Linux calls a socket writable when a third of its buffer is free, which may be megabytes. A client that reads
        // slowly has made room for less by now, which a write finds.
        match rustix::io::write(&self.stream, first) {
            Ok(written) => {
                self.stalled = None;
                Poll::Ready(Ok(written))
            }
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.0.load(Ordering::Acquire)
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::debug!(%error, "a cut connection could not be set to reset");
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.limited(outcome, buf, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        self.limited(outcome, first, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
