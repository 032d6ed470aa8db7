//! One listening socket: accepts until the drain, and waits for its connections to end.
//!
//! Knows sockets and when to stop. Must not know HTTP.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prometheus::IntGauge;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::sleep,
};

use super::{
    connection,
    serving::{LiveTerms, Serving},
    watchdog::Question,
};
use crate::{
    peers::Slot,
    wire::{Front, Peer},
};

/// Where connections come from.
pub(super) trait Acceptor: Send + 'static {
    fn accept(&mut self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Acceptor for TcpListener {
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        TcpListener::accept(self).await
    }
}

/// What an accept loop works with.
pub(super) struct Listener<F> {
    pub(super) serving: Serving<F>,
    pub(super) current: LiveTerms,
    /// Who wants to know whether the loop lives.
    pub(super) asked: mpsc::Receiver<Question>,
    /// Connections now open, of all listeners that share it.
    pub(super) open: Arc<AtomicUsize>,
}

impl<F: Front> Listener<F> {
    /// Accepts until the drain, then returns when the last connection has ended.
    pub(super) async fn run(mut self, mut accept: impl Acceptor) {
        let mut connections = JoinSet::new();
        let mut stages = self.serving.stages.clone();
        let drains_at = self.serving.drains_at;
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                biased;
                () = stages.reached(drains_at) => break,
                Some(question) = self.asked.recv() => drop(question.send(())),
                Some(ended) = connections.join_next() => report(ended),
                accepted = accept.accept() => match accepted {
                    Ok((stream, addr)) => {
                        backoff = Backoff::default();
                        match self.serving.slots.take(addr.ip()) {
                            Ok(slot) => drop(connections.spawn(self.connection(stream, slot, addr))),
                            Err(full) => self.serving.with(&self.current).refuse(stream, full),
                        }
                    }
                    Err(error) => {
                        self.serving.counted.accept_failed();
                        let pause = backoff.after(&error);
                        if let Some(pause) = pause {
                            tracing::warn!(%error, ?pause, "cannot accept connections; raise the limit of open files if this stays");
                            tokio::select! {
                                () = sleep(pause) => {}
                                () = stages.reached(drains_at) => break,
                            }
                        }
                    }
                },
            }
        }
        // Close the socket first: who connects from now on is refused, and can go elsewhere at once.
        drop(accept);
        loop {
            tokio::select! {
                Some(question) = self.asked.recv() => drop(question.send(())),
                ended = connections.join_next() => match ended {
                    Some(ended) => report(ended),
                    None => return,
                },
            }
        }
    }

    fn connection(&self, stream: TcpStream, slot: Slot, addr: SocketAddr) -> impl Future<Output = ()> + Send + 'static {
        let serving = self.serving.with(&self.current);
        let open = OpenConnection::new(&self.open, serving.counted.accepted(serving.label));
        let served = connection::serve(stream, slot, Peer::plain(addr), serving);
        async move {
            let _open = open;
            served.await;
        }
    }
}

/// A panic while a body is written ends that connection and nothing else.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a connection ended in a panic; the trace is above");
    }
}

/// Counts an open connection for as long as it lives.
struct OpenConnection(Arc<AtomicUsize>, IntGauge);

impl OpenConnection {
    /// `gauge` counts it already.
    fn new(count: &Arc<AtomicUsize>, gauge: IntGauge) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone(), gauge)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        self.1.dec();
    }
}

/// How long to wait before the next accept: doubles with each failure in a row.
#[derive(Default)]
struct Backoff(Option<Duration>);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(5);
    const LAST: Duration = Duration::from_secs(1);

    /// The pause that `error` calls for; `None` where it tells of one connection only.
    fn after(&mut self, error: &io::Error) -> Option<Duration> {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
            return None;
        }
        let pause = self.0.map_or(Self::FIRST, |last| (last * 2).min(Self::LAST));
        self.0 = Some(pause);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_a_second() {
        let mut backoff = Backoff::default();
        let full = io::Error::from_raw_os_error(24);
        let pauses: Vec<_> = (0..10).map(|_| backoff.after(&full).unwrap().as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn a_connection_that_went_away_calls_for_no_pause() {
        assert_eq!(Backoff::default().after(&io::ErrorKind::ConnectionAborted.into()), None);
    }
}
