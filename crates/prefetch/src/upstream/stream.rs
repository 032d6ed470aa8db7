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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (here, listener.accept().await.unwrap().0)
    }

    /// Reads into two slices of so many bytes each.
    async fn read(stream: &mut TcpStream, room: usize) -> io::Result<usize> {
        let (mut one, mut two) = (vec![0; room], vec![0; room]);
        let mut slices = [&mut one[..], &mut two[..]].map(IoSliceMut::new);
        poll_fn(|cx| stream.poll_read_many(cx, &mut slices)).await
    }

    /// The system says only once that there is something.
    #[tokio::test]
    async fn what_did_not_fit_is_there_at_once_and_nothing_is_not_the_end() {
        let (mut here, mut there) = pair().await;
        there.write_all(&[7; 20]).await.unwrap();
        here.readable().await.unwrap();
        assert_eq!(read(&mut here, 5).await.unwrap(), 10);
        assert_eq!(read(&mut here, 5).now_or_never().unwrap().unwrap(), 10, "as much again");
        assert!(read(&mut here, 5).now_or_never().is_none(), "more may come");
        there.write_all(&[7; 3]).await.unwrap();
        assert_eq!(read(&mut here, 5).await.unwrap(), 3);
        drop(there);
        assert_eq!(read(&mut here, 5).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_connection_that_is_reset_has_not_ended() {
        let (mut here, there) = pair().await;
        there.set_zero_linger().unwrap();
        drop(there);
        assert_eq!(read(&mut here, 5).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
