//! From a request's path to the name of an entry, exactly as the filer's router does it.
//!
//! Seen on the filer: first the path is cleaned as it was sent, still escaped (`//`, `/./`, `/x/..`); then it is
//! decoded once; then one trailing slash is dropped. What decodes to `.` or `..` or an empty component is looked up
//! as it is, and found nowhere. The filer's gRPC cleans once more, so such a path must not reach it from here: it
//! would name another file than the one that was checked.
//!
//! A path with a byte that Go would have escaped (`{`, `"`, `|`, all that is no ASCII) is decoded first, and then cleaned:
//! Go escapes all of it anew before it looks (`URL.EscapedPath` in `net/url`), and an escaped dot needs no escape.

use std::fmt;

use percent_encoding::{percent_decode, percent_decode_str};

/// Paths that the filer's HTTP server answers itself, whatever is stored there.
const SERVED_BY_THE_FILER: [&str; 5] = ["/favicon.ico", "/healthz", "/readyz", "/seaweedfsstatic", "/.tus"];
/// Directories of that kind. `/.tus` is where resumable uploads live unless the operator moved them.
const TREES_SERVED_BY_THE_FILER: [&str; 2] = ["/seaweedfsstatic/", "/.tus/"];

/// The absolute, clean, decoded path of an entry that is not the root.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntryPath {
    path: String,
    /// Where the slash before the last component is.
    slash: usize,
    trailing_slash: bool,
}

/// Why a path is left to the filer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryPathError {
    /// The root is a directory.
    #[error("the root is a directory")]
    Root,
    /// The filer's HTTP server keeps this path for itself.
    #[error("the filer keeps this path for itself")]
    Reserved,
    /// Only the filer can say what it makes of this path.
    #[error("not a plain absolute path")]
    Odd,
}

impl EntryPath {
    /// Reads a path as it stood in the request: escaped, without the query.
    ///
    /// # Errors
    /// If only the filer can answer: the root, paths of its own, and paths that are not plain (relative, wrongly
    /// escaped, in a directory that is not UTF-8, with a NUL, or with escaped dots or slashes that would clean to another
    /// path).
    pub fn parse(raw: &str) -> Result<Self, EntryPathError> {
        // Judged before cleaning: the filer refuses a broken escape even in a component that `..` takes away.
        if !escapes_are_whole(raw) {
            return Err(EntryPathError::Odd);
        }
        let decoded = sanitized(routed(raw).ok_or(EntryPathError::Odd)?).ok_or(EntryPathError::Odd)?;
        if decoded == "/" {
            return Err(EntryPathError::Root);
        }
        let path = decoded.strip_suffix('/').unwrap_or(&decoded);
        // Before it counts as one of the filer's own: what only begins like one may end elsewhere.
        if path.contains('\0') || path[1..].split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(EntryPathError::Odd);
        }
        if is_served_by_the_filer(&decoded) {
            return Err(EntryPathError::Reserved);
        }
        let slash = path.rfind('/').ok_or(EntryPathError::Odd)?;
        Ok(Self { path: path.to_owned(), slash, trailing_slash: path.len() < decoded.len() })
    }

    /// Reads a path that is not escaped.
    ///
    /// # Errors
    /// As [`EntryPath::parse`].
    pub fn parse_decoded(path: &str) -> Result<Self, EntryPathError> {
        // Of what stands in it a percent sign alone would be read as something else.
        Self::parse(&path.replace('%', "%25"))
    }

    /// The whole path, e.g. `/buckets/b/key`.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// The directory, `/` for an entry right below the root; otherwise without a trailing slash.
    pub fn directory(&self) -> &str {
        if self.slash == 0 { "/" } else { &self.path[..self.slash] }
    }

    /// The last component.
    pub fn name(&self) -> &str {
        &self.path[self.slash + 1..]
    }

    /// Whether the request's path ended in a slash. A file is answered all the same.
    pub fn had_trailing_slash(&self) -> bool {
        self.trailing_slash
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryPath({:?})", self.path)
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// The path as the filer looks it up: what is not UTF-8 in the last component is `_`, once for each run of such bytes
/// (`DirAndName` in `weed/util/fullpath.go` @4.48). `None`: the directory is not UTF-8, which no entry's is.
fn sanitized(decoded: Vec<u8>) -> Option<String> {
    let decoded = match String::from_utf8(decoded) {
        Ok(decoded) => return Some(decoded),
        Err(error) => error.into_bytes(),
    };
    let whole = decoded.strip_suffix(b"/").unwrap_or(&decoded);
    let name = whole.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let mut path = std::str::from_utf8(&decoded[..name]).ok()?.to_owned();
    let mut in_run = false;
    for chunk in decoded[name..].utf8_chunks() {
        path.push_str(chunk.valid());
        in_run &= chunk.valid().is_empty();
        if !chunk.invalid().is_empty() && !std::mem::replace(&mut in_run, true) {
            path.push('_');
        }
    }
    Some(path)
}

/// A whole path, cleaned and decoded, as the filer's router hands it on. `None`: not absolute.
pub(crate) fn routed(raw: &str) -> Option<Vec<u8>> {
    if raw.bytes().all(is_left_by_go) {
        return Some(percent_decode(&clean(raw.as_bytes())?).collect());
    }
    clean(&percent_decode_str(raw).collect::<Vec<u8>>())
}

/// Whether Go takes a path with that byte for escaped as it should be (`validEncoded` in `net/url`).
fn is_left_by_go(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@[]%/".contains(&byte)
}

/// Go's `path.Clean` with a trailing slash kept, as its HTTP router applies it. `None`: not absolute.
fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let mut parts = Vec::new();
    for part in path.strip_prefix(b"/")?.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut cleaned = Vec::with_capacity(path.len());
    for part in &parts {
        cleaned.push(b'/');
        cleaned.extend_from_slice(part);
    }
    if cleaned.is_empty() || path.ends_with(b"/") {
        cleaned.push(b'/');
    }
    Some(cleaned)
}

/// Whether every `%` is followed by two hex digits; the filer refuses the others, a decoder would let them pass.
fn escapes_are_whole(path: &str) -> bool {
    path.split('%').skip(1).all(|rest| {
        let mut bytes = rest.bytes();
        (0..2).all(|_| bytes.next().is_some_and(|b| b.is_ascii_hexdigit()))
    })
}

fn is_served_by_the_filer(path: &str) -> bool {
    SERVED_BY_THE_FILER.contains(&path) || TREES_SERVED_BY_THE_FILER.iter().any(|tree| path.starts_with(tree))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(raw: &str) -> String {
        EntryPath::parse(raw).unwrap().as_str().to_owned()
    }

    #[test]
    fn a_path_is_shown_without_the_slash_at_its_end_which_is_remembered() {
        for (raw, slash) in [("/a%20b/c", false), ("/a%20b/c/", true)] {
            let path = EntryPath::parse(raw).unwrap();
            assert_eq!(path.had_trailing_slash(), slash, "{raw}");
            assert_eq!((path.to_string(), format!("{path:?}")), ("/a b/c".into(), r#"EntryPath("/a b/c")"#.into()));
        }
    }

    #[test]
    fn cleans_what_the_filer_cleans() {
        for raw in [
            "/d/a.txt",
            "//d//a.txt",
            "/d/./a.txt",
            "/x/../d/a.txt",
            "/d/a.txt/",
            "/d/a.txt//",
            "/d/a.txt/.",
            "/../d/a.txt",
            "/d%2Fa.txt",
            "/d/a.txt%2F",
            "/%64/a.txt//",
            "/d//%61.txt",
        ] {
            assert_eq!(parsed(raw), "/d/a.txt", "{raw}");
        }
    }

    #[test]
    fn decodes_once() {
        assert_eq!(parsed("/d/a%2541.txt"), "/d/a%41.txt");
        assert_eq!(parsed("//d/q%3Fz"), "/d/q?z");
        assert_eq!(parsed("/d/a+b%20%C3%BC"), "/d/a+b ü");
        assert_eq!(parsed("/d/ü"), "/d/ü");
    }

    #[test]
    fn a_path_that_is_not_escaped_is_taken_as_it_stands() {
        for path in ["/d/a%41.txt", "/d/100%", "/d/%zz", "/d/a?b#c;d ü+\n", "/d/%2e%2e/a"] {
            assert_eq!(EntryPath::parse_decoded(path).unwrap().as_str(), path);
        }
        assert_eq!(EntryPath::parse_decoded("/d/../e//a").unwrap().as_str(), "/e/a");
        assert_eq!(EntryPath::parse_decoded("d/a"), Err(EntryPathError::Odd));
    }

    #[test]
    fn what_is_not_utf_8_in_a_name_is_an_underscore() {
        for (raw, path) in [
            ("/d/a%ff.txt", "/d/a_.txt"),
            ("/d/a%ff%fe.txt/", "/d/a_.txt"),
            ("/d/%ffa%ff", "/d/_a_"),
            ("/d/%e2%82%ff%C3%BC", "/d/_ü"),
            ("/%ff", "/_"),
        ] {
            assert_eq!(parsed(raw), path, "{raw}");
        }
    }

    /// Found by the filer, which gave what is stored of an encrypted object, while it was left to the filer here.
    #[test]
    fn what_go_would_escape_anew_is_cleaned_when_it_is_decoded() {
        for raw in [
            "/d/{/%2e%2e/a.txt",
            "/d/{%2F..%2Fa.txt",
            "/d/\"/%2E%2e/a.txt",
            "/|/..%2fd/a.txt",
            "/ü/%2e%2e/d/a.txt",
            "/d/%2e/x{/../a.txt",
            "/d%2F%2F^/..%2Fa.txt",
            "/seaweedfsstatic/{/%2e%2e/%2e%2e/d/a.txt",
        ] {
            assert_eq!(parsed(raw), "/d/a.txt", "{raw}");
        }
        assert_eq!(parsed("/d/{/%252e%252e/a.txt"), "/d/{/%2e%2e/a.txt", "once");
        assert_eq!(EntryPath::parse("/{/%2e%2e"), Err(EntryPathError::Root));
        assert_eq!(EntryPath::parse("/{/%2e%2e/healthz"), Err(EntryPathError::Reserved));
        assert_eq!(EntryPath::parse("/seaweedfsstatic/%2e%2e/d/a.txt"), Err(EntryPathError::Odd));
        for raw in ["/d/'/%2e%2e/a.txt", "/d/[]/%2e%2e/a.txt", "/d/!$&()*+,;=:@~/%2e%2e/a.txt"] {
            assert_eq!(EntryPath::parse(raw), Err(EntryPathError::Odd), "{raw}");
        }
    }

    #[test]
    fn splits_directory_and_name() {
        let path = EntryPath::parse("/buckets/b/key").unwrap();
        assert_eq!((path.directory(), path.name()), ("/buckets/b", "key"));
        let path = EntryPath::parse("/key/").unwrap();
        assert_eq!((path.directory(), path.name(), path.had_trailing_slash()), ("/", "key", true));
    }

    #[test]
    fn leaves_to_the_filer_what_a_lookup_would_clean_again() {
        for raw in [
            "/%2e%2e/d/a.txt",
            "/d/%2e/a.txt",
            "/d/x%2F..%2Fa.txt",
            "/d%2F%2Fa.txt",
            "/d/a.txt%2F%2F",
            "/d/..%2f..",
            "/d/a%00.txt",
            "/d%ff/a.txt",
            "/d/a%zz",
            "/d/a%",
            "/d/a%4",
            "/%zz/../d/a.txt",
            "d/a.txt",
            "*",
            "",
        ] {
            assert_eq!(EntryPath::parse(raw), Err(EntryPathError::Odd), "{raw}");
        }
    }

    #[test]
    fn knows_the_root_and_the_filers_own_paths() {
        for raw in ["/", "//", "/./", "/d/..", "/x/../"] {
            assert_eq!(EntryPath::parse(raw), Err(EntryPathError::Root), "{raw}");
        }
        for raw in ["/healthz", "/readyz", "//favicon.ico", "/seaweedfsstatic/x.css", "/.tus", "/%2etus//x"] {
            assert_eq!(EntryPath::parse(raw), Err(EntryPathError::Reserved), "{raw}");
        }
        assert_eq!(parsed("/d/healthz"), "/d/healthz");
    }

    proptest! {
        #[test]
        fn an_entry_is_always_plain(raw in "(/|\\.|%2e|%2F|%2f|%25|%00|%ff|%e2%82|[a-c]|[{|\"^]|ü|%C3%BC){0,12}") {
            if let Ok(path) = EntryPath::parse(&raw) {
                prop_assert!(path.as_str().starts_with('/'));
                let parts: Vec<_> = path.as_str()[1..].split('/').collect();
                prop_assert!(parts.iter().all(|part| !matches!(*part, "" | "." | "..")));
                prop_assert_eq!(parts.last(), Some(&path.name()));
                let joined = format!("{}/{}", path.directory().trim_end_matches('/'), path.name());
                prop_assert_eq!(joined, path.as_str());
            }
        }

        #[test]
        fn any_text_is_taken_or_left(raw in "\\PC*") {
            let _ = EntryPath::parse(&raw);
        }
    }
}
