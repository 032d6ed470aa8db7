//! Writes what a package has beside the binary: manual pages and completions of shells.
//!
//!     cargo run -p manual -- DIR DATE
//!
//! DATE, as 2026-01-31, stands at the foot of the pages. //! All of it is made from the command line's and the configuration's own declarations. It is no part of the binary, which
//! needs none of it when it serves, and a crate of its own, so that a package is made with one build of the others.

mod command_page;
mod configuration_page;
mod prose;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use clap::CommandFactory as _;
use clap_complete::Shell;
use tidegate::cli::Invocation;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(date)) = (arguments.next(), arguments.next()) else {
        return Err("usage: manual DIR DATE".into());
    };
    let directory = PathBuf::from(directory);
    write_pages(&directory.join("man"), &date)?;
    write_completions(&directory.join("completions"))?;
    Ok(())
}

fn write_pages(directory: &Path, date: &str) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(directory)?;
    for (name, page) in command_page::all(Invocation::command(), date)? {
        fs::write(directory.join(name), page)?;
    }
    fs::write(directory.join("tidegate.toml.5"), configuration_page::render(date))?;
    Ok(())
}

fn write_completions(directory: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(directory)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Invocation::command(), "tidegate", directory)?;
    }
    Ok(())
}
