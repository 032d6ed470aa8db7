//! A line of those who wait for something of which there is not enough.
//!
//! Knows kinds and who came when. Must not know what is waited for.

use std::collections::BTreeMap;

/// One turn in so many is that of whoever has waited longest.
pub(crate) const TURNS: u32 = 8;

/// Where one stands: its kind, and how many came before it.
pub(crate) type Rank<K> = (K, u64);

/// Those who wait: the least kind goes first, and of one kind who came first. So that every wait has an end, one turn in
/// [`TURNS`] is that of whoever has waited longest, of whatever kind.
pub(crate) struct Line<K, T> {
    waiting: BTreeMap<Rank<K>, T>,
    arrivals: u64,
    /// Turns since whoever had waited longest was last let in.
    passed_over: u32,
}

impl<K, T> Default for Line<K, T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), arrivals: 0, passed_over: 0 }
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
        self.waiting.insert(rank, who);
        rank
    }

    /// Whose turn it is.
    pub(crate) fn first(&self) -> Option<Rank<K>> {
        if self.is_turn_of_longest() {
            self.waiting.keys().min_by_key(|(_, arrival)| *arrival).copied()
        } else {
            self.waiting.keys().next().copied()
        }
    }

    /// Whether it is the turn of whoever has waited longest, of whatever kind.
    pub(crate) fn is_turn_of_longest(&self) -> bool {
        self.passed_over + 1 >= TURNS
    }

    /// Lets in whose turn it is.
    pub(crate) fn let_in(&mut self) -> Option<T> {
        let first = self.first()?;
        self.passed_over = if self.is_turn_of_longest() || self.waiting.len() == 1 { 0 } else { self.passed_over + 1 };
        self.waiting.remove(&first)
    }

    /// Somebody gives up. `None`: they were let in already.
    pub(crate) fn leave(&mut self, rank: &Rank<K>) -> Option<T> {
        self.waiting.remove(rank)
    }

    /// Somebody becomes another kind, having waited for as long as before. Gives where they stand now.
    pub(crate) fn change(&mut self, rank: Rank<K>, kind: K) -> Rank<K> {
        let Some(who) = self.waiting.remove(&rank) else { return rank };
        self.waiting.insert((kind, rank.1), who);
        (kind, rank.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_goes_first_and_of_one_kind_who_came_first() {
        let mut line = Line::default();
        let ranks: Vec<_> = [(2, 'a'), (1, 'b'), (2, 'c'), (1, 'd')].map(|(kind, who)| line.join(kind, who)).into();
        assert_eq!((line.len(), line.is_empty()), (4, false));
        assert_eq!(line.change(ranks[2], 1), (1, 2));
        assert_eq!(line.leave(&ranks[3]), Some('d'));
        assert_eq!(line.leave(&ranks[3]), None);
        assert_eq!(line.change(ranks[3], 0), ranks[3], "who is gone does not come back");
        assert_eq!(std::iter::from_fn(|| line.let_in()).collect::<String>(), "bca");
        assert!(line.is_empty() && line.first().is_none());
    }

    #[test]
    fn whoever_waits_longest_is_let_in_after_seven_others() {
        let mut line = Line::default();
        for _ in 0..3 {
            line.join(9, "longest");
            line.join(9, "next");
            for _ in 1..TURNS {
                line.join(1, "small");
                assert!(!line.is_turn_of_longest());
                assert_eq!(line.let_in(), Some("small"));
            }
            line.join(1, "small");
            assert!(line.is_turn_of_longest());
            assert_eq!(line.let_in(), Some("longest"));
            assert_eq!(line.let_in(), Some("small"), "and then the count begins anew");
            assert_eq!(line.let_in(), Some("next"));
        }
    }
}
