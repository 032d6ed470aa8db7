//! The volume servers as they are seen from here: how many requests each has from us, and which to ask next.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::plan::Locations;

/// One volume server.
pub(crate) struct Server {
    /// `host:port`.
    pub(crate) authority: Arc<str>,
    requests: Semaphore,
    limit: usize,
}

impl Server {
    /// Waits for one of the `per_server` places.
    pub(crate) async fn admit(&self) -> SemaphorePermit<'_> {
        self.requests.acquire().await.expect("the semaphore is never closed")
    }

    fn load(&self) -> usize {
        self.limit - self.requests.available_permits().min(self.limit)
    }
}

/// All volume servers that were ever named.
pub(crate) struct Servers {
    per_server: usize,
    known: Mutex<HashMap<Arc<str>, Arc<Server>>>,
}

impl Servers {
    pub(crate) fn new(per_server: usize) -> Self {
        Self { per_server: per_server.max(1), known: Mutex::default() }
    }

    /// The one to ask: not yet `tried`, with the fewest requests from us; among equals a random one.
    pub(crate) fn choose(&self, locations: &Locations, tried: &[Arc<str>]) -> Option<Arc<Server>> {
        let untried = locations.iter().filter(|authority| !tried.contains(authority));
        untried.map(|authority| self.get(authority)).min_by_key(|server| (server.load(), rand::random::<u32>()))
    }

    fn get(&self, authority: &Arc<str>) -> Arc<Server> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let server = known.entry(Arc::clone(authority)).or_insert_with(|| {
            Arc::new(Server {
                authority: Arc::clone(authority),
                requests: Semaphore::new(self.per_server),
                limit: self.per_server,
            })
        });
        Arc::clone(server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_idle_replica_is_chosen_before_the_busy_one_and_none_twice() {
        let servers = Servers::new(2);
        let both: Locations = Arc::from([Arc::from("a:1"), Arc::from("b:1")]);
        let busy = servers.choose(&both, &[Arc::from("b:1")]).unwrap();
        let _place = busy.admit().await;
        for _ in 0..32 {
            assert_eq!(&*servers.choose(&both, &[]).unwrap().authority, "b:1");
        }
        assert_eq!(&*servers.choose(&both, &[Arc::from("b:1")]).unwrap().authority, "a:1");
        assert!(servers.choose(&both, &[Arc::from("a:1"), Arc::from("b:1")]).is_none());
    }
}
