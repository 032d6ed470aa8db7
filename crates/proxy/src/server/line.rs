//! The bytes of a connection on their way to and from whoever speaks HTTP on it.
//!
//! Tells the connection's [`Activity`] of them, and can wait for the first ones of a request without a buffer, so that a
//! connection that nobody uses costs little. Shows those of HTTP/1 to who looks for [fragments](super::fragment), and those of
//! HTTP/2 to who looks for [headers that are not whole](super::header_blocks). Knows where HTTP/2 begins. Must not know more of
//! HTTP.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::{
    activity::Activity,
    fragment::{RequestLineWatch, RequestLines},
    header_blocks::{HeaderBlocks, PREFACE},
};

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A connection whose bytes are seen.
pub(super) struct Line<S> {
    stream: S,
    activity: Arc<Activity>,
    /// What was read and is still to be given out.
    read: Bytes,
    /// There is room for it.
    fits: bool,
    watch: Watch,
}

/// Who looks through what comes.
enum Watch {
    Http1(RequestLineWatch),
    Http2(HeaderBlocks),
}

impl<S: AsyncRead + Unpin> Line<S> {
    /// `lines` is told of those of requests of HTTP/1.
    pub(super) fn new(stream: S, activity: Arc<Activity>, lines: Arc<RequestLines>) -> Self {
        Self { stream, activity, read: Bytes::new(), fits: true, watch: Watch::Http1(RequestLineWatch::new(lines)) }
    }

    /// The line, on which HTTP/2 is spoken, with headers of `max_header_bytes` at most.
    pub(super) fn of_http2(self, max_header_bytes: usize) -> Self {
        self.activity.begins_http2();
        Self { watch: Watch::Http2(HeaderBlocks::new(max_header_bytes)), ..self }
    }

    /// The line again, when what was read from it has not been used. Holds none of the buffer that it was read into: even
    /// no byte of that keeps all of it.
    pub(super) fn resumed(mut self, unused: &[u8]) -> Self {
        self.fits = self.activity.read(unused.len());
        debug_assert!(self.read.is_empty(), "it is given out first");
        self.read = Bytes::copy_from_slice(unused);
        if let Watch::Http1(watch) = &mut self.watch {
            watch.reset();
        }
        self
    }

    /// Waits for the first bytes of a request, and says what they are. `None`: the client has closed the connection.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(super) async fn begin(&mut self) -> io::Result<Option<Protocol>> {
        let mut first = [0; PREFACE.len()];
        let mut here = self.read.len().min(first.len());
        first[..here].copy_from_slice(&self.read[..here]);
        while here < first.len() && first[..here] == PREFACE[..here] {
            let came = self.stream.read(&mut first[here..]).await?;
            if came == 0 {
                return Ok(None);
            }
            self.activity.read(came);
            here += came;
            self.read = Bytes::copy_from_slice(&first[..here]);
        }
        Ok(Some(if first == PREFACE { Protocol::Http2 } else { Protocol::Http1 }))
    }

    /// These bytes are given out, `new` or counted when they were read. `false`: there is no room for a header.
    fn see(&mut self, bytes: &[u8], new: bool) -> bool {
        match &mut self.watch {
            Watch::Http1(watch) => {
                watch.see(bytes);
                !new || self.activity.read(bytes.len())
            }
            Watch::Http2(blocks) => self.activity.opens(blocks.see(bytes)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.fits {
            return Poll::Ready(Err(no_room()));
        }
        if !self.read.is_empty() {
            let length = self.read.len().min(buf.remaining());
            let given = self.read.split_to(length);
            buf.put_slice(&given);
            self.see(&given, false);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if self.see(&buf.filled()[before..], true) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Err(no_room()))
    }
}

fn no_room() -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, "all connections' headers take too much memory")
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.activity.written();
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.activity.written();
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.activity.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;

    use super::{
        super::{
            heads::{HeadBudget, Heads},
            testing::counted,
        },
        *,
    };

    /// What `pieces`, sent one after the other, are taken for, and what is read then.
    async fn begun(pieces: &[&[u8]]) -> (Option<Protocol>, Vec<u8>) {
        let (mut client, server) = tokio::io::duplex(1);
        let sent = pieces.concat();
        let sending = tokio::spawn(async move {
            client.write_all(&sent).await.ok();
        });
        let mut line = Line::new(server, Activity::new(Heads::new(&HeadBudget::new(0)), counted()), Arc::default());
        let protocol = line.begin().await.unwrap();
        let mut read = Vec::new();
        line.read_to_end(&mut read).await.unwrap();
        sending.await.unwrap();
        (protocol, read)
    }

    #[tokio::test]
    async fn a_preface_that_comes_byte_by_byte_is_one() {
        assert_eq!(begun(&[PREFACE, b"more"]).await, (Some(Protocol::Http2), [PREFACE, b"more"].concat()));
        assert_eq!(begun(&[b"PRI * HTTP/1.1\r\n\r\n"]).await.0, Some(Protocol::Http1));
        assert_eq!(begun(&[b"PRI"]).await.0, None, "it ended before it was told");
        assert_eq!(begun(&[]).await.0, None);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_by_looking(bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 1..60),
            (0..PREFACE.len(), prop::collection::vec(any::<u8>(), 1..60)).prop_map(|(cut, rest)| [&PREFACE[..cut], &rest].concat()),
        ]) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (protocol, read) = runtime.block_on(begun(&[&bytes]));
            match protocol {
                None => prop_assert!(PREFACE.starts_with(&bytes)),
                Some(protocol) => {
                    prop_assert_eq!(protocol == Protocol::Http2, bytes.starts_with(PREFACE));
                    prop_assert_eq!(read, bytes);
                }
            }
        }
    }
}
