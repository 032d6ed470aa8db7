//! Listening, answering, shutting down.
//!
//! Knows sockets, HTTP connections, the service manager and how an error or a body is written to a client. Must not
//! know what is served: a [`Front`] answers the requests of its listener.

mod activity;
mod admin;
mod connection;
mod fragment;
mod header_blocks;
mod heads;
mod inherited;
mod limits;
mod line;
mod listener;
mod names;
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
mod watchdog;

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
    net::{TcpListener, TcpSocket},
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

pub use self::{
    admin::{Admin, AdminNames, CachedReadiness, Pages, Readiness},
    inherited::InheritedSockets,
    limits::Limits,
    notify::{Notice, systemd},
    serving::{DrainTimes, HeaderNames, ServerControl, Terms, TlsConfig},
    shutdown::{DrainOutcome, Draining, reloads, reopens, signals},
};
use self::{
    heads::HeadBudget,
    listener::Listener,
    refusal::Refusals,
    serving::{LiveTerms, Serving},
    shutdown::{Stage, Stages},
    watchdog::{Asker, pulse},
};
use crate::{metrics::Connections, peers::Slots, wire::Front};

type RunFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a listener gets its connections.
pub enum ListenSource {
    /// From an address that is bound. Port 0 takes a free port.
    Bind(SocketAddr),
    /// From sockets that listen already, at least one.
    On(Vec<std::net::TcpListener>),
}

impl From<SocketAddr> for ListenSource {
    fn from(address: SocketAddr) -> Self {
        Self::Bind(address)
    }
}

impl ListenSource {
    /// On these sockets where there are any, else at `address`.
    pub fn on_or_at(sockets: Vec<std::net::TcpListener>, address: SocketAddr) -> Self {
        if sockets.is_empty() { Self::Bind(address) } else { Self::On(sockets) }
    }

    async fn sockets(self) -> io::Result<Vec<TcpListener>> {
        match self {
            Self::Bind(addr) => {
                let unbound =
                    |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}"));
                Ok(vec![listen(addr).map_err(unbound)?])
            }
            Self::On(sockets) => sockets.into_iter().map(TcpListener::from_std).collect(),
        }
    }
}

/// Connections that may wait until they are accepted, as far as the system allows (`net.core.somaxconn`). Of 128, which is the
/// standard library's, a burst leaves some out, whose clients try again after a second.
const BACKLOG: u32 = 4096;

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A daemon that starts again takes its address although connections of the one before are not forgotten yet.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// The listeners of the daemon, bound one by one and then run together.
pub struct Server {
    control: ServerControl,
    counted: Arc<Connections>,
    stage: watch::Sender<Stage>,
    stages: Stages,
    fronts: Vec<RunFuture>,
    admin: Vec<RunFuture>,
    open: Arc<AtomicUsize>,
    askers: Vec<Asker>,
    notify: Box<dyn Fn(Notice) + Send + Sync>,
}

impl Server {
    /// A server without listeners, that tells systemd of its state and has `counted` count its clients' connections.
    pub fn new(limits: Limits, counted: Arc<Connections>) -> Self {
        let (stage, stages) = Stages::new();
        let control = ServerControl {
            slots: Slots::new(limits.max_connections, limits.max_connections_per_peer),
            heads: HeadBudget::new(limits.header_memory),
            limits: Arc::new(watch::Sender::new(limits)),
        };
        Self {
            control,
            counted,
            stage,
            stages,
            fronts: Vec::new(),
            admin: Vec::new(),
            open: Arc::default(),
            askers: Vec::new(),
            notify: Box::new(systemd),
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
        self.listen_on(addr, Terms::default().fixed(), front).await
    }

    /// As [`listen`](Self::listen), on these `terms`: each connection on those that hold when it comes.
    ///
    /// # Errors
    /// When the address cannot be bound; the message names it.
    pub async fn listen_on<F: Front>(
        &mut self,
        listen: impl Into<ListenSource>,
        terms: watch::Receiver<Terms>,
        front: Arc<F>,
    ) -> io::Result<SocketAddr> {
        let serving = self.serving(front, Stage::Draining);
        let (bound, runs) = self.bind(listen.into(), &serving, &terms, &self.open.clone()).await?;
        self.fronts.extend(runs);
        Ok(bound)
    }

    /// As [`listen`](Self::listen), but answers until the drain is over, so that it can be watched.
    ///
    /// # Errors
    /// When the address cannot be bound; the message names it.
    pub async fn listen_admin<F: Front>(
        &mut self,
        listen: impl Into<ListenSource>,
        front: Arc<F>,
    ) -> io::Result<SocketAddr> {
        let serving = Serving {
            slots: Slots::new(ADMIN_CONNECTIONS, ADMIN_CONNECTIONS),
            heads: HeadBudget::new(ADMIN_HEADERS),
            counted: Arc::new(Connections::new().map_err(io::Error::other)?),
            ..self.serving(front, Stage::Closing)
        };
        let (bound, runs) = self.bind(listen.into(), &serving, &Terms::default().fixed(), &Arc::default()).await?;
        self.admin.extend(runs);
        Ok(bound)
    }

    fn serving<F>(&self, front: Arc<F>, drains_at: Stage) -> Serving<F> {
        let Self { control: ServerControl { limits, slots, heads }, counted, stages, .. } = self;
        let Terms { tls, names, label, proxies } = Terms::default();
        Serving {
            front,
            tls,
            names,
            label,
            proxies,
            limits: limits.borrow().clone(),
            slots: slots.clone(),
            heads: heads.clone(),
            refusals: Refusals::default(),
            counted: Arc::clone(counted),
            stages: stages.clone(),
            drains_at,
            newcomers_grace: Duration::ZERO,
        }
    }

    async fn bind<F: Front>(
        &mut self,
        listen: ListenSource,
        serving: &Serving<F>,
        terms: &watch::Receiver<Terms>,
        open: &Arc<AtomicUsize>,
    ) -> io::Result<(SocketAddr, Vec<RunFuture>)> {
        let (mut first, mut runs) = (None, Vec::<RunFuture>::new());
        let newcomers_grace = if matches!(listen, ListenSource::On(_)) { NEWCOMERS_GRACE } else { Duration::ZERO };
        for socket in listen.sockets().await? {
            let bound = socket.local_addr()?;
            first.get_or_insert(bound);
            let current = LiveTerms { limits: self.control.limits.subscribe(), terms: terms.clone() };
            let (asker, asked) = pulse(bound.to_string());
            self.askers.push(asker);
            let (serving, open) = (Serving { newcomers_grace, ..serving.clone() }, Arc::clone(open));
            let listener = Listener { serving, current, asked, open };
            runs.push(Box::pin(listener.run(socket)));
        }
        let nothing = || io::Error::new(io::ErrorKind::InvalidInput, "there is no socket to listen on");
        Ok((first.ok_or_else(nothing)?, runs))
    }

    /// Changes what it serves with, also while it [runs](Self::run).
    pub fn control(&self) -> ServerControl {
        self.control.clone()
    }

    /// Tells whether the shutdown has begun.
    pub fn draining(&self) -> Draining {
        Draining(self.stages.clone())
    }

    /// Serves until `stop` speaks (or its sender is gone). Then `ending` is asked: for its `lame_duck` it serves on without being
    /// ready, and drains: no new connections, idle ones closed, running answers finish. What still runs after `drain_timeout`,
    /// or when `stop` speaks again at any time, is cut.
    pub async fn run(self, mut stop: mpsc::Receiver<()>, ending: impl FnOnce() -> DrainTimes) -> DrainOutcome {
        let Self { stage, fronts, admin, open, notify, askers, .. } = self;
        let notify: Arc<dyn Fn(Notice) + Send + Sync> = notify.into();
        let mut fronts: JoinSet<()> = fronts.into_iter().collect();
        let mut admin: JoinSet<()> = admin.into_iter().collect();
        notify(Notice::Ready);
        notify(Notice::Status("Serving".into()));
        let alive = Arc::clone(&notify);
        let watchdog = sd_notify::watchdog_enabled()
            .map(|patience| tokio::spawn(watchdog::run(patience, askers, move || alive(Notice::Alive))));

        let _ = stop.recv().await;
        let DrainTimes { lame_duck, drain_timeout } = ending();
        tracing::info!(?lame_duck, ?drain_timeout, "stopping: running answers may finish");
        notify(Notice::Stopping(lame_duck + drain_timeout));
        stage.send_replace(Stage::Leaving);
        let in_peace = shutdown::leave(lame_duck, &mut stop, &*notify).await;
        stage.send_replace(Stage::Draining);
        let drained = if in_peace {
            let done = async { while fronts.join_next().await.is_some() {} };
            shutdown::drain(done, &open, drain_timeout, &mut stop, &*notify).await
        } else {
            DrainOutcome { cut: open.load(Ordering::Relaxed) }
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
        if let Some(watchdog) = watchdog {
            watchdog.abort();
        }
        tracing::info!(cut = drained.cut, "stopped");
        drained
    }
}

/// How long a connection over a socket that was passed to us may take for its first request when the drain has begun.
const NEWCOMERS_GRACE: Duration = Duration::from_secs(1);
/// Connections of the admin listener: none of those that clients may have.
const ADMIN_CONNECTIONS: usize = 256;
/// Bytes of their headers beyond the first 8 KiB of each.
const ADMIN_HEADERS: usize = 1 << 20;
/// What the admin listener's clients get at the end to read their answers.
const ADMIN_GRACE: Duration = Duration::from_millis(500);
