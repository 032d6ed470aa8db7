//! What the service manager is told, by the `sd_notify` protocol.
//!
//! Knows systemd's datagram socket. Must not know when there is something to tell.

use std::time::Duration;

use sd_notify::NotifyState;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// All listeners are bound.
    Ready,
    /// The configuration is being read again.
    Reloading,
    /// The daemon lives.
    Alive,
    /// The shutdown has begun, and takes this long at most.
    Stopping(Duration),
    /// A line for `systemctl status`.
    Status(String),
}

/// What the end takes after the drain.
const MARGIN: Duration = Duration::from_secs(5);

/// As `EXTEND_TIMEOUT_USEC` is written here: 71 minutes at most, which is more than `server.lame_duck` and
/// `server.drain_timeout` can be together.
fn microseconds(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// Tells systemd, if it started us (`NOTIFY_SOCKET` is set). A failure is logged only: the daemon works without.
pub fn systemd(notice: Notice) {
    let sent = match &notice {
        Notice::Ready => sd_notify::notify(&[NotifyState::Ready]),
        // `Type=notify-reload` wants the time, to tell one reload from the next.
        Notice::Reloading => {
            NotifyState::monotonic_usec_now().and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now]))
        }
        Notice::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
        // A drain longer than the unit's TimeoutStopSec would else be ended by SIGKILL.
        Notice::Stopping(drain) => {
            sd_notify::notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(microseconds(*drain + MARGIN))])
        }
        Notice::Status(line) => sd_notify::notify(&[NotifyState::Status(line)]),
    };
    if let Err(error) = sent {
        tracing::warn!(%error, ?notice, "systemd could not be notified");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_drain_is_told_in_full() {
        let longest = Duration::from_secs(600 + 3600) + MARGIN;
        assert_eq!(u128::from(microseconds(longest)), longest.as_micros());
        assert_eq!(microseconds(Duration::from_secs(2 * 3600)), u32::MAX);
    }
}
