//! The command line: what `tidegate` is asked to do.
//!
//! Knows flags, subcommands and their help. Must not know what is in the configuration file.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{
    daemon::CheckedConfig,
    settings::{Environment, Error},
    top::Sort,
};

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  tidegate --config /etc/tidegate/tidegate.toml
      serve in the foreground until SIGTERM or SIGINT
  tidegate check --config ./tidegate.toml
      say what is wrong with the file, or print what is in force
  tidegate explain /buckets/photos/cat.jpg
      say why a file can or cannot be read
  tidegate top
      say what the running daemon is doing
  TIDEGATE_LOG__LEVEL=debug tidegate --config ./tidegate.toml
      set one key for this run

Exit codes: 0 done, 1 failed, or what is explained cannot be read, 2 the command line or the configuration is wrong.";

/// What the command line says.
#[derive(Debug, PartialEq, Eq, Parser)]
#[command(
    name = "tidegate",
    version,
    about = "Serves a SeaweedFS filer's reads: fetches chunks ahead of the client and decrypts them as they stream.",
    after_help = EXAMPLES,
    disable_help_subcommand = true
)]
pub struct Invocation {
    /// The configuration file [default: /etc/tidegate/tidegate.toml]
    #[arg(long, short, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// What to do; `None`: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What `tidegate` can do besides serving.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Validate the configuration and print what is in force, secrets masked
    Check,
    /// Show one file: its chunks, whether each replica answers, its encryption, and whether its keys open
    Explain {
        /// The path at the filer, as /buckets/photos/cat.jpg, or the object, as s3://photos/cat.jpg
        #[arg(value_name = "PATH")]
        path: String,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show what a running daemon is doing, as the page at its admin listener does; q quits, s sorts
    Top {
        /// The daemon's admin listener, as http://127.0.0.1:8881 [default: server.admin of the configuration]
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        /// Print once and end
        #[arg(long)]
        once: bool,
        /// What downloads are sorted by: rate, age or left
        #[arg(long, value_name = "COLUMN", default_value = "rate", hide_possible_values = true)]
        sort: Sort,
    },
}

/// Reads this process's command line. `--help`, `--version` and mistakes are answered here and end the process.
pub fn parse() -> Invocation {
    Invocation::parse()
}

impl Invocation {
    /// Reads the configuration that the command line names, under this process's environment.
    ///
    /// # Errors
    /// The first thing wrong with it, on one line.
    pub fn load(&self) -> Result<CheckedConfig, Error> {
        CheckedConfig::read(self.config.as_deref(), &Environment::of_process()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Invocation {
        Invocation::try_parse_from([&["tidegate"], arguments].concat()).unwrap()
    }

    #[test]
    fn the_file_may_stand_before_or_after_the_command() {
        let config = Some(PathBuf::from("a.toml"));
        assert_eq!(of(&[]), Invocation { config: None, command: None });
        assert_eq!(of(&["--config", "a.toml"]), Invocation { config: config.clone(), command: None });
        let check = Invocation { config, command: Some(Command::Check) };
        assert_eq!(of(&["check", "--config", "a.toml"]), check);
        let explain = Some(Command::Explain { path: "/a/b".to_owned(), json: true });
        assert_eq!(of(&["explain", "--json", "/a/b"]), Invocation { config: None, command: explain });
        assert_eq!(of(&["--config=a.toml", "check"]), check);
        let top = Command::Top { url: Some("http://a:1".to_owned()), once: true, sort: Sort::Age };
        assert_eq!(of(&["top", "--once", "--sort", "age", "--url", "http://a:1"]).command, Some(top));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for arguments in
            [&["serve"][..], &["--confg", "a"], &["--config"], &["check", "a.toml"], &["top", "--sort", "size"]]
        {
            let error = Invocation::try_parse_from([&["tidegate"], arguments].concat()).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
        }
    }
}
