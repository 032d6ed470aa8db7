//! `[prefetch]`

use std::time::Duration;

use figment::value::Value;

use crate::config::{
    Size, Window,
    declare::section,
    setting::{InvalidValue, Setting},
};

/// Which chunks are checked against the volume server's CRC-32C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// None.
    Off,
    /// Those that are read whole.
    Whole,
    /// All, before a byte of them goes out.
    Always,
}

impl Setting for Verify {
    const EXPECTS: &'static str = "\"whole\", \"always\" or \"off\"; true is \"whole\", false is \"off\"";

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "whole" | "true" => Ok(Self::Whole),
            "always" => Ok(Self::Always),
            "off" | "false" => Ok(Self::Off),
            _ => Err(InvalidValue::type_or_form()),
        }
    }

    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
        match value {
            Value::Bool(_, true) => Ok(Self::Whole),
            Value::Bool(_, false) => Ok(Self::Off),
            other => other.as_str().ok_or(InvalidValue::type_or_form()).and_then(Self::parse),
        }
    }

    fn show(&self) -> Option<String> {
        let word = match self {
            Self::Off => "off",
            Self::Whole => "whole",
            Self::Always => "always",
        };
        Some(format!("\"{word}\""))
    }
}

section! {
    /// How the chunks of a download are fetched ahead of its client.
    pub struct Prefetch {
        /// Chunks in flight per download. `auto` sizes it by what the download sees; 1 fetches one after the other.
        window: Window = "auto";
        /// Memory for the fetched bytes of all downloads together.
        memory: Size = "256MiB", min "8MiB";
        /// Requests at once to one volume server.
        per_server: u32 = "16", min "1", max "4096";
        /// Which chunks are checked against the volume server's CRC-32C: those that are read whole, all, or none. With `always`
        /// a chunk of which a range is wanted is fetched whole, and checked before a byte of it goes out.
        verify: Verify = "whole";
        /// How long a connection to a volume server may take.
        connect_timeout: Duration = "5s", min "1ms", max "1h";
        /// How long a volume server may take from the request to the first byte of its answer.
        first_byte_timeout: Duration = "30s", min "1ms", max "1h";
        /// How long a volume server may pause between two bytes. The clock stands while the client is the slow side.
        idle_timeout: Duration = "30s", min "1ms", max "1h";
    }
}
