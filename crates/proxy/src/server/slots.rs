//! How many connections there are, in all and of each peer.
//!
//! Knows numbers and addresses. Must not know sockets.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Room for connections. Clones are the same room.
#[derive(Clone)]
pub(super) struct Slots(Arc<Room>);

struct Room {
    most: usize,
    most_per_peer: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    in_all: usize,
    /// Never zero: who has none is not in here.
    of_peer: HashMap<IpAddr, usize>,
}

/// The place of one connection, until it is dropped.
pub(super) struct Slot {
    room: Arc<Room>,
    peer: IpAddr,
}

/// Why there is no place for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All are taken.
    Everywhere,
    /// The peer has as many as one peer may have.
    ForPeer,
}

impl Slots {
    /// Room for `most` connections, of which one peer may have `most_per_peer`.
    pub(super) fn new(most: usize, most_per_peer: usize) -> Self {
        Self(Arc::new(Room { most, most_per_peer, taken: Mutex::default() }))
    }

    /// A place for a connection from `address`.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn take(&self, address: IpAddr) -> Result<Slot, Full> {
        let peer = peer(address);
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.in_all >= self.0.most {
            return Err(Full::Everywhere);
        }
        let of_peer = taken.of_peer.get(&peer).copied().unwrap_or(0);
        if of_peer >= self.0.most_per_peer {
            return Err(Full::ForPeer);
        }
        taken.of_peer.insert(peer, of_peer + 1);
        taken.in_all += 1;
        Ok(Slot { room: Arc::clone(&self.0), peer })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.in_all -= 1;
        match taken.of_peer.get_mut(&self.peer) {
            Some(of_peer) if *of_peer > 1 => *of_peer -= 1,
            _ => {
                taken.of_peer.remove(&self.peer);
            }
        }
    }
}

/// Who counts as one: an IPv4 address, however it is written, or the /64 of an IPv6 address, which is what one host has.
fn peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
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
    fn a_network_of_ipv6_is_one_peer_and_an_address_of_ipv4_is_one() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            assert_eq!(peer(ip(one)) == peer(ip(other)), same, "{one} {other}");
        }
    }

    #[test]
    fn one_peer_cannot_have_all() {
        let slots = Slots::new(3, 2);
        let held: Vec<_> = (0..2).map(|_| slots.take(ip("10.0.0.1")).ok().unwrap()).collect();
        assert_eq!(slots.take(ip("::ffff:10.0.0.1")).err(), Some(Full::ForPeer));
        let other = slots.take(ip("10.0.0.2")).ok().unwrap();
        assert_eq!(slots.take(ip("10.0.0.3")).err(), Some(Full::Everywhere));
        drop(other);
        assert!(slots.take(ip("10.0.0.3")).is_ok());
        drop(held);
        assert!(slots.take(ip("10.0.0.1")).is_ok());
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
