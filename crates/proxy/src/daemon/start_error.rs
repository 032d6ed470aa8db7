//! Why there is no daemon.

/// Why the daemon could not start, in one line.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;
