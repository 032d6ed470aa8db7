//! Who waits for a floor, and whose turn it is when one is free.
//!
//! Knows peers, how many floors each has, and who came when. Must not know what a floor is, or clocks. Whose turn it is is found
//! without a walk over all who wait: thousands may, and each floor that comes back asks for it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

/// Whom a download is for; `None`: for nobody in particular.
pub(in super::super) type Peer = Option<IpAddr>;

/// Those who wait.
pub(super) struct Lines<T> {
    /// By when they came.
    waiting: BTreeMap<u64, (Peer, T)>,
    /// The numbers of those of each peer; never none.
    of_peers: HashMap<Peer, BTreeSet<u64>>,
    /// Who came first of each peer, behind how many floors the peer has.
    firsts: BTreeSet<(usize, u64)>,
    /// How many each peer has; never zero.
    held: HashMap<Peer, usize>,
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        let (waiting, of_peers) = (BTreeMap::new(), HashMap::new());
        Self { waiting, of_peers, firsts: BTreeSet::new(), held: HashMap::new() }
    }
}

impl<T> Lines<T> {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many a peer has.
    pub(super) fn held(&self, peer: Peer) -> usize {
        self.held.get(&peer).copied().unwrap_or(0)
    }

    /// Those who wait, in the order in which they came.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &(Peer, T)> {
        self.waiting.values()
    }

    /// One more comes, with a higher number than all before.
    pub(super) fn join(&mut self, number: u64, peer: Peer, who: T) {
        self.change(peer, |lines| {
            lines.waiting.insert(number, (peer, who));
            lines.of_peers.entry(peer).or_default().insert(number);
        });
    }

    /// One gives up. `None`: it was let in already.
    pub(super) fn leave(&mut self, number: u64) -> Option<(Peer, T)> {
        let (peer, who) = self.waiting.remove(&number)?;
        self.change(peer, |lines| {
            if let Some(numbers) = lines.of_peers.get_mut(&peer) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    lines.of_peers.remove(&peer);
                }
            }
        });
        Some((peer, who))
    }

    /// Whose turn it is, of the peer that has fewest and of these who came first, where so many are `free`. The last `kept` are
    /// not for a peer that has as many already.
    pub(super) fn next(&self, free: usize, kept: usize) -> Option<u64> {
        if free == 0 {
            return None;
        }
        let (held, number) = *self.firsts.first()?;
        if free > kept || held < kept {
            return Some(number);
        }
        // All who wait have as many; that counts for peers alone.
        self.of_peers.get(&None)?.first().copied()
    }

    /// It has its floor.
    pub(super) fn let_in(&mut self, number: u64) -> Option<(Peer, T)> {
        let (peer, who) = self.leave(number)?;
        self.change(peer, |lines| *lines.held.entry(peer).or_default() += 1);
        Some((peer, who))
    }

    /// A peer gives one back.
    pub(super) fn comes_back(&mut self, peer: Peer) {
        self.change(peer, |lines| {
            if let Some(held) = lines.held.get_mut(&peer) {
                *held -= 1;
                if *held == 0 {
                    lines.held.remove(&peer);
                }
            }
        });
    }

    /// Changes what one peer has, or who of it waits.
    fn change(&mut self, peer: Peer, change: impl FnOnce(&mut Self)) {
        if let Some(first) = self.first_of(peer) {
            self.firsts.remove(&first);
        }
        change(self);
        self.firsts.extend(self.first_of(peer));
    }

    fn first_of(&self, peer: Peer) -> Option<(usize, u64)> {
        Some((self.held(peer), *self.of_peers.get(&peer)?.first()?))
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Joins(Peer),
        Leaves(usize),
        Serves,
        ComesBack(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let peer =
            prop::option::weighted(0.8, 0..5u32).prop_map(|peer| peer.map(|peer| Ipv4Addr::from_bits(peer).into()));
        prop_oneof![
            3 => peer.prop_map(Step::Joins),
            1 => (0..99usize).prop_map(Step::Leaves),
            3 => Just(Step::Serves),
            2 => (0..99usize).prop_map(Step::ComesBack),
        ]
    }

    /// The rule as a walk over all who wait.
    fn by_walking(waiting: &[(u64, Peer)], holders: &[Peer], most: usize) -> Option<u64> {
        let (free, kept) = (most.saturating_sub(holders.len()), most / 8);
        let held = |peer: Peer| holders.iter().filter(|holder| **holder == peer).count();
        let may = |peer: Peer| free > kept || peer.is_none() || held(peer) < kept;
        let may = waiting.iter().filter(|(_, peer)| free > 0 && may(*peer));
        may.min_by_key(|(number, peer)| (held(*peer), *number)).map(|(number, _)| *number)
    }

    proptest! {
        #[test]
        fn whose_turn_it_is_is_what_a_walk_over_all_would_find(
            most in 0..24usize, steps in prop::collection::vec(step(), 0..200)
        ) {
            let (mut lines, mut waiting, mut holders) = (Lines::default(), Vec::new(), Vec::new());
            for (number, step) in (0..).zip(steps) {
                match step {
                    Step::Joins(peer) => {
                        lines.join(number, peer, number);
                        waiting.push((number, peer));
                    }
                    Step::Leaves(at) if !waiting.is_empty() => {
                        let (gone, peer) = waiting.remove(at % waiting.len());
                        prop_assert_eq!(lines.leave(gone), Some((peer, gone)));
                        prop_assert_eq!(lines.leave(gone), None);
                    }
                    Step::ComesBack(at) if !holders.is_empty() => lines.comes_back(holders.swap_remove(at % holders.len())),
                    Step::Serves | Step::Leaves(_) | Step::ComesBack(_) => {}
                }
                let next = lines.next(most.saturating_sub(holders.len()), most / 8);
                prop_assert_eq!(next, by_walking(&waiting, &holders, most));
                if let (Some(next), Step::Serves) = (next, step) {
                    let (peer, _) = lines.let_in(next).unwrap();
                    waiting.retain(|(number, _)| *number != next);
                    holders.push(peer);
                }
                prop_assert_eq!(lines.len(), waiting.len());
                prop_assert!(lines.in_order().map(|(peer, number)| (*number, *peer)).eq(waiting.iter().copied()));
                prop_assert!(lines.firsts.len() == lines.of_peers.len() && lines.held.values().all(|held| *held > 0));
            }
        }
    }
}
