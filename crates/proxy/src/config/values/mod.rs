//! The types that keys can have, each with its text form. A parser here must not know which key it reads.

mod address;
mod cache_size;
mod ceiling;
mod choice;
mod domain;
mod duration;
mod gateway;
mod list;
mod network;
mod plain;
mod secret;
mod size;
mod window;

pub use address::FilerAddress;
pub use cache_size::CacheSize;
pub use ceiling::Ceiling;
pub(super) use choice::choice;
pub use domain::Domain;
pub use duration::Seconds;
pub use gateway::GatewayUrl;
pub use secret::Secret;
pub use size::Size;
pub use window::Window;

/// `text` as a TOML string on one line. The `toml` crate would spread text with line breaks over several; JSON's escapes
/// are TOML's too, but for DEL, which JSON lets stand.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\x7f', "\\u007F")
}

/// The items of a comma separated list, without the blanks around them.
fn comma_separated(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}
