//! What the declarations say of themselves: `docs/configuration.md`, and the words of which the manual page is made.

use std::fmt::Write as _;

use super::{
    declare::Table as _,
    key::{Chapter, Key},
    sections::Config,
};

/// What stands behind the meaning of a key that a reload does not change.
const RESTART: &str = " **Needs a restart.**";

/// Where settings come from and how values are written, for before the tables: Markdown with a title.
pub const PREFACE: &str = include_str!("preface.md");

/// The text of `docs/configuration.md`: every section and key with default, accepted values and meaning.
pub fn markdown() -> String {
    let mut text = PREFACE.to_owned();
    for chapter in chapters() {
        write_chapter(&mut text, &chapter);
    }
    text
}

/// Every table that a file can have, in the order in which they are shown.
pub fn chapters() -> Vec<Chapter> {
    let mut chapters = Vec::new();
    Config::document("", &mut chapters);
    chapters.retain(|chapter| !chapter.path.is_empty());
    chapters
}

fn write_chapter(text: &mut String, chapter: &Chapter) {
    let kind = chapter.kind.map_or_else(String::new, |kind| format!(", `type = \"{kind}\"`"));
    // Writing to a String cannot fail.
    let _ = write!(text, "\n## `[{}]`{kind}\n\n{}\n", chapter.path, chapter.about.trim());
    if chapter.keys.is_empty() {
        return;
    }
    text.push_str("\n| Key | Default | Accepts | Meaning |\n|---|---|---|---|\n");
    for key in chapter.keys {
        let names: Vec<String> = key.names().iter().map(|name| format!("`{name}`")).collect();
        let default =
            key.shown_default().map_or_else(|| key.without_default().to_owned(), |shown| format!("`{shown}`"));
        let accepts = key.accepts().replace('|', "\\|");
        let _ = writeln!(text, "| {} | {default} | {accepts} | {} |", names.join(", "), key.meaning());
    }
}

impl Key {
    /// How it may be written: under its name, and if it is a secret, as the name of a file too.
    pub fn names(&self) -> Vec<String> {
        let name = self.name.to_owned();
        if self.secret { vec![name.clone(), format!("{name}_file")] } else { vec![name] }
    }

    /// The default as it is declared, in quotes where TOML wants them.
    pub fn shown_default(&self) -> Option<String> {
        let shown = self.default_toml()?;
        Some(if shown.starts_with('"') { format!("\"{}\"", self.default?) } else { shown })
    }

    /// What holds where there is no default, in words.
    pub fn without_default(&self) -> &'static str {
        if self.optional { "not set" } else { "required" }
    }

    /// What it is for, and whether a change of it needs a restart: Markdown.
    pub fn meaning(&self) -> String {
        format!("{}{}", self.about.trim(), if self.needs_restart { RESTART } else { "" })
    }

    /// Which values are accepted, in words.
    pub fn accepts(&self) -> String {
        let range = self.range();
        let secret = if self.secret { " (secret)" } else { "" };
        let comma = if range.is_empty() { "" } else { ", " };
        format!("{}{comma}{range}{secret}", self.expects)
    }
}
