//! Which source set a key, and the key's full name.

use std::collections::BTreeMap;

use super::values::quoted;

/// Which source set which key, by the key's full name. A key that is not in it has its default.
pub(super) type Provenance = BTreeMap<String, String>;

/// A key's full name as TOML writes it: parts that are not bare keys in quotes.
pub(super) fn dotted(path: &[String]) -> String {
    let bare =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let quoted = |part: &String| if bare(part) { part.clone() } else { quoted(part) };
    path.iter().map(quoted).collect::<Vec<_>>().join(".")
}
