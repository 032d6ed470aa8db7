//! `docs/configuration.md`, written from the declarations.

use std::fmt::Write as _;

use super::{
    option::{Chapter, Opt},
    sections::Config,
};

const PREFACE: &str = include_str!("preface.md");

/// The text of `docs/configuration.md`: every section and key with default, accepted values and meaning.
pub fn markdown() -> String {
    let mut text = PREFACE.to_owned();
    for chapter in Config::chapters() {
        write_chapter(&mut text, &chapter);
    }
    text
}

fn write_chapter(text: &mut String, chapter: &Chapter) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\n## {}\n\n{}\n", chapter.heading, chapter.about.trim());
    if chapter.options.is_empty() {
        return;
    }
    text.push_str("\n| Key | Default | Accepts | Meaning |\n|---|---|---|---|\n");
    for option in chapter.options {
        let default = match default_of(option) {
            Some(default) => format!("`{default}`"),
            None => if option.optional { "not set" } else { "required" }.to_owned(),
        };
        let _ = writeln!(text, "| {} | {default} | {} | {} |", key_of(option), accepts(option), option.about.trim());
    }
}

fn key_of(option: &Opt) -> String {
    if option.secret { format!("`{0}`, `{0}_file`", option.key) } else { format!("`{}`", option.key) }
}

/// The default as it is declared, in quotes where TOML wants them.
fn default_of(option: &Opt) -> Option<String> {
    let shown = (option.default_toml)()?;
    Some(if shown.starts_with('"') { format!("\"{}\"", option.default?) } else { shown })
}

fn accepts(option: &Opt) -> String {
    let range = option.range();
    let secret = if option.secret { " (secret)" } else { "" };
    let comma = if range.is_empty() { "" } else { ", " };
    format!("{}{comma}{range}{secret}", option.expects).replace('|', "\\|")
}
