//! Markdown, as documentation here is written, in the language of manual pages.
//!
//! Knows paragraphs, lists, code, emphasis and links. Must not know what a page is about. Tables and pictures are not read.

use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, italic, roman};

/// The name and version in a page's head.
pub(crate) const SOURCE: &str = concat!("tidegate ", env!("CARGO_PKG_VERSION"));

/// Adds `markdown` to `page`. A heading of the first level is left out, others become sections.
pub(crate) fn add(page: &mut Roff, markdown: &str) {
    let mut writer = Writer::new(page);
    for event in Parser::new(markdown) {
        writer.take(event);
    }
    writer.end_line();
}

/// One paragraph of `markdown` as a line of text.
pub(crate) fn line(markdown: &str) -> Vec<Inline> {
    let mut page = Roff::new();
    let mut writer = Writer::new(&mut page);
    Parser::new(markdown).filter(|event| !is_paragraph(event)).for_each(|event| writer.take(event));
    writer.line
}

struct Writer<'p> {
    page: &'p mut Roff,
    line: Vec<Inline>,
    font: fn(String) -> Inline,
    /// The number of the next item of each open list; `None` where items have none.
    lists: Vec<Option<u64>>,
    /// Whether nothing stands below the last heading yet.
    fresh: bool,
    in_title: bool,
    in_code: bool,
}

impl<'p> Writer<'p> {
    /// Goes on below a heading.
    fn new(page: &'p mut Roff) -> Self {
        Self { page, line: Vec::new(), font: roman, lists: Vec::new(), fresh: true, in_title: false, in_code: false }
    }

    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.open(tag),
            Event::End(tag) => self.close(tag),
            Event::Text(_) if self.in_title => {}
            Event::Text(text) if self.in_code => self.add_code(&text),
            Event::Text(text) => self.line.push((self.font)(text.into_string())),
            Event::Code(text) => self.line.push(bold(text.into_string())),
            Event::SoftBreak => self.line.push(roman(" ")),
            Event::HardBreak => self.line.push(Inline::LineBreak),
            other => panic!("there is no way to say this in a manual page: {other:?}"),
        }
    }

    fn open(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph => self.open_paragraph(),
            Tag::Heading { level, .. } => self.in_title = level == pulldown_cmark::HeadingLevel::H1,
            Tag::List(first) => self.lists.push(first),
            Tag::Item => self.open_item(),
            Tag::CodeBlock(_) => {
                self.in_code = true;
                self.page.control("PP", []).control("RS", ["4"]).control("nf", []);
            }
            Tag::Strong => self.font = bold,
            Tag::Emphasis => self.font = italic,
            Tag::Link { dest_url, .. } => self.open_link(&dest_url),
            other => panic!("there is no way to say this in a manual page: {other:?}"),
        }
    }

    fn close(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::Item => self.end_line(),
            TagEnd::Heading(_) if self.in_title => self.in_title = false,
            TagEnd::Heading(_) => self.end_heading(),
            TagEnd::List(_) => drop(self.lists.pop()),
            TagEnd::CodeBlock => {
                self.in_code = false;
                self.page.control("fi", []).control("RE", []);
            }
            TagEnd::Strong | TagEnd::Emphasis | TagEnd::Link => self.font = roman,
            _ => {}
        }
    }

    fn open_paragraph(&mut self) {
        if !self.fresh && self.lists.is_empty() {
            self.page.control("PP", []);
        }
        self.fresh = false;
    }

    fn open_item(&mut self) {
        self.end_line();
        self.fresh = false;
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}.");
                *number += 1;
                mark
            }
            _ => r"\(bu".to_owned(),
        };
        self.page.control("IP", [mark.as_str(), "4"]);
    }

    /// A page of the documentation is named by its file; where others lie is part of their name.
    fn open_link(&mut self, target: &str) {
        self.font = italic;
        let page = target.split('#').next().unwrap_or_default();
        assert!(page.ends_with(".md") || target.contains("://"), "{target} is no page of the documentation");
    }

    fn add_code(&mut self, text: &str) {
        for line in text.lines() {
            self.page.text([roman(line)]);
        }
    }

    fn end_heading(&mut self) {
        let words: String = self.line.drain(..).map(text_of).collect();
        self.page.control("SH", [words.to_uppercase().as_str()]);
        self.fresh = true;
    }

    fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.page.text(std::mem::take(&mut self.line));
        }
    }
}

fn is_paragraph(event: &Event<'_>) -> bool {
    matches!(event, Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph))
}

fn text_of(inline: Inline) -> String {
    match inline {
        Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text,
        Inline::LineBreak => " ".to_owned(),
    }
}
