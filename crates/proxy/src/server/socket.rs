//! A TCP connection that can be made to end with a reset, and that ends when its client does not read.
//!
//! An answer to an HTTP/1.0 client without a length ends where the connection ends, so there a plain close would make a
//! broken body look whole. While such an answer is on its way the socket is armed: closed for any reason, it resets.
//!
//! Bytes that wait to be written hold memory that others wait for. When the system has taken none of them for the write
//! timeout, the write fails, and with it the connection. What a write may find:
//!
//! ```text
//!            no room                   timeout over
//!   Free ──────────────▶ Stalled(since) ──────────▶ a write past the runtime ──no room──▶ the write fails
//!    ▲                    │    ▲                        │ some room
//!    │ room, says the     │    │ no room any more       ▼
//!    │ runtime            │    └──────────────────── Filling ──┐ some room, taken at once
//!    ├────────────────────┘                             │  ▲   │ by writes past the runtime
//!    └──────────────────────────────────────────────────┘  └───┘
//! ```
//!
//! The runtime learns of room from Linux, which calls a socket writable when a third of its buffer is free, and that may be
//! megabytes. A client that reads slowly has made room for less by the end of the timeout, which a write finds. All of it is
//! filled at once: what is free when the next timeout is over, the client has made free.
//!
//! A connection that is closed with bytes in it that were not read is reset, and with it goes what its client has not read
//! yet: the answer to a request that was too large, say. So one that ended well is closed on our side only, and what still
//! comes is read and thrown away for a while.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::net::sockopt;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    runtime::Handle,
    time::{Instant, timeout, timeout_at},
};

use super::stall::StallTimer;
use crate::{
    peers::Slot,
    wire::{LINGER, LINGER_BYTES, LINGER_PAUSE},
};

pub(super) struct Socket {
    stream: TcpStream,
    /// Its place among all connections; taken out with the last of its life.
    slot: Option<Slot>,
    ending: CloseMode,
    /// The client has closed its side.
    over: bool,
    write_timeout: Duration,
    flow: Flow,
    timer: StallTimer,
}

/// Whether the system takes what is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// As far as is known.
    Free,
    /// Not since then.
    Stalled(Instant),
    /// What room it still had after a write timeout is being filled.
    Filling,
}

/// How the connection ends when the socket is closed. Clones speak of the same socket.
#[derive(Clone, Default)]
pub(super) struct CloseMode(Arc<Flags>);

#[derive(Default)]
struct Flags {
    resets: AtomicBool,
    lingers: AtomicBool,
}

impl CloseMode {
    /// With a reset.
    pub(super) fn arm(&self) {
        self.0.resets.store(true, Ordering::Release);
    }

    /// As it would otherwise.
    pub(super) fn disarm(&self) {
        self.0.resets.store(false, Ordering::Release);
    }

    /// Unless with a reset, by and by: what was written is to reach a client that still sends.
    pub(super) fn linger(&self) {
        self.0.lingers.store(true, Ordering::Release);
    }
}

/// A client of which nothing has come for so long is probed by the system: a running answer keeps its memory until then.
const TCP_IDLE: Duration = Duration::from_secs(30);
/// How often, and how many probes in a row may go unanswered.
const TCP_PROBES: (Duration, u32) = (Duration::from_secs(10), 3);

/// Has the system end a connection to a machine that is gone. One to a client that lives and takes nothing is ours to end:
/// that takes twice `write_timeout` at most.
fn watch(stream: &TcpStream, write_timeout: Duration) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, TCP_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, TCP_PROBES.0)?;
    sockopt::set_tcp_keepcnt(stream, TCP_PROBES.1)?;
    sockopt::set_tcp_user_timeout(stream, u32::try_from((2 * write_timeout).as_millis()).unwrap_or(u32::MAX))
}

/// Connections of one peer for each of which the system takes as much as it likes.
const FEW: usize = 32;
/// Bytes that it takes for each further one before any of them can be sent. It would take a megabyte, in as many pieces as fit into
/// half of what the client has room for: a thousand clients that have room for a few hundred bytes keep a processor busy with that.
const UNSENT: u32 = 128 << 10;

impl Socket {
    pub(super) fn new(stream: TcpStream, slot: Slot, write_timeout: Duration) -> Self {
        if slot.of_peer() > FEW
            && let Err(error) = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT)
        {
            tracing::debug!(%error, "the system takes as much for a connection as it likes");
        }
        if let Err(error) = watch(&stream, write_timeout) {
            tracing::debug!(%error, "a connection goes without probes");
        }
        Self {
            stream,
            slot: Some(slot),
            ending: CloseMode::default(),
            over: false,
            write_timeout,
            flow: Flow::Free,
            timer: StallTimer::default(),
        }
    }

    pub(super) fn ending(&self) -> CloseMode {
        self.ending.clone()
    }

    /// The outcome of a write, or what comes of it if it has waited for too long. `first` is of the bytes to write.
    fn limited(
        &mut self,
        outcome: Poll<io::Result<usize>>,
        first: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            self.flow = Flow::Free;
            return outcome;
        }
        match self.flow {
            Flow::Free => ready!(self.poll_stalled(Instant::now(), cx)),
            Flow::Stalled(since) => ready!(self.poll_stalled(since, cx)),
            Flow::Filling => {}
        }
        match rustix::io::write(&self.stream, first) {
            Ok(written) => {
                self.flow = Flow::Filling;
                Poll::Ready(Ok(written))
            }
            Err(rustix::io::Errno::WOULDBLOCK) if self.flow == Flow::Filling => {
                self.poll_stalled(Instant::now(), cx).map(|()| Err(unread()))
            }
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => Poll::Ready(Err(unread())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// Ready when the write timeout is over; until then the task is woken for it.
    fn poll_stalled(&mut self, since: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.flow = Flow::Stalled(since);
        self.timer.poll(since + self.write_timeout, cx)
    }
}

fn unread() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client does not read")
}

impl Drop for Socket {
    fn drop(&mut self) {
        let Flags { resets, lingers } = &*self.ending.0;
        if resets.load(Ordering::Acquire) {
            if let Err(error) = self.stream.set_zero_linger() {
                tracing::debug!(%error, "a cut connection could not be set to reset");
            }
        } else if lingers.load(Ordering::Acquire) && !self.over && !matches!(self.flow, Flow::Stalled(_)) {
            // The same connection by another name, since this one is going.
            match (self.stream.as_fd().try_clone_to_owned(), Handle::try_current()) {
                (Ok(stream), Ok(runtime)) => {
                    let slot = self.slot.take();
                    runtime.spawn(async move {
                        let _slot = slot;
                        linger(stream).await
                    });
                }
                (Err(error), _) => tracing::debug!(%error, "a connection is closed at once"),
                (Ok(_), Err(_)) => {}
            }
        }
    }
}

/// Closes our side, and reads until the client has closed its own, pauses for too long, or a bound is reached.
async fn linger(stream: OwnedFd) -> io::Result<()> {
    read_away(TcpStream::from_std(stream.into())?).await
}

/// As [`linger`].
pub(super) async fn read_away(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let until = Instant::now() + LINGER;
    let mut thrown_away = 0;
    while thrown_away < LINGER_BYTES {
        let Ok(Ok(readable)) = timeout_at(until, timeout(LINGER_PAUSE, stream.readable())).await else { break };
        readable?;
        // On the stack, and not while it waits: of these there may be thousands.
        match stream.try_read(&mut [0; SCRATCH]) {
            Ok(0) => break,
            Ok(read) => thrown_away += read as u64,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How much is thrown away at once, bytes.
const SCRATCH: usize = 16 << 10;

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        self.over |= outcome.is_err() || (buf.filled().len() == before && buf.remaining() > 0);
        Poll::Ready(outcome)
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use tokio::net::TcpListener;

    use super::*;
    use crate::{peers::Slots, server::testing::loopback};

    /// What the system takes for a connection before it can be sent, of a peer that has so many. 0: as it likes.
    async fn unsent_of(connections: usize) -> u32 {
        let slots = Slots::new(100, 100);
        let (here, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let _others: Vec<_> = (1..connections).map(|_| slots.take(here).ok().unwrap()).collect();
        // Those of somebody else count for nothing.
        let _elsewhere: Vec<_> = (0..40).map(|_| slots.take(other).ok().unwrap()).collect();
        let listener = TcpListener::bind(loopback()).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = Socket::new(stream, slots.take(here).ok().unwrap(), Duration::from_secs(60));
        SockRef::from(&socket.stream).tcp_notsent_lowat().unwrap()
    }

    #[tokio::test]
    async fn the_system_takes_little_for_a_connection_of_a_peer_that_has_more_than_a_few() {
        assert_eq!((unsent_of(FEW).await, unsent_of(FEW + 1).await), (0, 128 << 10));
    }
}
