//! Targets with a fragment, found before hyper reads them.
//!
//! A request's target has none (RFC 9112, section 3.2). Of `DELETE /a#b` hyper makes `DELETE /a` and tells nobody, where the
//! filer and the S3 gateway take the `#` for a part of the name: another file would be served, or deleted. So all that comes
//! is looked through for what could be the line of a request, and a request is refused whose line is one with a fragment.
//!
//! Knows how the line of a request ends. Must not know where one begins: bodies are looked through as well. What looks like a
//! line there is passed over when the next request comes, unless it has the very target of that one. HTTP/2 packs its headers,
//! so there this sees nothing.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use http::Uri;
use memchr::{memchr, memmem, memrchr};

/// What stands behind a target and a space.
const VERSION: &[u8] = b"HTTP/1.";
/// hyper takes no longer target.
const LONGEST: usize = u16::MAX as usize;
/// Lines that are remembered: of requests whose turn comes yet, and what a body had in it.
const REMEMBERED: usize = 1024;

/// The lines that were found on one connection, and whose request has not come.
#[derive(Default)]
pub(super) struct RequestLines(Mutex<VecDeque<RequestLine>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RequestLine {
    target: Target,
    has_fragment: bool,
}

/// A target without its fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// The path and the query, by their hash.
    Path(u64),
    /// Something with a host, which hyper writes in its own way.
    Host,
}

impl RequestLines {
    /// Whether the line of the request that comes next had a fragment, whose target hyper has read to be this.
    pub(super) fn had_fragment(&self, target: &Uri) -> bool {
        let target = match (target.authority(), target.path_and_query()) {
            (None, Some(path)) => path.as_str().bytes().fold(Word::default(), Word::and).target(),
            _ => Target::Host,
        };
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = lines.iter().position(|line| line.target == target);
        let until_it = place.map_or(0, |place| place + 1);
        lines.drain(..until_it).next_back().is_some_and(|line| line.has_fragment)
    }

    fn found(&self, word: Word) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == REMEMBERED {
            lines.pop_front();
        }
        lines.push_back(RequestLine { target: word.target(), has_fragment: word.has_fragment });
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Looks through the bytes of one connection.
pub(super) struct RequestLineWatch {
    state: State,
    lines: Arc<RequestLines>,
}

/// Where it is.
#[derive(Clone, Copy)]
enum State {
    /// In nothing that can be a target: one begins behind a space.
    Outside,
    Target(Word),
    /// Behind the space that ends one, in so many bytes of [`VERSION`].
    Version(Word, usize),
}

/// A target as far as it was read.
#[derive(Clone, Copy, Default)]
struct Word {
    /// FNV-1a of what stands before a `#`. Who makes another target of the same hash is mistaken for himself.
    hash: u64,
    length: usize,
    has_host: bool,
    has_fragment: bool,
}

impl Word {
    fn and(self, byte: u8) -> Self {
        let length = self.length + 1;
        if self.has_fragment || byte == b'#' {
            return Self { length, has_fragment: true, ..self };
        }
        let hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self { hash, length, has_host: self.has_host || (self.length == 0 && byte != b'/'), ..self }
    }

    fn target(self) -> Target {
        if self.has_host { Target::Host } else { Target::Path(self.hash) }
    }
}

impl RequestLineWatch {
    pub(super) fn new(lines: Arc<RequestLines>) -> Self {
        Self { state: State::Outside, lines }
    }

    /// What comes next has not been seen, and nothing before it counts.
    pub(super) fn reset(&mut self) {
        self.state = State::Outside;
        self.lines.clear();
    }

    /// These bytes have come.
    pub(super) fn see(&mut self, mut bytes: &[u8]) {
        while let (State::Version(..), Some((byte, rest))) = (self.state, bytes.split_first()) {
            self.step(*byte);
            bytes = rest;
        }
        if memmem::find(bytes, VERSION).is_none() {
            // Most of bodies. A line can only end later, so it has two spaces at the most here.
            let last = memrchr(b' ', bytes).and_then(|last| memrchr(b' ', &bytes[..last]));
            bytes = &bytes[last.unwrap_or(0)..];
        }
        while !bytes.is_empty() {
            if matches!(self.state, State::Outside) {
                bytes = &bytes[memchr(b' ', bytes).unwrap_or(bytes.len())..];
            }
            if let Some((byte, rest)) = bytes.split_first() {
                self.step(*byte);
                bytes = rest;
            }
        }
    }

    fn step(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (State::Version(word, seen), _) if VERSION[seen] == byte && seen + 1 == VERSION.len() => {
                self.lines.found(word);
                State::Outside
            }
            (State::Version(word, seen), _) if VERSION[seen] == byte => State::Version(word, seen + 1),
            // It is another word.
            (State::Version(_, seen), _) => {
                self.state = State::Target(VERSION[..seen].iter().copied().fold(Word::default(), Word::and));
                return self.step(byte);
            }
            (State::Target(word), b' ') if word.length > 0 => State::Version(word, 0),
            (State::Outside | State::Target(_), b' ') => State::Target(Word::default()),
            (State::Target(word), 0x21..=0x7e | 0x80..) if word.length < LONGEST => State::Target(word.and(byte)),
            _ => State::Outside,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether requests for each target, read in this order once all of `pieces` have come, had a fragment.
    fn fragments<'t>(pieces: &[&[u8]], targets: impl IntoIterator<Item = &'t str>) -> Vec<bool> {
        let lines = Arc::new(RequestLines::default());
        let mut watch = RequestLineWatch::new(Arc::clone(&lines));
        pieces.iter().for_each(|piece| watch.see(piece));
        targets.into_iter().map(|target| lines.had_fragment(&target.parse().unwrap())).collect()
    }

    #[test]
    fn a_target_with_a_fragment_is_found_once() {
        let line = b"GET /a?b=c#d HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(fragments(&[line], ["/a", "/a?b=c", "/a?b=c"]), [false, true, false]);
        assert_eq!(fragments(&[b"DELETE /# HTTP/1.0\n"], ["/"]), [true]);
        assert_eq!(fragments(&[b"GET /a##b#c HTTP/1.1\r\n"], ["/a"]), [true]);
        assert_eq!(fragments(&[b"GET http://host/a#b HTTP/1.1\r\n"], ["/a", "http://host/a"]), [false, true]);
        assert_eq!(fragments(&[b"GET HTTP://h#b HTTP/1.1\r\n"], ["http://h"]), [true]);
    }

    #[test]
    fn each_request_has_its_own_line() {
        let all = b"PUT /a#1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPUT /b#1 HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n";
        assert_eq!(fragments(&[all], ["/a", "/b", "/c"]), [true, true, false]);
        let all = b"GET /a HTTP/1.1\r\n\r\nGET /a#b HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\n\r\n";
        assert_eq!(fragments(&[all], ["/a"; 4]), [false, true, false, false]);
        let pieces: Vec<_> = all.chunks(1).collect();
        assert_eq!(fragments(&pieces, ["/a"; 4]), [false, true, false, false]);
    }

    #[test]
    fn what_a_body_has_in_it_is_passed_over() {
        let all = b"PUT /a HTTP/1.1\r\nContent-Length: 22\r\n\r\nGET /b#c HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n";
        assert_eq!(fragments(&[all], ["/a", "/c", "/b"]), [false; 3]);
        assert_eq!(fragments(&[b" /x#y HTGET /z#y HTTP/1.1\r\n"], ["/z"]), [true]);
        assert_eq!(fragments(&[b" /x#y HTTP/1 /z#y HTTP/1.1\r\n"], ["/z"]), [true]);
        assert_eq!(fragments(&[b" GET#y HTTP://h#y HTTP/1.1\r\n"], ["http://h"]), [true]);
    }

    #[test]
    fn what_is_no_line_of_a_request_is_not_found() {
        for bytes in [
            b"GET /a HTTP/1.1\r\nReferer: /a#b\r\n\r\n".as_slice(),
            b"GET /a%23b HTTP/1.1\r\n",
            b"GET /a #b HTTP/1.1\r\n",
            b"GET /a#b\r\n HTTP/1.1\r\n",
            b"GET /a#b HTTP/2.0\r\n",
            b"GET\t/a#b HTTP/1.1\r\n",
        ] {
            assert_eq!(fragments(&[bytes], ["/a"]), [false], "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let many: Vec<u8> = (0..3 * REMEMBERED).flat_map(|n| format!("GET /{n}#b HTTP/1.1\r\n").into_bytes()).collect();
        let newest = format!("/{}", 3 * REMEMBERED - 1);
        assert_eq!(fragments(&[&many], ["/0", &*newest]), [false, true]);
    }

    #[test]
    fn who_begins_anew_has_seen_nothing() {
        let lines = Arc::new(RequestLines::default());
        let mut watch = RequestLineWatch::new(Arc::clone(&lines));
        watch.see(b"GET /a#b HTTP/1.1\r\n\r\nGET /c#d HTTP");
        watch.reset();
        watch.see(b"/1.1\r\n\r\nGET /a HTTP/1.1\r\n\r\n");
        assert!(!lines.had_fragment(&Uri::from_static("/c")) && !lines.had_fragment(&Uri::from_static("/a")));
    }

    proptest! {
        #[test]
        fn it_is_found_behind_whatever_comes_and_however_it_is_cut(
            body in prop::collection::vec(prop_oneof![
                any::<u8>(),
                prop::sample::select(b" #/HTTP1.".to_vec()),
            ], 0..60),
            target in "/[a-z/?%]{0,12}",
            fragment in "[!-~]{0,8}",
            length in 1..9_usize,
        ) {
            let line = format!("GET {target}#{fragment} HTTP/1.1\r\n\r\n");
            let all = [&body, line.as_bytes()].concat();
            let pieces: Vec<_> = all.chunks(length).collect();
            prop_assert_eq!(fragments(&pieces, [&*target]), [true]);
            prop_assert_eq!(fragments(&[&all], [&*target]), [true]);
        }
    }
}
