//! `[log]`

use crate::config::{declare::section, values::choice};

choice! {
    /// The least important event that is logged.
    pub enum LogLevel {
        /// What failed for good.
        Error = "error",
        /// What an operator should look at.
        Warn = "warn",
        /// Start, stop, and what changes in between.
        Info = "info",
        /// Every request.
        Debug = "debug",
        /// Every step, of the libraries too.
        Trace = "trace",
    }
    expects "\"error\", \"warn\", \"info\", \"debug\" or \"trace\""
}

choice! {
    /// The form of a log line.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
    expects "\"text\" or \"json\""
}

section! {
    /// What is logged, and how. Logs go to standard error.
    pub struct Log {
        /// The least important event that is logged. `trace` includes the HTTP and gRPC libraries.
        level: LogLevel = "info";
        /// `text` leaves colours out unless it writes to a terminal, and the time where systemd's journal keeps it.
        format: LogFormat = "text";
    }
}
