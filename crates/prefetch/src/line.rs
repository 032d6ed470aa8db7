//! A line of those who wait for something of which there is not enough.
//!
//! Knows kinds and who came when. Must not know what is waited for.

use std::collections::BTreeMap;

/// After so many others, less one, it is the turn of whoever has waited longest.
pub(crate) const TURNS: u32 = 8;

/// Where one stands: its kind, and how many came before it.
pub(crate) type Rank<K> = (K, u64);

/// Those who wait: the least kind goes first, and of one kind who came first. So that every wait has an end, whoever has
/// waited longest is passed over by seven others at most.
pub(crate) struct Line<K, T> {
    waiting: BTreeMap<Rank<K>, T>,
    /// The kinds of those who wait, in the order in which they came.
    kinds: BTreeMap<u64, K>,
    arrivals: u64,
    /// Who were let in since whoever has waited longest could have been.
    passed_over: u32,
}

impl<K, T> Default for Line<K, T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), kinds: BTreeMap::new(), arrivals: 0, passed_over: 0 }
    }
}

impl<K: Ord + Copy, T> Line<K, T> {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// One more comes.
    pub(crate) fn join(&mut self, kind: K, who: T) -> Rank<K> {
        let rank = (kind, self.arrivals);
        self.arrivals += 1;
        self.kinds.insert(rank.1, kind);
        self.waiting.insert(rank, who);
        rank
    }

    /// Who is first by kind.
    pub(crate) fn first(&self) -> Option<Rank<K>> {
        self.waiting.keys().next().copied()
    }

    /// All who wait, in the order of their kinds.
    pub(crate) fn ranks(&self) -> impl Iterator<Item = Rank<K>> {
        self.waiting.keys().copied()
    }

    /// Whoever has waited longest, once that one was passed over often enough.
    pub(crate) fn passed_over(&self) -> Option<Rank<K>> {
        let (arrival, kind) = self.kinds.first_key_value()?;
        (self.passed_over + 1 >= TURNS).then_some((*kind, *arrival))
    }

    /// Who stands there.
    pub(crate) fn get(&self, rank: &Rank<K>) -> Option<&T> {
        self.waiting.get(rank)
    }

    /// Somebody is let in.
    pub(crate) fn let_in(&mut self, rank: &Rank<K>) -> Option<T> {
        let is_longest = self.kinds.first_key_value().is_some_and(|(arrival, _)| *arrival == rank.1);
        self.passed_over = if is_longest { 0 } else { self.passed_over.saturating_add(1) };
        self.leave(rank)
    }

    /// Somebody gives up. `None`: they were let in already.
    pub(crate) fn leave(&mut self, rank: &Rank<K>) -> Option<T> {
        let who = self.waiting.remove(rank)?;
        self.kinds.remove(&rank.1);
        Some(who)
    }

    /// Somebody becomes another kind, having waited for as long as before. Gives where they stand now.
    pub(crate) fn change(&mut self, rank: Rank<K>, kind: K) -> Rank<K> {
        let Some(who) = self.waiting.remove(&rank) else { return rank };
        self.kinds.insert(rank.1, kind);
        self.waiting.insert((kind, rank.1), who);
        (kind, rank.1)
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;

    fn next(line: &mut Line<u32, &'static str>) -> Option<&'static str> {
        let rank = line.passed_over().or_else(|| line.first())?;
        assert!(line.get(&rank).is_some());
        line.let_in(&rank)
    }

    #[test]
    fn the_least_goes_first_and_of_one_kind_who_came_first() {
        let mut line = Line::default();
        let ranks = [(2, "a"), (1, "b"), (2, "c"), (1, "d")].map(|(kind, who)| line.join(kind, who));
        assert_eq!((line.len(), line.is_empty()), (4, false));
        assert_eq!(line.change(ranks[2], 1), (1, 2));
        assert_eq!(line.leave(&ranks[3]), Some("d"));
        assert_eq!((line.leave(&ranks[3]), line.let_in(&ranks[3])), (None, None));
        assert_eq!(line.change(ranks[3], 0), ranks[3], "who is gone does not come back");
        assert_eq!(std::iter::from_fn(|| next(&mut line)).collect::<String>(), "bca");
        assert!(line.is_empty() && line.first().is_none() && line.passed_over().is_none());
    }

    #[test]
    fn whoever_waits_longest_is_passed_over_by_seven() {
        let mut line = Line::default();
        line.join(9, "longest");
        for round in 0..3 {
            line.join(9, "next");
            for _ in 1..TURNS {
                line.join(1, "small");
                assert_eq!(line.passed_over(), None);
                assert_eq!(next(&mut line), Some("small"));
            }
            let rank = line.join(1, "small");
            assert_eq!(
                next(&mut line),
                Some(if round == 0 { "longest" } else { "next" }),
                "and then the count begins anew"
            );
            line.leave(&rank);
        }
    }

    #[test]
    fn whoever_is_let_in_anyway_was_not_passed_over() {
        let mut line = Line::default();
        line.join(1, "longest");
        for _ in 1..TURNS {
            let rank = line.join(2, "other");
            line.let_in(&rank);
        }
        assert_eq!(line.passed_over(), Some((1, 0)));
        line.let_in(&(1, 0));
        line.join(2, "other");
        assert_eq!(line.passed_over(), None);
    }
}
