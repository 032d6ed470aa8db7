//! A bucket of tokens for each peer.
//!
//! Only those are kept that are not full: who has not come for a while is like who never came.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    PeerId,
    bucket::{Bucket, Rate},
};

/// The buckets of all peers, which drip at the same rate.
pub(crate) struct Buckets {
    rate: Rate,
    by_peer: Mutex<ByPeer>,
}

struct ByPeer {
    of: HashMap<PeerId, Bucket>,
    /// With so many, those that are full are thrown away.
    most: usize,
    /// When that was done last.
    looked_at: Instant,
}

/// So many are kept without looking whether they are full.
const FEW: usize = 1024;
/// More are looked at after so long.
const LOOK: Duration = Duration::from_secs(10);

impl Buckets {
    /// All of them full.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, by_peer: Mutex::new(ByPeer { of: HashMap::new(), most: FEW, looked_at: Instant::now() }) }
    }

    /// Takes a token of whoever is at `address`.
    ///
    /// # Errors
    /// When none is left: how long it is until there is one. Nothing is taken.
    pub(crate) fn take(&self, address: IpAddr) -> Result<(), Duration> {
        let now = Instant::now();
        let mut by_peer = self.by_peer.lock().unwrap_or_else(PoisonError::into_inner);
        by_peer.bucket(PeerId::at(address), now).take(now, self.rate)
    }

    /// How fast they drip.
    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// As [`Bucket::take_ahead`], of whoever is at `address`.
    pub(crate) fn take_ahead(&self, address: IpAddr, now: Instant, tokens: u64) -> Instant {
        let mut by_peer = self.by_peer.lock().unwrap_or_else(PoisonError::into_inner);
        by_peer.bucket(PeerId::at(address), now).take_ahead(now, self.rate, tokens)
    }

    /// As [`Bucket::give_back`]. A bucket that is full has nothing to be given back.
    pub(crate) fn give_back(&self, address: IpAddr, tokens: u64) {
        let mut by_peer = self.by_peer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = by_peer.of.get_mut(&PeerId::at(address)) {
            bucket.give_back(self.rate, tokens);
        }
    }
}

impl ByPeer {
    fn bucket(&mut self, peer: PeerId, now: Instant) -> &mut Bucket {
        let is_due = self.of.len() > FEW && now >= self.looked_at + LOOK;
        if is_due || self.of.len() >= self.most {
            self.looked_at = now;
            self.of.retain(|_, bucket| !bucket.is_full(now));
            // Twice as many as there are, so that looking is seldom.
            self.most = FEW.max(2 * self.of.len());
            self.of.shrink_to(self.most);
        }
        self.of.entry(peer).or_insert_with(|| Bucket::full(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[tokio::test(start_paused = true)]
    async fn each_peer_has_its_own() {
        let buckets = Buckets::new(Rate::new(2, SECOND));
        for _ in 0..2 {
            assert_eq!(buckets.take("2001:db8::1".parse().unwrap()), Ok(()));
        }
        assert_eq!(buckets.take("2001:db8::2".parse().unwrap()), Err(SECOND / 2), "of one /64");
        assert_eq!(buckets.take(address(1)), Ok(()));
        tokio::time::advance(SECOND / 2).await;
        assert_eq!(buckets.take("2001:db8::3".parse().unwrap()), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_gone_takes_no_memory() {
        let buckets = Buckets::new(Rate::new(1, SECOND));
        for number in 0..100_000 {
            assert_eq!(buckets.take(address(number)), Ok(()));
        }
        assert_eq!(buckets.by_peer.lock().unwrap().of.len(), 100_000, "each has something to wait for");
        assert!(buckets.take(address(5)).is_err());
        tokio::time::advance(SECOND).await;
        for number in 0..40_000 {
            buckets.take(address(200_000 + number)).unwrap();
        }
        assert!(buckets.by_peer.lock().unwrap().of.len() <= 40_000, "there were too many not to look");
        tokio::time::advance(LOOK).await;
        buckets.take(address(1)).unwrap();
        let by_peer = buckets.by_peer.lock().unwrap();
        assert!(by_peer.of.len() == 1 && by_peer.of.capacity() < 10_000, "{}", by_peer.of.capacity());
    }
}
