//! Parts that the next configuration can have as they are.
//!
//! Knows what a part was made of. Must not know any part.

use std::sync::Arc;

/// A part, and what it was made of.
#[derive(Clone)]
pub(super) struct ReusablePart<K, T> {
    of: K,
    pub(super) part: T,
}

impl<K: PartialEq, T: Clone> ReusablePart<K, T> {
    /// The part of `before`, if that was made of the same; else what `make` gives.
    ///
    /// # Errors
    /// That of `make`.
    pub(super) fn again<E>(before: Option<&Self>, of: K, make: impl FnOnce(&K) -> Result<T, E>) -> Result<Self, E> {
        match before.filter(|before| before.of == of) {
            Some(before) => Ok(Self { of, part: before.part.clone() }),
            None => Ok(Self { part: make(&of)?, of }),
        }
    }
}

/// Another part, of which a part was made: the very one, not one that is like it.
pub(super) struct IdentityKey<T>(pub(super) Arc<T>);

impl<T> PartialEq for IdentityKey<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Clone for IdentityKey<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_part_is_made_anew_only_of_something_else() {
        let make = |before: Option<&ReusablePart<_, Arc<i32>>>, of: i32| {
            ReusablePart::again(before, of, |of| Ok::<_, Infallible>(Arc::new(*of)))
                .unwrap_or_else(|never| match never {})
        };
        let first = make(None, 1);
        let second = make(Some(&first), 1);
        assert!(Arc::ptr_eq(&first.part, &second.part));
        let third = make(Some(&second), 2);
        assert_eq!(*third.part, 2);
        assert!(IdentityKey(Arc::clone(&first.part)) == IdentityKey(second.part));
        assert!(IdentityKey(first.part) != IdentityKey(Arc::new(1)));
    }
}
