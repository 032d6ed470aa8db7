//! How far ahead a download fetches.
//!
//! A fixed window counts requests. The automatic one counts bytes: it begins at [`FIRST`], grows when the client
//! reaches a span that has not begun to arrive (the distance is larger than what is in flight), and shrinks when memory is
//! short. A span, the unit of a request, is a share of it, so that a short download makes small requests and a long one
//! few. What downloads found they needed is where later ones begin: see [`Experience`].

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{budget::BLOCK, settings::WindowSetting};

/// Where the automatic window begins as long as nothing is known, in bytes.
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
/// Bytes per second that nobody's network goes beyond: what a distance can be worth at most.
const FASTEST: f64 = 2e9;

/// The window of one download.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    fixed: Option<usize>,
    target: u64,
    ceiling: u64,
    growths: u32,
    /// Bytes that went to the client: in all, and since the window last shrank.
    total: u64,
    delivered: u64,
    /// Where it began, in bytes.
    begun: u64,
    /// What waits made of it, in bytes.
    grown: u64,
    /// The shortest time to a first byte so far.
    nearest: Option<Duration>,
}

impl Window {
    /// A window that never goes beyond `memory` bytes.
    pub(crate) fn new(setting: WindowSetting, memory: u64, experience: &Experience) -> Self {
        let fixed = match setting {
            WindowSetting::Auto => None,
            WindowSetting::Fixed(requests) => Some(requests.max(1)),
        };
        let ceiling = LARGEST.min(memory).max(BLOCK as u64);
        let begun = experience.window().min(ceiling / 2).max(FIRST).min(ceiling);
        Self { fixed, target: begun, ceiling, growths: 0, total: 0, delivered: 0, begun, grown: begun, nearest: None }
    }

    /// Whether one more request may start, where `running` have not ended, and `requests`, those included, hold
    /// `outstanding` bytes of memory.
    ///
    /// A fixed window is never behind because of the order: with one request late, the others go on, until they hold
    /// as much again as the window less the late one.
    pub(crate) fn has_room(&self, running: usize, requests: usize, outstanding: u64) -> bool {
        match self.fixed {
            Some(fixed) => running < fixed && requests < 2 * fixed - 1,
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
        self.grown = self.target;
    }

    /// A fetch had its first byte after that time.
    pub(crate) fn arrived(&mut self, after: Duration) {
        self.nearest = Some(self.nearest.map_or(after, |nearest| nearest.min(after)));
    }

    /// That many bytes went to the client.
    pub(crate) fn delivered(&mut self, bytes: u64) {
        self.total = self.total.saturating_add(bytes);
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
        self.grown = self.grown.min(self.target);
        self.delivered = 0;
    }

    /// What the download says of the window that it needed, in bytes. `None`: it was too short to say anything.
    fn sample(&self, remaining: u64) -> Option<u64> {
        let reach = (self.nearest?.as_secs_f64() * FASTEST) as u64;
        let needed = if remaining > 0 {
            self.grown.min(self.total)
        } else if self.growths > 0 {
            self.grown
        } else if self.total > self.begun {
            // It was enough; would a little less have been?
            self.begun - self.begun / 8
        } else {
            return None;
        };
        Some(needed.min(reach).max(FIRST))
    }
}

/// What the automatic windows of earlier downloads came to, so that a download over the same distance need not find it out
/// again, round trip by round trip. Clients that leave early bring it down.
#[derive(Debug)]
pub(crate) struct Experience(AtomicU64);

impl Default for Experience {
    fn default() -> Self {
        Self(AtomicU64::new(FIRST))
    }
}

impl Experience {
    /// Where a window should begin, in bytes.
    fn window(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A download ends with `remaining` bytes undelivered.
    pub(crate) fn note(&self, window: &Window, remaining: u64) {
        let Some(sample) = window.sample(remaining) else { return };
        // Up faster than down: one download that finds out costs several round trips, a window too large costs memory that
        // can be had back.
        let learned = |now: u64| if sample > now { now / 2 + sample / 2 } else { now - now / 4 + sample / 4 };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(learned(now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_counts_requests_only() {
        let window = Window::new(WindowSetting::Fixed(2), u64::MAX, &Experience::default());
        assert!(window.has_room(1, 1, u64::MAX));
        assert!(!window.has_room(2, 2, 0));
        assert!(window.has_room(1, 2, u64::MAX), "one is late");
        assert!(!window.has_room(1, 3, 0), "and not read for long");
    }

    #[test]
    fn one_at_a_time_is_one_at_a_time() {
        let window = Window::new(WindowSetting::Fixed(1), u64::MAX, &Experience::default());
        assert!(window.has_room(0, 0, 0));
        assert!(!window.has_room(0, 1, 0), "its bytes are not read yet");
    }

    #[test]
    fn auto_begins_small_and_reaches_the_ceiling_within_a_few_waits() {
        let mut window = Window::new(WindowSetting::Auto, 1 << 40, &Experience::default());
        assert!(!window.has_room(1, 1, FIRST));
        (0..3).for_each(|_| window.client_waited());
        assert!(window.has_room(1, 1, LARGEST - 1));
        (0..99).for_each(|_| window.client_waited());
        assert!(!window.has_room(1, 1, LARGEST));
    }

    #[test]
    fn short_memory_and_slow_clients_shrink_it() {
        let mut window = Window::new(WindowSetting::Auto, 1 << 40, &Experience::default());
        (0..9).for_each(|_| window.client_waited());
        (0..99).for_each(|_| window.memory_was_short());
        assert!(window.has_room(1, 1, SPAN.0 - 1) && !window.has_room(1, 1, SPAN.0));
        assert_eq!(window.span(u64::MAX), SPAN.0);
        (0..2).for_each(|_| window.client_waited());
        window.lay_unread(UNREAD);
        assert!(window.has_room(1, 1, FIRST - 1));
        (0..9).for_each(|_| window.lay_unread(2 * UNREAD));
        assert!(!window.has_room(1, 1, FIRST - 1));
    }

    #[test]
    fn a_span_never_leaves_a_crumb() {
        let window = Window::new(WindowSetting::Auto, 1 << 40, &Experience::default());
        let span = window.span(u64::MAX);
        assert_eq!(window.span(span + 1), span + 1);
        assert_eq!(window.span(2 * span), span);
        assert_eq!(window.span(10), 10);
    }

    fn ended(experience: &Experience, waits: u32, total: u64, remaining: u64, distance: Duration) {
        let mut window = Window::new(WindowSetting::Auto, 1 << 40, experience);
        window.arrived(distance);
        (0..waits).for_each(|_| window.client_waited());
        window.delivered(total);
        experience.note(&window, remaining);
    }

    const FAR: Duration = Duration::from_millis(40);

    #[test]
    fn a_window_begins_where_earlier_ones_over_the_distance_came_to() {
        let experience = Experience::default();
        (0..20).for_each(|_| ended(&experience, 3, 1 << 30, 0, FAR));
        let window = Window::new(WindowSetting::Auto, 1 << 40, &experience);
        assert!(window.has_room(1, 1, LARGEST / 2 - 1) && !window.has_room(1, 1, LARGEST / 2));
        let window = Window::new(WindowSetting::Auto, 8 << 20, &experience);
        assert!(
            window.has_room(1, 1, (4 << 20) - 1) && !window.has_room(1, 1, 4 << 20),
            "where there is little memory"
        );
    }

    #[test]
    fn clients_that_leave_early_bring_the_beginning_down() {
        let experience = Experience::default();
        (0..20).for_each(|_| ended(&experience, 3, 1 << 30, 0, FAR));
        (0..20).for_each(|_| ended(&experience, 0, 64 << 10, 1 << 30, FAR));
        assert!(experience.window() < 2 * FIRST, "{}", experience.window());
    }

    #[test]
    fn a_near_server_teaches_no_large_beginning_however_often_clients_wait() {
        let experience = Experience::default();
        (0..20).for_each(|_| ended(&experience, 9, 1 << 30, 0, Duration::from_micros(300)));
        assert!(experience.window() <= FIRST, "{}", experience.window());
    }

    #[test]
    fn what_nobody_waits_for_shrinks_slowly_and_short_downloads_say_nothing() {
        let experience = Experience::default();
        (0..20).for_each(|_| ended(&experience, 3, 1 << 30, 0, FAR));
        let before = experience.window();
        ended(&experience, 0, 64 << 10, 0, FAR);
        assert_eq!(experience.window(), before);
        (0..99).for_each(|_| ended(&experience, 0, 1 << 30, 0, FAR));
        assert!((FIRST..before / 4).contains(&experience.window()), "{}", experience.window());
    }
}
