//! Connections that rest between two requests.
//!
//! One that has rested for half a minute is closed, and so is one that its server has closed, or on which something came
//! that nobody asked for.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, sleep},
};

use super::connection::Connection;

/// How long a connection may rest.
pub(super) const LONGEST_REST: Duration = Duration::from_secs(30);
/// How often is looked for those that have rested too long, or are closed.
const SWEEP: Duration = Duration::from_secs(5);

/// The connections to all servers.
pub(super) struct Idle {
    /// To each server.
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    servers: HashMap<Box<str>, Server>,
    is_swept: bool,
}

#[derive(Default)]
struct Server {
    /// The one that came last is used first.
    resting: Vec<(Connection, Instant)>,
    waiting: VecDeque<oneshot::Sender<Connection>>,
}

impl State {
    fn server(&mut self, authority: &str) -> &mut Server {
        if !self.servers.contains_key(authority) {
            self.servers.insert(authority.into(), Server::default());
        }
        self.servers.get_mut(authority).expect("it is there now")
    }
}

impl Idle {
    /// Keeps up to `most` to each server.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::default() })
    }

    /// One to the server that can be used.
    pub(super) fn take(&self, authority: &str) -> Option<Connection> {
        loop {
            let (mut connection, since) = self.state().servers.get_mut(authority)?.resting.pop()?;
            if since.elapsed() < LONGEST_REST && connection.is_clean() {
                return Some(connection);
            }
        }
    }

    /// The next one that comes back. Dropping it gives the place in the line up.
    pub(super) fn wait(&self, authority: &str) -> oneshot::Receiver<Connection> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        let server = state.server(authority);
        server.waiting.retain(|waiting| !waiting.is_closed());
        server.waiting.push_back(sender);
        receiver
    }

    /// One comes back, of which nothing is left to be read.
    pub(super) fn put(self: &Arc<Self>, authority: &str, mut connection: Connection) {
        if connection.has_more() {
            return;
        }
        connection.rest();
        let mut state = self.state();
        let server = state.server(authority);
        while let Some(waiting) = server.waiting.pop_front() {
            match waiting.send(connection) {
                Ok(()) => return,
                Err(back) => connection = back,
            }
        }
        // Outside of the runtime everything is about to end.
        let Ok(runtime) = Handle::try_current() else { return };
        if server.resting.len() >= self.most {
            return;
        }
        server.resting.push((connection, Instant::now()));
        if !std::mem::replace(&mut state.is_swept, true) {
            runtime.spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes those that are of no more use. `false`: none are left.
    fn close_old(&self) -> bool {
        let mut state = self.state();
        let mut closed = Vec::new();
        for server in state.servers.values_mut() {
            closed.extend(
                server
                    .resting
                    .extract_if(.., |(connection, since)| since.elapsed() >= LONGEST_REST || !connection.is_clean()),
            );
            server.waiting.retain(|waiting| !waiting.is_closed());
        }
        state.servers.retain(|_, server| !server.resting.is_empty() || !server.waiting.is_empty());
        state.is_swept = !state.servers.is_empty();
        let goes_on = state.is_swept;
        drop(state);
        drop(closed);
        goes_on
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sweep(idle: Weak<Idle>) {
    loop {
        sleep(SWEEP).await;
        let Some(idle) = idle.upgrade() else { return };
        if !idle.close_old() {
            return;
        }
    }
}
