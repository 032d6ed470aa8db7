//! Who gives up memory that others wait for.
//!
//! Knows how much each peer has, and how fast its downloads go. Must not know how memory is counted, or clocks.

use std::{collections::HashMap, hash::Hash};

/// One download that has its part of the memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holding<P> {
    pub(super) peer: P,
    /// How much of it.
    pub(super) has: usize,
    /// Bytes per second that its client takes. `None`: it cannot be said yet, it is not the client that is slow, or the
    /// download cannot be ended. Such a one gives nothing up.
    pub(super) rate: Option<u64>,
    /// It is we who let it go no faster, or who have kept it waiting till now: it may have too much, but is not slow.
    pub(super) braked: bool,
}

/// Why a download gives up its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its peer has more than the one who waits would have.
    Share,
    /// Its client takes less than the least rate.
    Slow,
}

impl Reason {
    /// The label's value.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Slow => "slow",
        }
    }
}

/// Which of all `holdings` makes room for `waiting`, who `wants` so much: the slowest of the peer that has most, where that one
/// has more than `waiting` would have; else the slowest of all that are slower than `least_rate` bytes per second by their own
/// doing. `None`: nobody has to.
pub(super) fn gives_up<P: Copy + Eq + Hash>(
    holdings: &[Holding<P>],
    waiting: P,
    wants: usize,
    least_rate: u64,
) -> Option<(usize, Reason)> {
    let mut held: HashMap<P, usize> = HashMap::new();
    for holding in holdings {
        *held.entry(holding.peer).or_default() += holding.has;
    }
    let of = |peer: P| held.get(&peer).copied().unwrap_or(0);
    let most = held.values().copied().max().unwrap_or(0);
    let has_most = most > of(waiting) + wants;
    let of_share = if has_most { slowest(holdings, |one, _| of(one.peer) == most) } else { None };
    let of_slow = || slowest(holdings, |one, rate| rate < least_rate && !one.braked);
    of_share.map(|at| (at, Reason::Share)).or_else(|| Some((of_slow()?, Reason::Slow)))
}

fn slowest<P>(holdings: &[Holding<P>], may: impl Fn(&Holding<P>, u64) -> bool) -> Option<usize> {
    let rates =
        holdings.iter().enumerate().filter_map(|(at, one)| Some((one.rate.filter(|rate| may(one, *rate))?, at)));
    rates.min().map(|(_, at)| at)
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holding(peer: u8, rate: impl Into<Option<u64>>) -> Holding<u8> {
        Holding { peer, has: 1, rate: rate.into(), braked: false }
    }

    #[test]
    fn the_reasons_are_values_of_a_label() {
        assert_eq!([Reason::Share, Reason::Slow].map(Reason::label), ["share", "slow"]);
    }

    #[test]
    fn the_slowest_of_who_has_most_makes_room() {
        let held = [holding(1, 500), holding(1, 90), holding(1, 700), holding(2, 10)];
        assert_eq!(gives_up(&held, 3, 1, 0), Some((1, Reason::Share)));
        assert_eq!(gives_up(&held, 2, 1, 0), Some((1, Reason::Share)));
        assert_eq!(gives_up(&held, 1, 1, 0), None, "nobody makes room for whoever has most");
    }

    #[test]
    fn where_all_have_as_much_only_the_slow_do() {
        let held = [holding(1, 500), holding(2, 90), holding(3, 20)];
        assert_eq!(gives_up(&held, 4, 1, 0), None);
        assert_eq!(gives_up(&held, 4, 1, 20), None);
        assert_eq!(gives_up(&held, 4, 1, 21), Some((2, Reason::Slow)));
        assert_eq!(gives_up(&held, 3, 1, 100), Some((2, Reason::Slow)), "one's own, too");
    }

    #[test]
    fn what_counts_is_how_much_each_has() {
        let held = [holding(1, 500), holding(1, 90), Holding { has: 9, ..holding(2, 700) }];
        assert_eq!(gives_up(&held, 3, 4, 0), Some((2, Reason::Share)));
        assert_eq!(gives_up(&held, 1, 7, 0), None, "it would have as much itself");
        assert_eq!(gives_up(&held, 1, 6, 0), Some((2, Reason::Share)));
    }

    #[test]
    fn whoever_is_held_back_may_have_too_much_but_is_not_slow() {
        let braked = |peer, rate| Holding { braked: true, ..holding(peer, rate) };
        assert_eq!(gives_up(&[braked(1, 5), holding(2, 10)], 3, 1, 20), Some((1, Reason::Slow)));
        assert_eq!(gives_up(&[braked(1, 5), braked(2, 10)], 3, 1, 20), None);
        assert_eq!(gives_up(&[braked(1, 5), braked(1, 4)], 2, 1, 20), Some((1, Reason::Share)));
    }

    #[test]
    fn whoever_is_not_slow_by_his_own_fault_stays() {
        let held = [holding(1, None), holding(1, None), holding(1, None)];
        assert_eq!(gives_up(&held, 2, 1, u64::MAX), None);
    }

    proptest! {
        /// Against the rule said otherwise: let them give up one after the other, and in the end nobody who can has more than
        /// one above whoever waited.
        #[test]
        fn in_the_end_nobody_has_more_than_a_fair_share(
            held in prop::collection::vec((0u8..4, 0u64..100), 0..40), waiting in 0u8..5
        ) {
            let mut held: Vec<_> = held.into_iter().map(|(peer, rate)| holding(peer, rate)).collect();
            let before = held.len();
            while let Some((at, reason)) = gives_up(&held, waiting, 1, 10) {
                let gone = held.swap_remove(at);
                let of = |peer| held.iter().filter(|one| one.peer == peer).count();
                match reason {
                    Reason::Share => {
                        prop_assert!(of(gone.peer) > of(waiting));
                        prop_assert!((0..4).all(|peer| of(peer) <= of(gone.peer) + 1));
                        let slower = |one: &&Holding<u8>| one.peer == gone.peer && one.rate < gone.rate;
                        prop_assert!(!held.iter().any(|one| slower(&one)));
                    }
                    Reason::Slow => {
                        prop_assert!(gone.rate < Some(10));
                        prop_assert!(!held.iter().any(|one| one.rate < gone.rate));
                    }
                }
                held.push(holding(waiting, 1000));
                prop_assert_eq!(held.len(), before);
            }
            let of = |peer| held.iter().filter(|one| one.peer == peer).count();
            prop_assert!((0..5).all(|peer| of(peer) <= of(waiting) + 1));
            prop_assert!(held.iter().all(|one| one.rate >= Some(10)));
        }
    }
}
