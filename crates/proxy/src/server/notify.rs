//! What the service manager is told, by the `sd_notify` protocol.
//!
//! Knows systemd's datagram socket. Must not know when there is something to tell.

use sd_notify::NotifyState;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// All listeners are bound.
    Ready,
    /// The shutdown has begun.
    Stopping,
    /// A line for `systemctl status`.
    Status(String),
}

/// Tells systemd, if it started us (`NOTIFY_SOCKET` is set). A failure is logged only: the daemon works without.
pub(super) fn systemd(notice: Notice) {
    let sent = match &notice {
        Notice::Ready => sd_notify::notify(&[NotifyState::Ready]),
        Notice::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
        Notice::Status(line) => sd_notify::notify(&[NotifyState::Status(line)]),
    };
    if let Err(error) = sent {
        tracing::warn!(%error, ?notice, "systemd could not be notified");
    }
}
