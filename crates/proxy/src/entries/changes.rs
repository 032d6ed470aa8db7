//! From the filer's events to the paths that they touch.

use crate::pb;

/// A path that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The path, as [`crate::entry::EntryPath`] writes it; empty for the root.
    pub(super) path: String,
    /// Whether what is below it changed as well.
    pub(super) below: bool,
    /// Whether files above it may have become directories.
    pub(super) above: bool,
}

impl Change {
    /// Whether `path`, where something is that is a directory or not, may be another one now.
    pub(super) fn touches(&self, path: &str, is_directory: bool) -> bool {
        match path.strip_prefix(self.path.as_str()) {
            Some("") => true,
            Some(rest) => self.below && rest.starts_with('/'),
            None => {
                let is_above = || self.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
                self.above && !is_directory && is_above()
            }
        }
    }

    /// The paths above it where a file may have become a directory.
    pub(super) fn ancestors(&self) -> impl Iterator<Item = &str> {
        let slashes = self.path.match_indices('/').map(|(at, _)| at).filter(|at| self.above && *at > 0);
        slashes.map(|at| &self.path[..at])
    }
}

/// What one event touches: the entry where it was, and where it is.
///
/// The filer tells of a moved or deleted directory's files one by one, but a file is deleted in the store only after it
/// was told of. So whatever goes away takes with it what is below.
///
/// A file that something is put below becomes a directory, and keeps its content (`ensureParentDirectoryEntry` in
/// `weed/filer/filer.go` @4.48). The filer tells of it, but not where the something was moved there.
pub(super) fn of(event: &pb::SubscribeMetadataResponse) -> impl Iterator<Item = Change> + use<> {
    let notification = event.event_notification.as_ref();
    let old = notification.and_then(|it| it.old_entry.as_ref()).map(|old| join(&event.directory, &old.name));
    let new = notification.and_then(|it| {
        let parent = if it.new_parent_path.is_empty() { &event.directory } else { &it.new_parent_path };
        it.new_entry.as_ref().map(|new| join(parent, &new.name))
    });
    let in_place = old == new;
    let old = old.map(|path| Change { path, below: !in_place, above: false });
    // Created: nothing was below it, unless it came from somewhere else and brought it along.
    let came_along = old.is_some() && !in_place;
    let new = new.filter(|_| !in_place).map(move |path| Change { path, below: came_along, above: came_along });
    old.into_iter().chain(new)
}

fn join(directory: &str, name: &str) -> String {
    let directory = directory.trim_end_matches('/');
    if name.is_empty() { directory.to_owned() } else { format!("{directory}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(directory: &str, old: Option<&str>, new: Option<(&str, &str)>) -> pb::SubscribeMetadataResponse {
        let named = |name: &str| pb::NamedEntry { name: name.to_owned() };
        let notification = pb::EventNotification {
            old_entry: old.map(named),
            new_entry: new.map(|(_, name)| named(name)),
            new_parent_path: new.map(|(parent, _)| parent.to_owned()).unwrap_or_default(),
            signatures: vec![],
        };
        pb::SubscribeMetadataResponse {
            directory: directory.to_owned(),
            event_notification: Some(notification),
            ..Default::default()
        }
    }

    fn touched(event: &pb::SubscribeMetadataResponse) -> Vec<(String, bool)> {
        of(event).map(|change| (change.path, change.below)).collect()
    }

    #[test]
    fn what_goes_away_takes_along_what_is_below() {
        let path = |path: &str, below| (path.to_owned(), below);
        assert_eq!(touched(&event("/d", None, Some(("/d", "a")))), [path("/d/a", false)]);
        assert_eq!(touched(&event("/d", Some("a"), Some(("/d", "a")))), [path("/d/a", false)]);
        assert_eq!(touched(&event("/d", Some("a"), Some(("", "a")))), [path("/d/a", false)]);
        assert_eq!(touched(&event("/d", Some("a"), None)), [path("/d/a", true)]);
        assert_eq!(touched(&event("/", Some("a"), Some(("/e", "b")))), [path("/a", true), path("/e/b", true)]);
        let heartbeat = pb::SubscribeMetadataResponse { ts_ns: 1, ..Default::default() };
        assert_eq!(touched(&heartbeat), []);
    }

    #[test]
    fn below_is_by_component() {
        let change = Change { path: "/d/a".to_owned(), below: true, above: false };
        let touches = |path| change.touches(path, false);
        assert!(touches("/d/a") && touches("/d/a/b/c"));
        assert!(!touches("/d/ab") && !touches("/d") && !touches("/e/d/a"));
        let alone = Change { below: false, ..change.clone() };
        assert!(alone.touches("/d/a", false) && !alone.touches("/d/a/b", false));
        assert!(Change { path: String::new(), ..change }.touches("/anything", false));
    }

    /// The file that it was moved below was served for as long as nobody wrote it.
    #[test]
    fn what_is_moved_below_a_file_makes_it_a_directory() {
        let changes: Vec<_> = of(&event("/e", Some("f"), Some(("/d/a/b", "f")))).collect();
        let touched = |path, is_directory| changes.iter().any(|change| change.touches(path, is_directory));
        assert!(touched("/d/a", false) && touched("/d", false) && touched("/d/a/b", false));
        assert!(!touched("/d/a", true) && !touched("/d/a/b", true), "a directory stays one");
        assert!(!touched("/d/a/bc", false) && !touched("/", false));
        assert!(!touched("/e", false), "nothing was put there");
        assert_eq!(changes.iter().flat_map(Change::ancestors).collect::<Vec<_>>(), ["/d", "/d/a", "/d/a/b"]);
        let created: Vec<_> = of(&event("/d/a", None, Some(("/d/a", "f")))).collect();
        assert_eq!(created.iter().flat_map(Change::ancestors).count(), 0, "which the filer tells of");
    }
}
