//! HTML being written. What is not written in this program is escaped.

/// A piece of a page.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup.
    pub(super) fn raw(mut self, markup: &'static str) -> Self {
        self.0.push_str(markup);
        self
    }

    /// Text, from wherever it came: it stays text within elements and within quoted attributes.
    pub(super) fn text(mut self, text: &str) -> Self {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // What would turn the text around it, or not be seen, is told apart from letters.
                letter if is_hidden(letter) => self.0.push_str(&letter.escape_unicode().to_string()),
                letter => self.0.push(letter),
            }
        }
        self
    }

    /// What `each` writes of every item.
    pub(super) fn each<T>(self, items: impl IntoIterator<Item = T>, each: impl Fn(Self, T) -> Self) -> Self {
        items.into_iter().fold(self, each)
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

fn is_hidden(letter: char) -> bool {
    (letter.is_control() && letter != '\n')
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_came_from_outside_stays_text() {
        let html = Html::default().raw("<b>").text("</b><script>'\"&\u{202e}\u{7}").raw("</b>").finish();
        assert_eq!(html, "<b>&lt;/b&gt;&lt;script&gt;&#39;&quot;&amp;\\u{202e}\\u{7}</b>");
    }

    proptest! {
        #[test]
        fn no_text_opens_or_closes_anything(text in "\\PC{0,60}|[<>\"'&a-z/= ]{0,60}") {
            let html = Html::default().text(&text).finish();
            prop_assert!(!html.contains(['<', '>', '"', '\'']));
            let back = html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
            prop_assert!(text.contains(is_hidden) || back.replace("&amp;", "&") == text);
        }
    }
}
