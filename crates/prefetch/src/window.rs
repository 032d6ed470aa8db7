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
mod tests;
