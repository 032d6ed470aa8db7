//! The page for people: the status as HTML, whole or part by part.
//!
//! Knows how a status is shown. Must not know where it comes from.

mod html;
mod parts;

use super::state::Status;

/// The style of the page.
pub(super) const STYLE: &str = include_str!("page.css");
/// What updates it.
pub(super) const SCRIPT: &str = include_str!("page.js");
/// Its icon.
pub(super) const ICON: &str = include_str!("icon.svg");

const TEMPLATE: &str = include_str!("page.html");

/// The whole page.
pub(super) fn document(status: &Status) -> String {
    let parts = parts::all(status);
    let mut page = String::with_capacity(TEMPLATE.len() + 32 * 1024);
    let mut rest = TEMPLATE;
    while let Some((before, name, after)) = next_place(rest) {
        page.push_str(before);
        match name {
            "title" => page.push_str(&html::Html::default().text(&parts::title(status)).finish()),
            "build" => page.push_str(&parts::build(status)),
            "config" => page.push_str(&html::Html::default().text(&status.config).finish()),
            name => page.push_str(parts.iter().find(|part| part.0 == name).map_or("", |part| &part.1)),
        }
        rest = after;
    }
    page.push_str(rest);
    page
}

/// The first `{{name}}` of a template, and what stands on either side.
fn next_place(template: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = template.split_once("{{")?;
    let (name, after) = rest.split_once("}}")?;
    Some((before, name, after))
}

/// What of the page has news, as the script wants it: one line of JSON.
pub(super) fn news(status: &Status) -> String {
    let parts: serde_json::Map<_, _> =
        parts::all(status).into_iter().map(|(id, html)| (id.to_owned(), html.into())).collect();
    let news = serde_json::json!({
        "title": parts::title(status),
        "verdict": parts::verdict(status).0,
        "parts": parts,
    });
    news.to_string()
}

#[cfg(test)]
mod tests;
