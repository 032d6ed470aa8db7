//! The effective configuration on paper: TOML, with the source of each value at its line's end.

use super::origin::{Provenance, dotted};

/// TOML being written, one table after the other.
pub(super) struct Page<'a> {
    origins: &'a Provenance,
    path: Vec<String>,
    text: String,
}

impl<'a> Page<'a> {
    pub(super) fn new(origins: &'a Provenance) -> Self {
        Self { origins, path: Vec::new(), text: String::new() }
    }

    /// A key and its value as TOML; nothing where it is not set.
    pub(super) fn line(&mut self, key: &str, value: Option<String>) {
        let Some(value) = value else { return };
        let full: Vec<String> = self.path.iter().cloned().chain([key.to_owned()]).collect();
        let source = self.origins.get(&dotted(&full)).map(|origin| format!("  # {}", origin.escape_debug()));
        self.text.push_str(&format!("{key} = {value}{}\n", source.unwrap_or_default()));
    }

    /// A table below the current one, which `show` writes.
    pub(super) fn table(&mut self, below: &[&str], show: impl FnOnce(&mut Self)) {
        let depth = self.path.len();
        self.path.extend(below.iter().map(|part| (*part).to_owned()));
        self.text.push_str(&format!("\n[{}]\n", dotted(&self.path)));
        show(self);
        self.path.truncate(depth);
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}
