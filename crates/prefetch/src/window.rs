//! How far ahead a download fetches.
//!
//! A fixed window counts requests. The automatic one counts bytes: it begins at [`FIRST`], grows when the client
//! reaches a span that has not begun to arrive (the distance is larger than what is in flight), and shrinks when memory is
//! short. A span, the unit of a request, is a share of it, so that a short download makes small requests and a long one
//! few.

use std::time::Duration;

use crate::{budget::BLOCK, settings::WindowSetting};

/// Where the automatic window begins, in bytes.
const FIRST: u64 = 1 << 20;
/// The largest automatic window, in bytes.
const LARGEST: u64 = 64 << 20;
/// A long download gets at least this window, in bytes, so that its requests are large.
const STEADY: u64 = 8 << 20;
/// Bytes that lie for longer than this were fetched too far ahead.
const UNREAD: Duration = Duration::from_millis(500);
/// Requests per download, whatever their size.
const REQUESTS: usize = 1024;
/// The smallest and the largest request, in bytes.
const SPAN: (u64, u64) = (256 << 10, 4 << 20);

/// The window of one download.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    fixed: Option<usize>,
    target: u64,
    ceiling: u64,
    growths: u32,
    delivered: u64,
}

impl Window {
    /// A window that never goes beyond `memory` bytes.
    pub(crate) fn new(setting: WindowSetting, memory: u64) -> Self {
        let fixed = match setting {
            WindowSetting::Auto => None,
            WindowSetting::Fixed(requests) => Some(requests.max(1)),
        };
        let ceiling = LARGEST.min(memory).max(BLOCK as u64);
        Self { fixed, target: FIRST.min(ceiling), ceiling, growths: 0, delivered: 0 }
    }

    /// Whether one more request may start beside `requests` that hold `outstanding` bytes of memory.
    pub(crate) fn has_room(&self, requests: usize, outstanding: u64) -> bool {
        match self.fixed {
            Some(fixed) => requests < fixed,
            None => requests == 0 || (requests < REQUESTS && outstanding < self.target),
        }
    }

    /// The bytes of the next request, of `left` that the piece still has. A small rest is not left over.
    ///
    /// As long as the window has not shrunk, a chunk of the usual size is one request: then its checksum can be known before
    /// a byte of it is out.
    pub(crate) fn span(&self, left: u64) -> u64 {
        let shrunk = self.fixed.is_none() && self.target < FIRST;
        let span = if shrunk { (self.target / 2).clamp(SPAN.0, SPAN.1) } else { SPAN.1 };
        if left <= span + span / 4 { left } else { span }
    }

    /// The automatic window now, in bytes.
    pub(crate) fn automatic(&self) -> Option<u64> {
        self.fixed.is_none().then_some(self.target)
    }

    /// The client came to a span of which no byte had arrived.
    pub(crate) fn client_waited(&mut self) {
        let factor = if self.growths < 3 { 4 } else { 2 };
        self.growths = self.growths.saturating_add(1);
        self.target = (self.target * factor).min(self.ceiling);
    }

    /// That many bytes went to the client.
    pub(crate) fn delivered(&mut self, bytes: u64) {
        self.delivered = self.delivered.saturating_add(bytes);
        self.target = self.target.max((self.delivered / 2).min(STEADY).min(self.ceiling));
    }

    /// There was no memory for speculation.
    pub(crate) fn memory_was_short(&mut self) {
        self.shrink();
    }

    /// A span had been here in full for that long when the client had read it.
    pub(crate) fn lay_unread(&mut self, time: Duration) {
        if time > UNREAD {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        self.target = (self.target / 2).max(SPAN.0.min(self.ceiling));
        self.delivered = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_counts_requests_only() {
        let window = Window::new(WindowSetting::Fixed(2), u64::MAX);
        assert!(window.has_room(1, u64::MAX));
        assert!(!window.has_room(2, 0));
    }

    #[test]
    fn auto_begins_small_and_reaches_the_ceiling_within_a_few_waits() {
        let mut window = Window::new(WindowSetting::Auto, 1 << 40);
        assert!(!window.has_room(1, FIRST));
        (0..3).for_each(|_| window.client_waited());
        assert!(window.has_room(1, LARGEST - 1));
        (0..99).for_each(|_| window.client_waited());
        assert!(!window.has_room(1, LARGEST));
    }

    #[test]
    fn short_memory_and_slow_clients_shrink_it() {
        let mut window = Window::new(WindowSetting::Auto, 1 << 40);
        (0..9).for_each(|_| window.client_waited());
        (0..99).for_each(|_| window.memory_was_short());
        assert!(window.has_room(1, SPAN.0 - 1) && !window.has_room(1, SPAN.0));
        assert_eq!(window.span(u64::MAX), SPAN.0);
        (0..2).for_each(|_| window.client_waited());
        window.lay_unread(UNREAD);
        assert!(window.has_room(1, FIRST - 1));
        (0..9).for_each(|_| window.lay_unread(2 * UNREAD));
        assert!(!window.has_room(1, FIRST - 1));
    }

    #[test]
    fn a_span_never_leaves_a_crumb() {
        let window = Window::new(WindowSetting::Auto, 1 << 40);
        let span = window.span(u64::MAX);
        assert_eq!(window.span(span + 1), span + 1);
        assert_eq!(window.span(2 * span), span);
        assert_eq!(window.span(10), 10);
    }
}
