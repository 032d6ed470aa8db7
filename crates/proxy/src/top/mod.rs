//! `tidegate top`: the status of a running daemon in a terminal.
//!
//! Knows what `/status.json` says and what a terminal can show. Must not know where any of it comes from.

mod fetch;
mod screen;
mod sort;
mod terminal;

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

pub use self::{fetch::Source, sort::Sort};
use self::{screen::ScreenStyle, terminal::Terminal};
use crate::status::Status;

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(1);
/// Characters on a line where nobody says how many there are.
const WIDTH: usize = 100;
/// As many at most.
const WIDEST: usize = 1000;

/// Where the daemon is found that listens for its admin at `admin`.
///
/// # Errors
/// In one sentence, when that does not say it.
pub fn url_of(admin: SocketAddr) -> Result<String, String> {
    if admin.port() == 0 {
        return Err(
            "server.admin takes any free port: name the one that the log tells with --url http://host:port".into()
        );
    }
    let ip = match admin.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(format!("http://{}", SocketAddr::new(ip, admin.port())))
}

/// Shows the status of a daemon, every second until `q` is pressed, or `once`. Must be called within a Tokio runtime.
///
/// # Errors
/// In one sentence, when there is none to show at first, or it cannot be shown.
pub async fn run(source: &Source, once: bool, sort: Sort) -> Result<(), String> {
    let status = source.status().await?;
    let colour = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()) && io::stdout().is_terminal();
    if once {
        let width = terminal::width().or_else(columns).unwrap_or(WIDTH);
        let lines = screen::lines(&status, &ScreenStyle { width, height: usize::MAX, colour, sort });
        return print(lines.join("\n") + "\n");
    }
    let mut terminal = Terminal::open().map_err(cannot_show)?;
    let mut sort = sort;
    let mut shown: Result<Status, String> = Ok(status);
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        let (width, height) = terminal.size();
        let look = ScreenStyle { width, height, colour, sort };
        let lines = match &shown {
            Ok(status) => screen::lines(status, &look),
            Err(reason) => screen::lost(reason, &look),
        };
        terminal.show(&lines).map_err(cannot_show)?;
        tokio::select! {
            key = terminal.key() => match key {
                Some(b'q' | b'Q') | None => return Ok(()),
                Some(b's' | b'S') => sort = sort.next(),
                Some(_) => {}
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
            _ = ticks.tick() => shown = source.status().await,
        }
    }
}

fn print(page: String) -> Result<(), String> {
    match io::stdout().write_all(page.as_bytes()) {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.map_err(cannot_show),
    }
}

fn columns() -> Option<usize> {
    columns_of(&std::env::var("COLUMNS").ok()?)
}

/// A width that somebody says, who may want lines that are never cut: they are not filled up to millions of blanks.
fn columns_of(text: &str) -> Option<usize> {
    text.parse().ok().filter(|width| *width > 0).map(|width: usize| width.min(WIDEST))
}

fn cannot_show(error: impl Display) -> String {
    format!("cannot show the status: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_width_is_too_much() {
        assert_eq!([columns_of("80"), columns_of("0"), columns_of("x")], [Some(80), None, None]);
        let wide = ScreenStyle {
            width: columns_of("18446744073709551615").unwrap(),
            height: usize::MAX,
            colour: false,
            sort: Sort::Rate,
        };
        assert!(screen::lines(&Status::default(), &wide).iter().all(|line| line.len() <= WIDEST));
    }

    #[test]
    fn whoever_listens_everywhere_is_found_here() {
        let url = |admin: &str| url_of(admin.parse().unwrap());
        assert_eq!(url("0.0.0.0:8881").unwrap(), "http://127.0.0.1:8881");
        assert_eq!(url("[::]:8881").unwrap(), "http://[::1]:8881");
        assert_eq!(url("10.0.0.7:1").unwrap(), "http://10.0.0.7:1");
        assert!(url("127.0.0.1:0").unwrap_err().contains("--url"));
    }
}
