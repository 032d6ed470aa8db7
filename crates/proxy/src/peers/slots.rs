//! How many of something there are, in all and of each peer: connections, requests.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use super::PeerId;

/// Room for so many. Clones are the same room.
#[derive(Clone)]
pub(crate) struct Slots(Arc<SlotPool>);

struct SlotPool {
    taken: Mutex<SlotCounts>,
}

#[derive(Default)]
struct SlotCounts {
    most: usize,
    most_per_peer: usize,
    in_all: usize,
    /// Never zero: who has none is not in here.
    of_peer: HashMap<PeerId, usize>,
}

/// The place of one, until it is dropped.
pub(crate) struct Slot {
    room: Arc<SlotPool>,
    peer: PeerId,
}

/// Why there is no place for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// All are taken.
    Everywhere,
    /// The peer has as many as one peer may have.
    ForPeer,
}

impl Slots {
    /// Room for `most`, of which one peer may have `most_per_peer`.
    pub(crate) fn new(most: usize, most_per_peer: usize) -> Self {
        Self(Arc::new(SlotPool { taken: Mutex::new(SlotCounts { most, most_per_peer, ..SlotCounts::default() }) }))
    }

    /// From now on there is room for so many. Nobody loses a place for it.
    pub(crate) fn resize(&self, most: usize, most_per_peer: usize) {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        (taken.most, taken.most_per_peer) = (most, most_per_peer);
    }

    /// A place for whoever is at `address`.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn take(&self, address: IpAddr) -> Result<Slot, Full> {
        let peer = PeerId::at(address);
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.in_all >= taken.most {
            return Err(Full::Everywhere);
        }
        taken.add(peer)?;
        taken.in_all += 1;
        Ok(Slot { room: Arc::clone(&self.0), peer })
    }
}

impl SlotCounts {
    fn add(&mut self, peer: PeerId) -> Result<(), Full> {
        let of_peer = self.of_peer.get(&peer).copied().unwrap_or(0);
        if of_peer >= self.most_per_peer {
            return Err(Full::ForPeer);
        }
        self.of_peer.insert(peer, of_peer + 1);
        Ok(())
    }

    fn remove(&mut self, peer: PeerId) {
        match self.of_peer.get_mut(&peer) {
            Some(of_peer) if *of_peer > 1 => *of_peer -= 1,
            _ => {
                self.of_peer.remove(&peer);
            }
        }
    }
}

impl Slot {
    /// How many its peer has, this one included.
    pub(crate) fn of_peer(&self) -> usize {
        let taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.of_peer.get(&self.peer).copied().unwrap_or(0)
    }

    /// From now on it is a place of whoever is at `address`.
    ///
    /// # Errors
    /// When that one has as many as one peer may have. The place stays whose it was.
    pub(crate) fn pass_to(&mut self, address: IpAddr) -> Result<(), Full> {
        let peer = PeerId::at(address);
        if peer == self.peer {
            return Ok(());
        }
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.add(peer)?;
        taken.remove(self.peer);
        self.peer = peer;
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.in_all -= 1;
        taken.remove(self.peer);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_peer_cannot_have_all() {
        let slots = Slots::new(3, 2);
        let held: Vec<_> = (0..2).map(|_| slots.take(ip("10.0.0.1")).ok().unwrap()).collect();
        assert_eq!(slots.take(ip("::ffff:10.0.0.1")).err(), Some(Full::ForPeer));
        let other = slots.take(ip("10.0.0.2")).ok().unwrap();
        assert_eq!((held[0].of_peer(), other.of_peer()), (2, 1));
        assert_eq!(slots.take(ip("10.0.0.3")).err(), Some(Full::Everywhere));
        drop(other);
        assert!(slots.take(ip("10.0.0.3")).is_ok());
        drop(held);
        assert!(slots.take(ip("10.0.0.1")).is_ok());
    }

    #[test]
    fn a_place_that_is_passed_on_counts_for_the_one_who_has_it() {
        let slots = Slots::new(3, 1);
        let mut passed = slots.take(ip("10.0.0.1")).ok().unwrap();
        assert_eq!(passed.pass_to(ip("10.0.0.1")), Ok(()));
        assert_eq!(passed.pass_to(ip("10.0.0.2")), Ok(()));
        let mut other = slots.take(ip("10.0.0.1")).ok().unwrap();
        assert_eq!(other.pass_to(ip("10.0.0.2")), Err(Full::ForPeer));
        assert_eq!(slots.take(ip("10.0.0.1")).err(), Some(Full::ForPeer), "it stayed whose it was");
        drop((passed, other));
        let taken = slots.0.taken.lock().unwrap();
        assert!(taken.in_all == 0 && taken.of_peer.is_empty());
    }

    #[test]
    fn fewer_places_are_for_whoever_comes_next() {
        let slots = Slots::new(3, 3);
        let held: Vec<_> = (0..3).map(|_| slots.take(ip("10.0.0.1")).ok().unwrap()).collect();
        slots.resize(4, 3);
        assert_eq!(slots.take(ip("10.0.0.1")).err(), Some(Full::ForPeer));
        let other = slots.take(ip("10.0.0.2")).ok().unwrap();
        slots.resize(2, 1);
        drop(other);
        assert_eq!(slots.take(ip("10.0.0.2")).err(), Some(Full::Everywhere));
        drop(held);
        let _one = slots.take(ip("10.0.0.1")).ok().unwrap();
        assert_eq!(slots.take(ip("10.0.0.1")).err(), Some(Full::ForPeer));
    }

    proptest! {
        /// Whoever comes and goes, as a list of counts has it.
        #[test]
        fn places_are_counted_as_they_come_and_go(steps in prop::collection::vec((any::<bool>(), 0u8..4), 0..200)) {
            let slots = Slots::new(6, 3);
            let mut held: Vec<(u8, Slot)> = Vec::new();
            for (comes, who) in steps {
                if comes {
                    let of_peer = held.iter().filter(|(peer, _)| *peer == who).count();
                    let expected = match (held.len(), of_peer) {
                        (6, _) => Some(Full::Everywhere),
                        (_, 3) => Some(Full::ForPeer),
                        _ => None,
                    };
                    match slots.take(IpAddr::from([10, 0, 0, who])) {
                        Ok(slot) => {
                            prop_assert_eq!(expected, None);
                            held.push((who, slot));
                        }
                        Err(full) => prop_assert_eq!(expected, Some(full)),
                    }
                } else if let Some(at) = held.iter().position(|(peer, _)| *peer == who) {
                    held.swap_remove(at);
                }
            }
            drop(held);
            let taken = slots.0.taken.lock().unwrap();
            prop_assert!(taken.in_all == 0 && taken.of_peer.is_empty());
        }
    }
}
