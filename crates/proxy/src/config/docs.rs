//! `docs/configuration.md`, written from the declarations.

use std::fmt::Write as _;

use super::{
    declare::Table as _,
    key::{Chapter, Key},
    sections::Config,
};

const PREFACE: &str = include_str!("preface.md");

/// The text of `docs/configuration.md`: every section and key with default, accepted values and meaning.
pub fn markdown() -> String {
    let mut text = PREFACE.to_owned();
    for chapter in chapters() {
        write_chapter(&mut text, &chapter);
    }
    text
}

/// Every table that a file can have, in the order in which they are shown.
pub(super) fn chapters() -> Vec<Chapter> {
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
        let default = match default_of(key) {
            Some(default) => format!("`{default}`"),
            None => if key.optional { "not set" } else { "required" }.to_owned(),
        };
        let _ = writeln!(text, "| {} | {default} | {} | {} |", names_of(key), accepts(key), key.about.trim());
    }
}

fn names_of(key: &Key) -> String {
    if key.secret { format!("`{0}`, `{0}_file`", key.name) } else { format!("`{}`", key.name) }
}

/// The default as it is declared, in quotes where TOML wants them.
fn default_of(key: &Key) -> Option<String> {
    let shown = key.default_toml()?;
    Some(if shown.starts_with('"') { format!("\"{}\"", key.default?) } else { shown })
}

fn accepts(key: &Key) -> String {
    let range = key.range();
    let secret = if key.secret { " (secret)" } else { "" };
    let comma = if range.is_empty() { "" } else { ", " };
    format!("{}{comma}{range}{secret}", key.expects).replace('|', "\\|")
}
