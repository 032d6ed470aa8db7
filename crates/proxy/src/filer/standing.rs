//! Which filers answer, and which of them is asked first.

use tokio::sync::watch;

/// What is known of every filer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standings {
    /// The filer that is asked first.
    preferred: usize,
    /// Which have failed since they last answered.
    away: Vec<bool>,
}

impl Standings {
    /// Of `count` filers nothing is known; they are preferred in their order.
    pub(super) fn new(count: usize) -> Self {
        Self { preferred: 0, away: vec![false; count] }
    }

    /// The filer that is asked first: the one that was, for as long as it answers.
    pub(super) fn preferred(&self) -> usize {
        self.preferred
    }

    /// Whether it has failed since it last answered.
    pub(super) fn is_away(&self, index: usize) -> bool {
        self.away[index]
    }

    /// All filers in the order in which they are asked: those that are away last.
    pub(super) fn order(&self) -> Vec<usize> {
        let count = self.away.len();
        let mut order: Vec<_> = (0..count).map(|next| (self.preferred + next) % count).collect();
        order.sort_by_key(|index| self.away[*index]);
        order
    }

    /// It has answered. Whether that is news.
    pub(super) fn answered(&mut self, index: usize) -> bool {
        let is_news = std::mem::take(&mut self.away[index]);
        if self.away[self.preferred] {
            self.preferred = index;
        }
        is_news
    }

    /// It has failed. Whether that is news.
    pub(super) fn failed(&mut self, index: usize) -> bool {
        let is_news = !std::mem::replace(&mut self.away[index], true);
        if self.preferred == index {
            self.preferred = self.order()[0];
        }
        is_news
    }
}

/// Resolves when `so`.
pub(super) async fn becomes(mut standings: watch::Receiver<Standings>, so: impl FnMut(&Standings) -> bool) {
    if standings.wait_for(so).await.is_err() {
        // Nobody is left to say so.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_answers_stays_first_until_it_fails() {
        let mut three = Standings::new(3);
        assert_eq!(three.order(), [0, 1, 2]);
        assert!(!three.answered(2));
        assert_eq!(three.preferred(), 0, "another one that answers is no reason to leave this one");
        assert!(three.failed(0));
        assert!(!three.failed(0));
        assert_eq!(three.order(), [1, 2, 0]);
        assert!(three.answered(0));
        assert_eq!(three.order(), [1, 2, 0]);
    }

    #[test]
    fn where_all_are_away_the_next_that_answers_is_first() {
        let mut three = Standings::new(3);
        (0..3).for_each(|index| assert!(three.failed(index)));
        assert_eq!(three.order().len(), 3);
        assert!(three.answered(1));
        assert_eq!(three.order()[0], 1);
        assert!(!three.is_away(1) && three.is_away(0));
    }
}
