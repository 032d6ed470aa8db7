//! Listening, answering, shutting down.
//!
//! Knows sockets, HTTP connections, the service manager and how an error or a body is written to a client. Must not
//! know what is served: a [`Front`] answers the requests of its listener.

mod activity;
mod admin;
mod connection;
mod heads;
mod limits;
mod line;
mod listener;
mod notify;
mod proxied;
mod refusal;
mod serving;
mod shutdown;
mod socket;
mod stall;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_connections;
#[cfg(test)]
mod tests_http2;
#[cfg(test)]
mod tests_proxied;

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

pub use self::{
    admin::{Admin, Readiness},
    limits::Limits,
    notify::Notice,
    serving::{HeaderNames, Terms, TlsConfig},
    shutdown::{Drained, Draining, reloads, reopens, signals},
};
use self::{
    heads::HeadBudget,
    listener::Listener,
    refusal::Refusals,
    serving::Serving,
    shutdown::{Stage, Stages},
};
use crate::{metrics::Connections, peers::Slots, wire::Front};

type Run = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The listeners of the daemon, bound one by one and then run together.
pub struct Server {
    limits: Limits,
    slots: Slots,
    heads: HeadBudget,
    counted: Arc<Connections>,
    stage: watch::Sender<Stage>,
    stages: Stages,
    fronts: Vec<Run>,
    admin: Vec<Run>,
    open: Arc<AtomicUsize>,
    notify: Box<dyn Fn(Notice) + Send + Sync>,
}

impl Server {
    /// A server without listeners, that tells systemd of its state and has `counted` count its clients' connections.
    pub fn new(limits: Limits, counted: Arc<Connections>) -> Self {
        let (stage, stages) = Stages::new();
        Self {
            slots: Slots::new(limits.max_connections, limits.max_connections_per_peer),
            heads: HeadBudget::new(limits.header_memory),
            counted,
            limits,
            stage,
            stages,
            fronts: Vec::new(),
            admin: Vec::new(),
            open: Arc::default(),
            notify: Box::new(notify::systemd),
        }
    }

    /// Tells `notify` of the server's state, in place of systemd.
    #[must_use]
    pub fn notify(mut self, notify: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        self.notify = Box::new(notify);
        self
    }

    /// Binds `addr` and has `front` answer there, until the shutdown begins. Port 0 takes a free port; the address
    /// that was bound is returned.
    ///
    /// # Errors
    /// When the address cannot be bound; the message names it.
    pub async fn listen<F: Front>(&mut self, addr: SocketAddr, front: Arc<F>) -> io::Result<SocketAddr> {
        self.listen_on(addr, Terms::default(), front).await
    }

    /// As [`listen`](Self::listen), on these `terms`.
    ///
    /// # Errors
    /// When the address cannot be bound; the message names it.
    pub async fn listen_on<F: Front>(
        &mut self,
        addr: SocketAddr,
        terms: Terms,
        front: Arc<F>,
    ) -> io::Result<SocketAddr> {
        let serving = self.serving(front, terms, Stage::Draining);
        let (bound, run) = self.bind(addr, serving, self.open.clone()).await?;
        self.fronts.push(run);
        Ok(bound)
    }

    /// As [`listen`](Self::listen), but answers until the drain is over, so that it can be watched.
    ///
    /// # Errors
    /// When the address cannot be bound; the message names it.
    pub async fn listen_admin<F: Front>(&mut self, addr: SocketAddr, front: Arc<F>) -> io::Result<SocketAddr> {
        let serving = Serving {
            slots: Slots::new(ADMIN_CONNECTIONS, ADMIN_CONNECTIONS),
            heads: HeadBudget::new(ADMIN_HEADERS),
            counted: Arc::new(Connections::new().map_err(io::Error::other)?),
            ..self.serving(front, Terms::default(), Stage::Closing)
        };
        let (bound, run) = self.bind(addr, serving, Arc::default()).await?;
        self.admin.push(run);
        Ok(bound)
    }

    fn serving<F>(&self, front: Arc<F>, terms: Terms, drains_at: Stage) -> Serving<F> {
        let Self { limits, slots, heads, counted, stages, .. } = self;
        let Terms { tls, names, proxies } = terms;
        Serving {
            front,
            tls,
            names,
            proxies,
            limits: limits.clone(),
            slots: slots.clone(),
            heads: heads.clone(),
            refusals: Refusals::default(),
            counted: Arc::clone(counted),
            stages: stages.clone(),
            drains_at,
        }
    }

    async fn bind<F: Front>(
        &self,
        addr: SocketAddr,
        serving: Serving<F>,
        open: Arc<AtomicUsize>,
    ) -> io::Result<(SocketAddr, Run)> {
        let unbound = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}"));
        let socket = TcpListener::bind(addr).await.map_err(unbound)?;
        let bound = socket.local_addr().map_err(unbound)?;
        let listener = Listener { serving, open };
        Ok((bound, Box::pin(listener.run(socket))))
    }

    /// Tells whether the shutdown has begun.
    pub fn draining(&self) -> Draining {
        Draining(self.stages.clone())
    }

    /// Serves until `stop` speaks (or its sender is gone), and for `lame_duck` more without being ready. Then it drains: no
    /// new connections, idle ones closed, running answers finish. What still runs after `drain_timeout`, or when `stop`
    /// speaks again at any time, is cut.
    pub async fn run(self, mut stop: mpsc::Receiver<()>, lame_duck: Duration, drain_timeout: Duration) -> Drained {
        let Self { stage, fronts, admin, open, notify, .. } = self;
        let mut fronts: JoinSet<()> = fronts.into_iter().collect();
        let mut admin: JoinSet<()> = admin.into_iter().collect();
        notify(Notice::Ready);
        notify(Notice::Status("Serving".into()));

        let _ = stop.recv().await;
        tracing::info!(?lame_duck, ?drain_timeout, "stopping: running answers may finish");
        notify(Notice::Stopping(lame_duck + drain_timeout));
        stage.send_replace(Stage::Leaving);
        let in_peace = shutdown::leave(lame_duck, &mut stop, &*notify).await;
        stage.send_replace(Stage::Draining);
        let drained = if in_peace {
            let done = async { while fronts.join_next().await.is_some() {} };
            shutdown::drain(done, &open, drain_timeout, &mut stop, &*notify).await
        } else {
            Drained { cut: open.load(Ordering::Relaxed) }
        };

        stage.send_replace(Stage::Closing);
        if drained.cut == 0 {
            let closed = async { while admin.join_next().await.is_some() {} };
            // A scrape that is running gets its answer; nobody may hold the end up.
            let _ = timeout(ADMIN_GRACE, closed).await;
        }
        stage.send_replace(Stage::Cut);
        while fronts.join_next().await.is_some() {}
        while admin.join_next().await.is_some() {}
        tracing::info!(cut = drained.cut, "stopped");
        drained
    }
}

/// Connections of the admin listener: none of those that clients may have.
const ADMIN_CONNECTIONS: usize = 256;
/// Bytes of their headers beyond the first 8 KiB of each.
const ADMIN_HEADERS: usize = 1 << 20;
/// What the admin listener's clients get at the end to read their answers.
const ADMIN_GRACE: Duration = Duration::from_millis(500);
