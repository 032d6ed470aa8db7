//! The `WEED_…` variables: SeaweedFS's own settings, which go before its files.

use std::{collections::BTreeMap, sync::Arc};

use zeroize::Zeroizing;

/// What every variable of weed's starts with.
const PREFIX: &str = "WEED_";

/// The `WEED_…` variables that are set and not empty. Clones share them.
#[derive(Clone, Default)]
pub struct WeedEnvironment(Arc<BTreeMap<String, Zeroizing<String>>>);

impl WeedEnvironment {
    /// Whether a variable of that name is weed's.
    pub(crate) fn takes(name: &str) -> bool {
        name.starts_with(PREFIX)
    }

    /// Adds a variable. Weed counts an empty one as not set.
    pub(crate) fn insert(&mut self, name: &str, value: String) {
        if !value.is_empty() {
            Arc::make_mut(&mut self.0).insert(name.to_owned(), Zeroizing::new(value));
        }
    }

    /// The variable of the setting `jwt.signing.key`: `WEED_JWT_SIGNING_KEY`.
    pub(crate) fn get(&self, setting: &str) -> Option<(String, &str)> {
        let name = format!("{PREFIX}{}", setting.to_uppercase().replace('.', "_"));
        let value = self.0.get(&name)?;
        Some((name, value))
    }
}
