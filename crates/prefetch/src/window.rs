//! How far ahead a download fetches.
//!
//! A fixed window counts requests. The automatic one counts bytes: it begins at [`FIRST`], grows when the client
//! reaches a span that has not begun to arrive (the distance is larger than what is in flight), and shrinks when memory is
//! short. What has waited for its first byte of all is that far away at least, and may be worth as much: so the window grows
//! while it waits, and a distance that nobody knew costs no round trips to find out. It does not grow beyond what the distance can be worth at the pace that the download has: where the servers give
//! no more, more in flight only makes others wait. A span, what memory is taken for at once, is a share of it. Where a chunk has
//! more than one, they come out of one request, unless the client has turned out to read slowly. What downloads found they needed is where later ones begin: see
//! [`Experience`].

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::{budget::BLOCK, settings::WindowSetting};

/// Where the automatic window begins as long as nothing is known, in bytes.
const FIRST: u64 = 1 << 20;
/// The largest automatic window, in bytes, however much memory there is.
const LARGEST: u64 = 1 << 30;
/// A long download gets at least this window, in bytes, so that its requests are large.
const STEADY: u64 = 8 << 20;
/// Bytes that lie for longer than this were fetched too far ahead.
const UNREAD: Duration = Duration::from_millis(500);
/// Requests per download, whatever their size.
const REQUESTS: usize = 1024;
/// The smallest and the largest request, in bytes.
const SPAN: (u64, u64) = (256 << 10, 4 << 20);
/// What the distance is worth is the pace times the time to a first byte. The window may be so many times that: as much
/// again is being read, and both are only known as they were.
const WORTH: f64 = 4.0;
/// Over less than this, a pace is that of bytes that had been here before.
const SHORTEST: Duration = Duration::from_millis(20);
/// Bytes per second that nobody's network goes beyond: what a distance can be worth at most.
const FASTEST: f64 = 2e9;
/// How long the first byte is waited for until that is taken for distance. It is longer each time.
const LOOK: Duration = Duration::from_micros(2_500);
/// Each client that leaves early makes later ones so wary, and each that does not takes one off. How wary they are at most,
/// and from when on nothing is taken for distance before it is known.
const WARY: (u32, u32, u32) = (2, 8, 4);

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
    /// Where it grew because of the time to the first byte: what had gone to the client then.
    presumed: Option<u64>,
    /// Whether it may.
    presumes: bool,
    /// The shortest time to a first byte so far.
    nearest: Option<Duration>,
    /// Since when the pace is measured: a wait of the client. The first one is that for its first byte.
    waited: Option<Instant>,
    /// Bytes that went to the client since.
    since: u64,
    /// Bytes per second that went to the client from one wait to another: the best, of which a little is forgotten each
    /// time.
    pace: f64,
    /// What had gone to the client when memory was last short.
    short_at: Option<u64>,
    /// Whether a body stood for too long between two spans, and the client has not waited since.
    stood: bool,
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
        Self {
            fixed,
            target: begun,
            ceiling,
            growths: 0,
            total: 0,
            delivered: 0,
            begun,
            grown: begun,
            presumed: None,
            presumes: fixed.is_none() && experience.is_trusting(),
            nearest: None,
            waited: None,
            since: 0,
            pace: 0.0,
            short_at: None,
            stood: false,
        }
    }

    /// Whether one more request may start, where `running` have not ended, and `requests`, those included, hold
    /// `outstanding` bytes of memory, of which `part` is this download's.
    ///
    /// What has begun is to stay within its part, or what is left of it when the next one begins must be little.
    ///
    /// A fixed window is never behind because of the order: with one request late, the others go on, until they hold
    /// as much again as the window less the late one.
    pub(crate) fn has_room(&self, running: usize, requests: usize, outstanding: u64, part: u64) -> bool {
        match self.fixed {
            Some(fixed) => running < fixed && requests < 2 * fixed - 1,
            None => {
                let ahead = part.saturating_sub(SPAN.1).max(part / 4);
                requests == 0 || (requests < REQUESTS && outstanding < self.target.min(ahead))
            }
        }
    }

    /// The bytes of the next request, of `left` that the piece still has, where `part` of the memory is this download's. A
    /// small rest is not left over.
    ///
    /// As long as the window has not shrunk, a chunk of the usual size is one request: then its checksum can be known before
    /// a byte of it is out.
    pub(crate) fn span(&self, left: u64, part: u64) -> u64 {
        let shrunk = self.fixed.is_none() && self.target < FIRST.min(part);
        let span = if shrunk { (self.target / 2).clamp(SPAN.0, SPAN.1) } else { SPAN.1 };
        let span = span.min(part.max(SPAN.0));
        if left <= span + span / 4 { left } else { span }
    }

    /// The bytes to ask for at once where `left` are wanted of a chunk, the next span's and those of spans that follow.
    pub(crate) fn reach(&self, left: u64) -> u64 {
        if self.stood { 0 } else { left }
    }

    /// What was asked for at once stood for too long before its next span began.
    pub(crate) fn body_stood(&mut self) {
        self.stood = true;
    }

    /// The automatic window now, in bytes.
    pub(crate) fn automatic(&self) -> Option<u64> {
        self.fixed.is_none().then_some(self.target)
    }

    /// The client came to a span of which no byte had arrived.
    pub(crate) fn client_waited(&mut self, now: Instant) {
        self.stood = false;
        let Some(before) = self.waited else {
            self.waited = Some(now);
            return;
        };
        let time = now - before;
        if time >= self.nearest.unwrap_or_default().max(SHORTEST) {
            let pace = std::mem::take(&mut self.since) as f64 / time.as_secs_f64();
            self.pace = pace.max(self.pace * 0.9);
            self.waited = Some(now);
        }
        let factor = if self.growths < 3 { 4 } else { 2 };
        self.growths = self.growths.saturating_add(1);
        let grown = (self.target * factor).min(self.ceiling).min(self.worth());
        self.target = self.target.max(grown);
        // As soon as all that was presumed has come, the pace says what it was worth.
        if self.pace > 0.0 && self.presumed.is_some_and(|at| self.total - at >= self.target) {
            self.presumed = None;
            self.target = self.target.min(self.worth().max(self.begun));
        }
        self.grown = self.target;
    }

    /// Nothing has come of the download yet, although it was asked for so long ago. Whether the window has grown for it.
    pub(crate) fn awaits_first(&mut self, time: Duration) -> bool {
        self.presumes && self.nearest.is_none() && time >= LOOK && self.presume(time)
    }

    /// When to look again whether something has come, where nothing had after that time. `None`: it would change nothing.
    pub(crate) fn looks_again(&self, time: Duration) -> Option<Duration> {
        (self.presumes && self.nearest.is_none() && self.target < self.ceiling).then(|| LOOK.max(2 * time))
    }

    /// The first byte of a span that was asked for alone had come after that time.
    pub(crate) fn first_byte(&mut self, time: Duration) {
        if self.presumes && self.nearest.is_none() {
            self.presume(time);
        }
        self.nearest = Some(self.nearest.map_or(time, |nearest| nearest.min(time)));
    }

    fn presume(&mut self, distance: Duration) -> bool {
        let reach = ((distance.as_secs_f64() * FASTEST) as u64).min(self.ceiling);
        let grows = reach > self.target;
        if grows {
            (self.target, self.grown, self.presumed) = (reach, reach, Some(self.total));
        }
        grows
    }

    /// The most that the distance can be worth at this pace, in bytes.
    fn worth(&self) -> u64 {
        let Some(nearest) = self.nearest else { return u64::MAX };
        ((self.pace * nearest.as_secs_f64() * WORTH) as u64).max(STEADY)
    }

    /// A span was read to its end: all of it had been here for `lay`.
    pub(crate) fn ended(&mut self, lay: Duration) {
        if lay > UNREAD {
            self.shrink();
        }
    }

    /// That many bytes went to the client.
    pub(crate) fn delivered(&mut self, bytes: u64) {
        self.total = self.total.saturating_add(bytes);
        self.since = self.since.saturating_add(bytes);
        self.delivered = self.delivered.saturating_add(bytes);
        self.target = self.target.max((self.delivered / 2).min(STEADY).min(self.ceiling));
    }

    /// There was no memory for what lies ahead. Said again and again as long as it lasts, it counts once for each window;
    /// with `part` of the memory a download may always reckon.
    pub(crate) fn memory_was_short(&mut self, part: u64) {
        if self.target > part && self.short_at.is_none_or(|at| self.total - at >= self.target) {
            self.short_at = Some(self.total);
            self.shrink();
            self.target = self.target.max(part);
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
        } else if self.presumed.is_some() && self.total > self.begun {
            self.grown.min(self.total)
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
pub(crate) struct Experience {
    window: AtomicU64,
    wary: AtomicU32,
}

impl Default for Experience {
    fn default() -> Self {
        Self { window: AtomicU64::new(FIRST), wary: AtomicU32::new(0) }
    }
}

impl Experience {
    /// Where a window should begin, in bytes.
    fn window(&self) -> u64 {
        self.window.load(Ordering::Relaxed)
    }

    /// Whether clients mostly want all that they ask for.
    fn is_trusting(&self) -> bool {
        self.wary.load(Ordering::Relaxed) < WARY.2
    }

    /// A download ends with `remaining` bytes undelivered.
    pub(crate) fn note(&self, window: &Window, remaining: u64) {
        let judged = |now: u32| {
            // Who had all of a window wanted it.
            let left = remaining > 0 && window.total < window.target;
            Some(if left { (now + WARY.0).min(WARY.1) } else { now.saturating_sub(1) })
        };
        let _ = self.wary.fetch_update(Ordering::Relaxed, Ordering::Relaxed, judged);
        let Some(sample) = window.sample(remaining) else { return };
        // Up faster than down: one download that finds out costs several round trips, a window too large costs memory that
        // can be had back.
        let learned = |now: u64| if sample > now { now / 2 + sample / 2 } else { now - now / 4 + sample / 4 };
        let _ = self.window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(learned(now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without limit.
    const ALL: u64 = u64::MAX;
    /// What memory allows.
    const CEILING: u64 = 64 << 20;

    /// The client waits so many times, a second apart, having got that many bytes each time.
    fn waits(window: &mut Window, times: u32, bytes: u64) {
        let mut now = window.waited.unwrap_or_else(Instant::now);
        window.client_waited(now);
        for _ in 0..times {
            now += Duration::from_secs(1);
            (window.since, window.total) = (window.since + bytes, window.total + bytes);
            window.client_waited(now);
        }
    }

    #[test]
    fn fixed_counts_requests_only() {
        let window = Window::new(WindowSetting::Fixed(2), u64::MAX, &Experience::default());
        assert!(window.has_room(1, 1, u64::MAX, ALL));
        assert!(!window.has_room(2, 2, 0, ALL));
        assert!(window.has_room(1, 2, u64::MAX, ALL), "one is late");
        assert!(!window.has_room(1, 3, 0, ALL), "and not read for long");
    }

    #[test]
    fn one_at_a_time_is_one_at_a_time() {
        let window = Window::new(WindowSetting::Fixed(1), u64::MAX, &Experience::default());
        assert!(window.has_room(0, 0, 0, ALL));
        assert!(!window.has_room(0, 1, 0, ALL), "its bytes are not read yet");
    }

    #[test]
    fn auto_begins_small_and_reaches_the_ceiling_within_a_few_waits() {
        let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        assert!(!window.has_room(1, 1, FIRST, ALL));
        waits(&mut window, 3, 0);
        assert!(window.has_room(1, 1, CEILING - 1, ALL));
        waits(&mut window, 99, 0);
        assert!(!window.has_room(1, 1, CEILING, ALL));
    }

    #[test]
    fn however_small_they_are_there_are_only_so_many_requests() {
        let window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        assert!(window.has_room(1, REQUESTS - 1, 0, ALL) && !window.has_room(1, REQUESTS, 0, ALL));
    }

    #[test]
    fn it_grows_fourfold_three_times_and_then_twofold() {
        let mut window = Window::new(WindowSetting::Auto, LARGEST, &Experience::default());
        let begin = Instant::now();
        window.client_waited(begin);
        for (seconds, times) in [(1, 4), (2, 16), (3, 64), (4, 128), (5, 256)] {
            window.client_waited(begin + Duration::from_secs(seconds));
            assert_eq!(window.automatic(), Some(times * FIRST), "{seconds}");
        }
    }

    #[test]
    fn short_memory_and_slow_clients_shrink_it() {
        let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        waits(&mut window, 9, 0);
        (0..99).for_each(|_| {
            window.memory_was_short(0);
            window.total += CEILING;
        });
        assert!(window.has_room(1, 1, SPAN.0 - 1, ALL) && !window.has_room(1, 1, SPAN.0, ALL));
        assert_eq!(window.span(u64::MAX, ALL), SPAN.0);
        waits(&mut window, 1, 0);
        window.ended(UNREAD);
        assert!(window.has_room(1, 1, FIRST - 1, ALL));
        (0..9).for_each(|_| window.ended(2 * UNREAD));
        assert!(!window.has_room(1, 1, FIRST - 1, ALL));
    }

    #[test]
    fn where_the_server_gives_no_more_the_window_does_not_grow() {
        let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        window.first_byte(Duration::from_millis(10));
        assert_eq!(window.automatic(), Some(20_000_000), "what 10 ms may be worth");
        waits(&mut window, 99, 100 << 20);
        assert_eq!(window.automatic(), Some(STEADY), "a hundred MiB a second over 10 ms are one MiB");
        waits(&mut window, 1, 400 << 20);
        assert_eq!(window.automatic(), Some(16 << 20), "and four times that, when the server gives more");
        waits(&mut window, 99, 0);
        assert_eq!(window.automatic(), Some(16 << 20), "it does not shrink for that");
    }

    #[test]
    fn what_waits_for_its_first_byte_is_that_far_away_at_least() {
        let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        let at = |milliseconds| Duration::from_millis(milliseconds);
        let looks: Vec<_> = std::iter::successors(window.looks_again(Duration::ZERO), |time| {
            window.awaits_first(*time);
            window.looks_again(*time)
        })
        .collect();
        assert_eq!(looks, [LOOK, at(5), at(10), at(20), at(40)]);
        assert_eq!(window.automatic(), Some(CEILING), "80 MB, for which there is no memory");
        let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        assert!(!window.awaits_first(LOOK / 2), "a server may take that long");
        assert!(window.awaits_first(at(5)));
        assert_eq!(window.automatic(), Some(10_000_000));
        window.first_byte(at(6));
        assert_eq!(window.automatic(), Some(12_000_000));
        assert!(!window.awaits_first(at(30)) && window.looks_again(at(30)).is_none(), "it is known now");
        window.first_byte(at(20));
        assert_eq!(window.automatic(), Some(12_000_000));
    }

    #[test]
    fn what_is_no_farther_than_the_window_reaches_makes_no_reason_to_fetch_more() {
        let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        assert!(window.awaits_first(Duration::from_millis(5)));
        assert!(!window.awaits_first(Duration::from_millis(5)));
    }

    #[test]
    fn what_was_taken_for_distance_is_taken_back_when_all_of_it_has_come_at_a_pace_that_is_known() {
        let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        let begin = Instant::now();
        // Bytes that were here are no part of it.
        window.delivered(1_500_000);
        window.first_byte(Duration::from_millis(10));
        window.delivered(19_000_000);
        window.client_waited(begin);
        window.client_waited(begin + Duration::from_secs(1));
        assert_eq!(window.automatic(), Some(20_000_000), "a million bytes of it are still to come");
        window.delivered(1_000_000);
        window.client_waited(begin + Duration::from_secs(2));
        assert_eq!(window.automatic(), Some(STEADY), "20 MB a second over 10 ms are worth no more");

        let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        window.first_byte(Duration::from_millis(10));
        window.delivered(20_000_000);
        window.client_waited(begin);
        window.client_waited(begin + Duration::from_millis(1));
        assert_eq!(window.automatic(), Some(20_000_000), "what is not known says nothing");
    }

    #[test]
    fn a_long_download_gets_half_of_what_went_to_the_client_but_no_more_than_large_requests_take() {
        let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        window.delivered(10 << 20);
        assert_eq!(window.automatic(), Some(5 << 20));
        window.delivered(10 << 20);
        assert_eq!(window.automatic(), Some(STEADY));
    }

    #[test]
    fn with_much_memory_the_window_is_what_the_distance_can_be_worth() {
        let mut window = Window::new(WindowSetting::Auto, 1 << 40, &Experience::default());
        window.first_byte(Duration::from_millis(100));
        assert_eq!(window.automatic(), Some(200_000_000));
        window.first_byte(Duration::from_secs(10));
        assert_eq!(window.automatic(), Some(200_000_000));
    }

    #[test]
    fn bytes_that_had_been_here_before_are_no_pace() {
        let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        let begin = Instant::now();
        window.first_byte(Duration::from_millis(30));
        window.client_waited(begin);
        window.delivered(64 << 20);
        window.client_waited(begin + Duration::from_millis(29));
        assert_eq!(window.pace, 0.0);
        window.client_waited(begin + Duration::from_millis(32));
        assert_eq!(window.pace, (64 << 20) as f64 / 0.032);
    }

    #[test]
    fn the_wait_for_the_first_byte_says_nothing() {
        let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        window.client_waited(Instant::now());
        assert_eq!(window.automatic(), Some(FIRST));
    }

    #[test]
    fn memory_that_is_short_counts_once_for_each_window() {
        let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        waits(&mut window, 9, 0);
        (0..99).for_each(|_| window.memory_was_short(0));
        assert_eq!(window.automatic(), Some(CEILING / 2));
        window.delivered(CEILING / 2 - 1);
        window.memory_was_short(0);
        assert_eq!(window.automatic(), Some(CEILING / 2));
        window.delivered(1);
        window.memory_was_short(0);
        assert_eq!(window.automatic(), Some(CEILING / 4));
        window.memory_was_short(0);
        assert_eq!(window.automatic(), Some(CEILING / 4), "nothing has gone to the client since");
        window.delivered(CEILING);
        window.memory_was_short(CEILING / 5);
        assert_eq!(window.automatic(), Some(CEILING / 5), "with its part it may reckon");
        window.delivered(CEILING);
        window.memory_was_short(CEILING / 5);
        assert_eq!(window.automatic(), Some(CEILING / 5));
        assert_eq!(window.delivered, CEILING, "nor does what went to the client count anew");
    }

    #[test]
    fn one_of_many_downloads_makes_requests_of_its_part_of_the_memory() {
        let window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        assert_eq!(window.span(u64::MAX, 1 << 20), 1 << 20);
        assert_eq!(window.span(u64::MAX, 0), SPAN.0);
        let most =
            |part: u64| (0..part).step_by(64 << 10).take_while(|held| window.has_room(1, 1, *held, part)).count();
        assert_eq!(most(512 << 10), 2, "the next one begins when a quarter is left of what is its part");
        assert_eq!(most(4 << 20) << 16, 1 << 20);
        assert_eq!(most(40 << 20) << 16, FIRST as usize, "where there is enough the window says how far");
    }

    #[test]
    fn a_span_never_leaves_a_crumb() {
        let window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        let span = window.span(u64::MAX, ALL);
        assert_eq!(window.span(span + 1, ALL), span + 1);
        assert_eq!(window.span(2 * span, ALL), span);
        assert_eq!(window.span(10, ALL), 10);
    }

    #[test]
    fn what_is_left_of_a_chunk_is_asked_for_at_once_unless_a_body_stood_for_long() {
        let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        assert_eq!(window.reach(1 << 30), 1 << 30);
        window.body_stood();
        assert_eq!(window.reach(1 << 30), 0);
        waits(&mut window, 1, 0);
        assert_eq!(window.reach(1 << 30), 1 << 30, "the client reads fast after all");
    }

    fn ended(experience: &Experience, waited: u32, total: u64, remaining: u64, distance: Duration) {
        let mut window = Window::new(WindowSetting::Auto, CEILING, experience);
        window.first_byte(distance);
        if waited > 0 {
            waits(&mut window, waited, 1 << 40);
        }
        window.delivered(total);
        experience.note(&window, remaining);
    }

    const FAR: Duration = Duration::from_millis(40);

    #[test]
    fn a_window_begins_where_earlier_ones_over_the_distance_came_to() {
        let experience = Experience::default();
        (0..20).for_each(|_| ended(&experience, 3, 1 << 30, 0, FAR));
        let window = Window::new(WindowSetting::Auto, CEILING, &experience);
        assert!(window.has_room(1, 1, CEILING / 2 - 1, ALL) && !window.has_room(1, 1, CEILING / 2, ALL));
        let window = Window::new(WindowSetting::Auto, 8 << 20, &experience);
        assert!(
            window.has_room(1, 1, (4 << 20) - 1, ALL) && !window.has_room(1, 1, 4 << 20, ALL),
            "where there is little memory"
        );
    }

    #[test]
    fn clients_that_leave_early_bring_the_beginning_down() {
        let experience = Experience::default();
        (0..20).for_each(|_| ended(&experience, 3, 1 << 30, 0, FAR));
        (0..20).for_each(|_| ended(&experience, 0, 64 << 10, 1 << 30, FAR));
        assert!(experience.window() < 2 * FIRST, "{}", experience.window());
        let mut window = Window::new(WindowSetting::Auto, CEILING, &experience);
        assert!(!window.awaits_first(FAR) && window.looks_again(FAR).is_none(), "nothing is taken for distance");
        let before = window.automatic();
        window.first_byte(FAR);
        assert_eq!(window.automatic(), before);
        (0..20).for_each(|_| ended(&experience, 0, 1 << 30, 0, FAR));
        assert!(experience.is_trusting());
        (0..2).for_each(|_| ended(&experience, 0, 64 << 10, 1 << 30, FAR));
        assert!(!experience.is_trusting(), "two of them are enough");
        ended(&experience, 0, 1 << 30, 0, FAR);
        assert!(experience.is_trusting(), "and one that stays makes up for it");
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
        for _ in 0..99 {
            let mut window = Window { presumes: false, ..Window::new(WindowSetting::Auto, CEILING, &experience) };
            window.first_byte(FAR);
            window.delivered(1 << 30);
            experience.note(&window, 0);
        }
        assert!((FIRST..before / 4).contains(&experience.window()), "{}", experience.window());
    }

    #[test]
    fn a_window_that_has_shrunk_makes_requests_of_half_of_it() {
        let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
        for (target, span) in [(768 << 10, 384 << 10), (FIRST - 2, FIRST / 2 - 1), (300 << 10, SPAN.0), (FIRST, SPAN.1)]
        {
            window.target = target;
            assert_eq!(window.span(u64::MAX, ALL), span, "{target}");
        }
    }

    /// A window that began with 16 MiB and has come to 32, of a download that got so many bytes over a distance.
    fn grown(experience: &Experience, total: u64) -> Window {
        let mut window = Window::new(WindowSetting::Auto, CEILING, experience);
        (window.begun, window.target, window.grown) = (16 << 20, 32 << 20, 32 << 20);
        (window.total, window.nearest) = (total, Some(FAR));
        window
    }

    #[test]
    fn a_download_says_what_it_needed_of_its_window() {
        let of = |total| grown(&Experience::default(), total);
        assert_eq!(of(20 << 20).sample(1), Some(20 << 20), "who leaves had use for what he got");
        assert_eq!(of(40 << 20).sample(1), Some(32 << 20));
        assert_eq!(Window { growths: 1, ..of(1) }.sample(0), Some(32 << 20), "waited for");
        let presumed = |total| Window { presumed: Some(0), ..of(total) };
        assert_eq!(presumed(16 << 20).sample(0), None, "it was all here with the first window");
        assert_eq!(presumed((16 << 20) + 1).sample(0), Some((16 << 20) + 1));
        assert_eq!(of(16 << 20).sample(0), None);
        assert_eq!(of((16 << 20) + 1).sample(0), Some(14 << 20), "a little less may do");
        assert_eq!(Window { nearest: None, ..of(1 << 30) }.sample(0), None);
    }

    #[test]
    fn who_leaves_before_he_had_a_window_makes_wary_and_what_was_needed_is_learned() {
        let experience = Experience::default();
        let wary = || experience.wary.load(Ordering::Relaxed);
        experience.note(&grown(&experience, (32 << 20) - 1), 1);
        assert_eq!(wary(), WARY.0);
        assert_eq!(experience.window(), FIRST / 2 + ((32 << 20) - 1) / 2);
        experience.note(&grown(&experience, 32 << 20), 1);
        assert_eq!(wary(), WARY.0 - 1, "he had all of it");
        experience.note(&grown(&experience, 1), 0);
        assert_eq!(wary(), WARY.0 - 2, "as who wants no more");
        let before = experience.window();
        experience.note(&grown(&experience, 4 << 20), 1);
        assert_eq!(experience.window(), before - before / 4 + (1 << 20), "down in small steps");
    }
}
