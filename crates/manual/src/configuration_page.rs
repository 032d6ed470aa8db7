//! `tidegate.toml(5)`: every table and key, from their declarations.

use roff::{Roff, bold, roman};
use tidegate::config::{Chapter, Key, PREFACE, chapters};

use crate::prose;

/// What follows the keys.
const SEE_ALSO: &str = include_str!("configuration_see_also.md");

/// The page, as of `date`.
pub(crate) fn render(date: &str) -> String {
    let mut page = Roff::new();
    page.control("TH", ["TIDEGATE.TOML", "5", date, prose::SOURCE, "File Formats"]);
    page.control("SH", ["NAME"]).text([roman("tidegate.toml - configuration of tidegate")]);
    page.control("SH", ["DESCRIPTION"]);
    prose::add(&mut page, PREFACE);
    for chapter in chapters() {
        add_chapter(&mut page, &chapter);
    }
    prose::add(&mut page, SEE_ALSO);
    page.render()
}

fn add_chapter(page: &mut Roff, chapter: &Chapter) {
    let kind = chapter.kind.map_or_else(String::new, |kind| format!(", type = {kind}"));
    page.control("SH", [format!("[{}]{kind}", chapter.path).as_str()]);
    prose::add(page, chapter.about.trim());
    for key in chapter.keys {
        add_key(page, key);
    }
}

fn add_key(page: &mut Roff, key: &Key) {
    let mut heading = Vec::new();
    for name in key.names() {
        heading.extend([if heading.is_empty() { roman("") } else { roman(", ") }, bold(name)]);
    }
    heading.push(roman(match key.shown_default() {
        Some(default) => format!(" = {default}"),
        None => format!(" ({})", key.without_default()),
    }));
    page.control("TP", []).text(heading);
    page.text(prose::line(&key.meaning()));
    page.control("br", []).text([roman(format!("Accepts {}.", key.accepts()))]);
}
