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

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use futures_util::FutureExt;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::advance,
    };

    use super::*;

    fn connection() -> (Connection, DuplexStream) {
        let (here, there) = duplex(64);
        (Connection::new(here), there)
    }

    async fn is_closed(there: &mut DuplexStream) -> bool {
        there.read(&mut [0]).now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_has_the_next_one_that_comes_back_unless_it_left() {
        let idle = Idle::new(4);
        let left = idle.wait("a:1");
        drop(left);
        let mut waits = idle.wait("a:1");
        let elsewhere = idle.wait("b:1");
        let (one, _there) = connection();
        idle.put("a:1", one);
        assert!(waits.try_recv().is_ok());
        assert!(idle.take("a:1").is_none() && !elsewhere.is_terminated());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_rest_than_were_allowed_and_the_last_is_used_first() {
        let idle = Idle::new(2);
        let (connections, mut others): (Vec<_>, Vec<_>) = (0..3).map(|_| connection()).unzip();
        for connection in connections {
            idle.put("a:1", connection);
        }
        assert!(is_closed(&mut others[2]).await && !is_closed(&mut others[0]).await);
        let _taken = idle.take("a:1").unwrap();
        others.remove(1).shutdown().await.unwrap();
        assert!(idle.take("a:1").is_some() && idle.take("a:1").is_none() && idle.take("b:1").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_closed_or_on_which_something_came_is_of_no_use() {
        let idle = Idle::new(4);
        let (closed, there) = connection();
        idle.put("a:1", closed);
        drop(there);
        let (spoken, mut there) = connection();
        idle.put("a:1", spoken);
        there.write_all(b"x").await.unwrap();
        assert!(idle.take("a:1").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_rests_too_long_or_is_closed_does_not_wait_for_a_request_to_be_closed_here() {
        let idle = Idle::new(4);
        let (one, mut stays) = connection();
        let (two, leaves) = connection();
        idle.put("a:1", one);
        idle.put("a:1", two);
        drop(leaves);
        let resting = || idle.state().servers.get("a:1").map_or(0, |server| server.resting.len());
        tokio::task::yield_now().await;
        advance(SWEEP).await;
        tokio::task::yield_now().await;
        assert_eq!(resting(), 1);
        for _ in 0..5 {
            assert!(!is_closed(&mut stays).await);
            advance(SWEEP).await;
            tokio::task::yield_now().await;
        }
        assert!(is_closed(&mut stays).await && resting() == 0);
        let (three, mut there) = connection();
        idle.put("a:1", three);
        for _ in 0..7 {
            tokio::task::yield_now().await;
            advance(SWEEP).await;
        }
        tokio::task::yield_now().await;
        assert!(is_closed(&mut there).await, "it is looked for again");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_goes_on_waiting_while_others_are_swept() {
        let idle = Idle::new(4);
        let (resting, _there) = connection();
        idle.put("a:1", resting);
        let (mut waits, left) = (idle.wait("b:1"), idle.wait("c:1"));
        drop(left);
        for _ in 0..3 {
            tokio::task::yield_now().await;
            advance(SWEEP).await;
        }
        tokio::task::yield_now().await;
        assert_eq!(idle.state().servers.get("c:1").map(|server| server.waiting.len()), None, "who left is forgotten");
        let (back, _there) = connection();
        idle.put("b:1", back);
        assert!(waits.try_recv().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_have_one_in_their_order() {
        let idle = Idle::new(4);
        let (mut first, mut second) = (idle.wait("a:1"), idle.wait("a:1"));
        let (one, _there) = connection();
        idle.put("a:1", one);
        assert!(first.try_recv().is_ok() && second.try_recv().is_err());
        let (two, _there) = connection();
        idle.put("a:1", two);
        assert!(second.try_recv().is_ok());
    }
}
