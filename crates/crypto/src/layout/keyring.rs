//! The distinct keys of an object.

use std::collections::{HashMap, HashSet};

use crate::{
    commitment::Commitment,
    metadata::Metadata,
    wrapped::{CustomerKey, WrappedKey},
};

/// The distinct keys of an object, in the order they were met.
pub(super) struct Keyring {
    keys: Vec<WrappedKey>,
    by_id: HashMap<[u8; 32], usize>,
    /// Their commitments, by the index of the key: each chunk may have one.
    committed: HashSet<(usize, Commitment)>,
    of_entry: Option<WrappedKey>,
}

impl Keyring {
    /// An empty one that knows the entry's key, without taking it in until it is asked for.
    pub(super) fn new(entry: &Metadata) -> Self {
        Self { keys: Vec::new(), by_id: HashMap::new(), committed: HashSet::new(), of_entry: entry.key.clone() }
    }

    /// The index of a key. Its commitments are added to those already known for it.
    pub(super) fn intern(&mut self, key: WrappedKey) -> usize {
        let id = key.id();
        if let Some(&index) = self.by_id.get(&id) {
            self.commit(index, &key);
            return index;
        }
        let index = self.keys.len();
        self.by_id.insert(id, index);
        self.committed.extend(key.commitments().iter().map(|commitment| (index, commitment.clone())));
        self.keys.push(key);
        index
    }

    /// The index of the entry's key.
    pub(super) fn entry_key(&mut self) -> Option<usize> {
        let key = self.of_entry.clone()?;
        Some(self.intern(key))
    }

    /// Adds the commitments stored with a key, if the key is in use.
    pub(super) fn absorb(&mut self, key: Option<WrappedKey>) {
        if let Some(key) = key
            && let Some(&index) = self.by_id.get(&key.id())
        {
            self.commit(index, &key);
        }
    }

    fn commit(&mut self, index: usize, key: &WrappedKey) {
        for commitment in key.commitments() {
            if self.committed.insert((index, commitment.clone())) {
                self.keys[index].absorb(commitment.clone());
            }
        }
    }

    /// Whether the entry names the same customer key, or none.
    pub(super) fn agrees_with_entry(&self, key: &CustomerKey) -> bool {
        match &self.of_entry {
            Some(WrappedKey::Customer(of_entry)) => of_entry == key,
            _ => true,
        }
    }

    /// The MD5 of the customer's key, in use or not.
    pub(super) fn customer_key_md5(&self) -> Option<[u8; 16]> {
        match self.keys.first().or(self.of_entry.as_ref()) {
            Some(WrappedKey::Customer(key)) => Some(key.md5),
            _ => None,
        }
    }

    /// The keys, and the [`WrappedKey::id`] of each.
    pub(super) fn into_keys(self) -> (Vec<WrappedKey>, Vec<[u8; 32]>) {
        let mut ids = vec![[0; 32]; self.keys.len()];
        for (id, index) in self.by_id {
            ids[index] = id;
        }
        (self.keys, ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrapped::S3Key;

    fn committed(iv: u8) -> Commitment {
        Commitment { mac: [7; 32], iv: [iv; 16], algorithm: "AES256".to_owned() }
    }

    fn key(id: &str, ivs: impl IntoIterator<Item = u8>) -> WrappedKey {
        let commitments = ivs.into_iter().map(committed).collect();
        WrappedKey::S3(S3Key { key_id: id.to_owned(), sealed: vec![1; 48], nonce: [2; 12], commitments })
    }

    #[test]
    fn a_key_has_each_commitment_that_was_found_with_it_once() {
        let mut keyring = Keyring::new(&Metadata::default());
        assert_eq!(keyring.intern(key("a", [1])), 0);
        assert_eq!(keyring.intern(key("b", [1])), 1);
        assert_eq!(keyring.intern(key("a", [1, 2])), 0);
        keyring.absorb(Some(key("a", [2, 3])));
        keyring.absorb(Some(key("c", [4])));
        let (keys, ids) = keyring.into_keys();
        assert!(keys[0].commitments() == [1, 2, 3].map(committed) && keys[1].commitments() == [committed(1)]);
        assert!(keys.iter().map(WrappedKey::id).eq(ids));
    }
}
