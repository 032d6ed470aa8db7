//! `[log]`

use crate::{
    config::{declare::section, scope::Scope, values::choice},
    settings::Error,
};

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
        /// What suits where the lines go.
        Auto = "auto",
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
    expects "\"auto\", \"text\" or \"json\""
}

choice! {
    /// Which requests have a line in the access log.
    pub enum AccessLog {
        /// None.
        Off = "off",
        /// Every one.
        All = "all",
        /// Those about encrypted objects.
        Encrypted = "encrypted",
    }
    expects "\"off\", \"all\" or \"encrypted\""
}

section! {
    /// What is logged, and how. Logs go to standard error, the access log elsewhere; see [logging](logging.md).
    pub struct Log {
        /// The least important event that is logged. `trace` includes the HTTP and gRPC libraries.
        level: LogLevel = "info";
        /// The form of the lines of both logs. `auto`: text to a terminal, entries with fields to systemd's journal, and JSON to
        /// anything else. `text` leaves colours out unless it writes to a terminal, and writes entries to the journal, too.
        format: LogFormat = "auto";
        /// Which requests have a line in the access log, when their answer is out: `all`, or with `encrypted` those about
        /// objects that are encrypted, as an audit of who read them.
        access: AccessLog = "off";
        /// The file of the access log, which is appended to and opened anew on SIGUSR1; standard output where it is not set.
        access_file: Option<String>;
        /// One of so many requests has a line in the access log, by chance, with `one_of` in it. Those that ended badly have one
        /// each: cut, or answered with 500 or more. 1: every request.
        access_sample: u32 = "1", min "1", max "1000000";
    }
    check = whole;
}

fn whole(log: Log, scope: &Scope<'_>) -> Result<Log, Error> {
    match (log.access, &log.access_file, log.access_sample) {
        (AccessLog::Off, Some(_), _) => Err(scope.error("access_file", "has no effect, because log.access is \"off\"")),
        (AccessLog::Off, None, 2..) => {
            Err(scope.error("access_sample", "has no effect, because log.access is \"off\""))
        }
        (AccessLog::Encrypted, _, 2..) => {
            Err(scope
                .error("access_sample", "must be 1, because log.access is \"encrypted\", an audit that misses nobody"))
        }
        _ => Ok(log),
    }
}
