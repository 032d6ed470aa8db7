//! The effective configuration on paper: TOML, with the source of each value at its line's end.

use super::{
    key::Key,
    origin::{Provenance, dotted},
    setting::Setting,
};

/// What stands behind a key that a reload does not change.
const RESTART: &str = "changed by a restart only";

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
    pub(super) fn key(&mut self, key: &Key, value: &impl Setting) {
        self.write(key.name, value, key.needs_restart.then_some(RESTART));
    }

    /// The same for a key that has no declaration of its own.
    pub(super) fn line(&mut self, key: &str, value: &impl Setting) {
        self.write(key, value, None);
    }

    fn write(&mut self, key: &str, value: &impl Setting, mark: Option<&str>) {
        let Some(value) = value.show() else { return };
        let full: Vec<String> = self.path.iter().cloned().chain([key.to_owned()]).collect();
        let source = self.origins.get(&dotted(&full)).map(|origin| origin.escape_debug().to_string());
        let notes: Vec<_> = source.into_iter().chain(mark.map(str::to_owned)).collect();
        let notes = if notes.is_empty() { String::new() } else { format!("  # {}", notes.join("; ")) };
        self.text.push_str(&format!("{key} = {value}{notes}\n"));
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
