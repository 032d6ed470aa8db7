//! `tidegate(8)` and a page for each of its commands, from the command line's declaration.

use std::io;

use clap::Command;
use clap_mangen::Man;
use roff::{Roff, roman};

use crate::prose::{self, SOURCE};

/// How the daemon's own page ends.
const OF_DAEMON: &str = include_str!("command_see_also.md");
/// How those of its commands end.
const OF_COMMAND: &str = "## See also\n\n`tidegate(8)`, `tidegate.toml(5)`";
const MANUAL: &str = "System Administration";

/// Every page, by its file's name.
pub(crate) fn all(mut command: Command, date: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    command.build();
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut pages = Vec::new();
    for below in shown {
        pages.push(page(below, date, OF_COMMAND)?);
    }
    pages.push(page(command, date, OF_DAEMON)?);
    Ok(pages)
}

fn page(command: Command, date: &str, end: &str) -> io::Result<(String, Vec<u8>)> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut rest = Roff::new();
    add_notes(&mut rest, &command);
    prose::add(&mut rest, end);
    let has_commands = command.has_subcommands();
    let man = Man::new(command).title(name.to_uppercase()).section("8").date(date).source(SOURCE).manual(MANUAL);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    rest.to_writer(&mut page)?;
    Ok((format!("{name}.8"), page))
}

/// What `--help` shows below the options: paragraphs that begin with their heading and a colon. Their lines are kept.
fn add_notes(page: &mut Roff, command: &Command) {
    let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for note in notes.split("\n\n").filter(|note| !note.is_empty()) {
        let (heading, text) = note.split_once(':').expect("a note below the options begins with a heading");
        page.control("SH", [heading.to_uppercase().as_str()]);
        if !text.starts_with('\n') {
            page.text([roman(text.trim())]);
            continue;
        }
        page.control("nf", []);
        for line in text.trim_matches('\n').lines() {
            page.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
        }
        page.control("fi", []);
    }
}
