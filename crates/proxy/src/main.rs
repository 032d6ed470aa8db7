//! The `tidegate` command.

// Each layer around a front is some futures within each other, and an optimised build lays all of them out as one.
#![recursion_limit = "256"]

use std::{io::Write as _, process::ExitCode, sync::Arc};

use tidegate::{
    cli::{self, Command},
    daemon::{self, CheckedConfig, StartError},
    free_memory, logging,
    metrics::LostLines,
    open_files, settings, top, undumpable,
};

/// A request makes some hundred small allocations, in one thread, and frees them in another: no work for the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command line or the configuration is wrong; systemd need not try again.
const MISCONFIGURED: u8 = 2;

fn main() -> ExitCode {
    if let Err(error) = undumpable::make_undumpable() {
        eprintln!("tidegate: cannot keep its memory out of core files: {error}");
        return ExitCode::FAILURE;
    }
    let invocation = cli::parse();
    // Whoever names the daemon needs no configuration.
    if let Some(Command::Top { url: Some(url), once, sort }) = &invocation.command {
        return show(url, *once, *sort);
    }
    let loaded = match invocation.load() {
        Ok(loaded) => loaded,
        Err(error) => return misconfigured(&error),
    };
    match invocation.command {
        Some(Command::Check) => check(loaded),
        Some(Command::Explain { path, json }) => explain(loaded, &path, json),
        Some(Command::Top { once, sort, .. }) => match top::url_of(loaded.config.server.admin) {
            Ok(url) => show(&url, once, sort),
            Err(reason) => misconfigured(&reason),
        },
        None => serve(loaded),
    }
}

/// Prints what is in force, if a daemon could start with it.
fn check(loaded: CheckedConfig) -> ExitCode {
    let Some(runtime) = runtime() else { return ExitCode::FAILURE };
    let page = loaded.to_toml();
    // Connections are made of parts that want to be made within a runtime.
    let checked = runtime.block_on(async { daemon::check(loaded) });
    if let Err(error) = checked {
        return failed(&error);
    }
    match std::io::stdout().write_all(page.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidegate: cannot print the configuration: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what there is to know of one file.
fn explain(loaded: CheckedConfig, path: &str, json: bool) -> ExitCode {
    let Some(runtime) = runtime() else { return ExitCode::FAILURE };
    let report = match runtime.block_on(daemon::explain(loaded, path)) {
        Ok(report) => report,
        Err(error) => return failed(&error),
    };
    let page = if json { report.to_json() } else { report.to_table() };
    match std::io::stdout().write_all(page.as_bytes()) {
        Ok(()) if report.readable => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tidegate: cannot print the report: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Shows what the daemon is doing whose admin listener is at `url`.
fn show(url: &str, once: bool, sort: top::Sort) -> ExitCode {
    let source = match top::Source::new(url) {
        Ok(source) => source,
        Err(reason) => return misconfigured(&reason),
    };
    let Some(runtime) = runtime() else { return ExitCode::FAILURE };
    match runtime.block_on(top::run(&source, once, sort)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("tidegate: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn misconfigured(reason: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("tidegate: {reason}");
    ExitCode::from(MISCONFIGURED)
}

fn runtime() -> Option<tokio::runtime::Runtime> {
    match tokio::runtime::Builder::new_multi_thread().enable_all().on_thread_park(free_memory::give_back).build() {
        Ok(runtime) => Some(runtime),
        Err(error) => {
            eprintln!("tidegate: cannot start threads: {error}");
            None
        }
    }
}

/// Serves until told to stop.
fn serve(loaded: CheckedConfig) -> ExitCode {
    let logging = LostLines::new().map_err(StartError::from).and_then(|lost| {
        let logging = logging::init(&loaded.config.log, &lost)?;
        Ok((logging, Arc::new(lost)))
    });
    let (logging, lost) = match logging {
        Ok(logging) => logging,
        Err(error) => return failed(&error),
    };
    open_files::raise();
    let Some(runtime) = runtime() else { return ExitCode::FAILURE };
    let ended = runtime.block_on(daemon::run(loaded, lost, logging.change()));
    drop(runtime);
    // What is said below stands behind the last line.
    drop(logging);
    match ended {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Says why, and by the exit code whether a change of the configuration is what it takes.
fn failed(error: &StartError) -> ExitCode {
    eprintln!("tidegate: {error}");
    if error.is::<settings::Error>() { ExitCode::from(MISCONFIGURED) } else { ExitCode::FAILURE }
}
