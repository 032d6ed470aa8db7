//! What a connection runs over: a socket, or TLS on one.

use std::{
    io::{self, IoSliceMut},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// Bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Reads into as many of the slices as it can, of which the first has room. None are the end.
    fn poll_read_many(&mut self, cx: &mut Context<'_>, slices: &mut [IoSliceMut<'_>]) -> Poll<io::Result<usize>> {
        let Some(first) = slices.first_mut() else { return Poll::Ready(Ok(0)) };
        let mut buffer = ReadBuf::new(first);
        ready!(Pin::new(self).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl Stream for TcpStream {
    fn poll_read_many(&mut self, cx: &mut Context<'_>, slices: &mut [IoSliceMut<'_>]) -> Poll<io::Result<usize>> {
        let room: usize = slices.iter().map(|slice| slice.len()).sum();
        loop {
            ready!(self.poll_read_ready(cx))?;
            let mut came = 0;
            let read = self.try_io(Interest::READABLE, || {
                came = self.try_read_vectored(slices)?;
                // Less than there was room for: nothing is left, and the next look need not ask the system.
                if came > 0 && came < room { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(came) }
            });
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && came == 0 => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Ready(Ok(came)),
                read => return Poll::Ready(read),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for TlsStream<S> {}

#[cfg(test)]
impl Stream for tokio::io::DuplexStream {}
