//! The `tidegate` command.

use std::{io::Write as _, process::ExitCode};

use proxy::{
    cli::{self, Command},
    config::Loaded,
    daemon, logging,
};

/// The command line or the configuration is wrong; systemd need not try again.
const MISCONFIGURED: u8 = 2;

fn main() -> ExitCode {
    let invocation = cli::parse();
    let loaded = match invocation.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("tidegate: {error}");
            return ExitCode::from(MISCONFIGURED);
        }
    };
    match invocation.command {
        Some(Command::Check) => check(&loaded),
        None => serve(loaded),
    }
}

/// Prints what is in force.
fn check(loaded: &Loaded) -> ExitCode {
    match std::io::stdout().write_all(loaded.to_toml().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidegate: cannot print the configuration: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until told to stop.
fn serve(Loaded { config, security, .. }: Loaded) -> ExitCode {
    logging::init(&config.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tidegate: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(daemon::run(config, security)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidegate: {error}");
            ExitCode::FAILURE
        }
    }
}
