//! What is exchanged while requests use it.

use std::sync::Arc;

use tokio::sync::watch;

/// A key that is in force, or none, until it is replaced. Clones share it: what one of them is given, all have from then on.
pub(crate) struct CurrentKey<T>(Arc<watch::Sender<Option<Arc<T>>>>);

impl<T> CurrentKey<T> {
    /// Begins with `key`.
    pub(crate) fn new(key: Option<T>) -> Self {
        Self(Arc::new(watch::Sender::new(key.map(Arc::new))))
    }

    /// What is in force now. Whoever judges a request takes it once.
    pub(crate) fn get(&self) -> Option<Arc<T>> {
        self.0.borrow().clone()
    }

    /// Whether anything is.
    pub(crate) fn is_some(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Puts `key` in the place of what was in force.
    pub(crate) fn replace(&self, key: Option<T>) {
        self.0.send_replace(key.map(Arc::new));
    }
}

impl<T> Clone for CurrentKey<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_replaced_is_gone_for_every_clone() {
        let (one, other) = (CurrentKey::new(Some(1)), CurrentKey::<i32>::new(None));
        let clone = one.clone();
        assert!(one.is_some());
        one.replace(Some(2));
        assert_eq!(clone.get().as_deref(), Some(&2));
        clone.replace(None);
        assert!(!one.is_some() && !other.is_some());
    }
}
