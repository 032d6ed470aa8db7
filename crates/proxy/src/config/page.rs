//! The effective configuration on paper: TOML, with the source of each value at its line's end.

use super::{
    origin::{Provenance, dotted},
    setting::Setting,
};

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

    /// A key and its value; nothing where it is not set.
    pub(super) fn line(&mut self, key: &str, value: &impl Setting) {
        let Some(value) = value.show() else { return };
        let full: Vec<String> = self.path.iter().cloned().chain([key.to_owned()]).collect();
        let source = self.origins.get(&dotted(&full)).map(|origin| format!("  # {}", origin.escape_debug()));
        self.text.push_str(&format!("{key} = {value}{}\n", source.unwrap_or_default()));
    }

    /// The heading of the current table.
    pub(super) fn heading(&mut self) {
        self.text.push_str(&format!("\n[{}]\n", dotted(&self.path)));
    }

    /// What `show` writes of the table below the current one.
    pub(super) fn inside(&mut self, name: &str, show: impl FnOnce(&mut Self)) {
        self.path.push(name.to_owned());
        show(self);
        self.path.pop();
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}
