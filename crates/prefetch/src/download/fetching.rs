//! A span on its way.

use std::sync::Arc;

use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use super::upcoming::{Kind, Span};
use crate::{
    budget::{BLOCK, Reservation, blocks},
    context::Shared,
    fetch::{self, Following, Job, NextSpan, SpanWriter},
    handover::{Handover, Running, Sender},
    sync::{AbortHandle, spawn},
    urgency::Priority,
    whole,
};

/// A span on its way. Dropping the last one of a fetch ends the fetch.
pub(super) struct Fetching {
    pub(super) fid: Arc<str>,
    /// Bytes that it has still to give.
    pub(super) left: u64,
    /// Bytes of memory that are reserved for what is left.
    pub(super) reserved: u64,
    /// When it was asked for, where that was for it alone and none of its bytes were given.
    pub(super) asked: Option<Instant>,
    pub(super) priority: Arc<Priority>,
    /// Whether the client has come to it.
    pub(super) reached: bool,
    pub(super) handover: Arc<Handover>,
    _task: Arc<Task>,
}

/// The task of a fetch, which ends with this.
struct Task(AbortHandle);

impl Task {
    fn spawn(fetch: impl Future<Output = ()> + Send + 'static) -> Arc<Self> {
        Arc::new(Self(spawn(fetch).abort_handle()))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A fetch that was asked for more than the spans that have begun, and goes on with the next one.
pub(super) struct Onward {
    next: UnboundedSender<NextSpan>,
    /// The byte of the chunk up to which was asked for.
    reach: u64,
    priority: Arc<Priority>,
    task: Arc<Task>,
}

impl Onward {
    /// Whether it still goes on: its body does not stand for long.
    pub(super) fn goes_on(&self) -> bool {
        !self.next.is_closed()
    }

    /// Goes on with this span; else gives it back.
    fn with(self, next: NextSpan) -> Result<Self, Box<NextSpan>> {
        self.next.send(next).map_err(|refused| Box::new(refused.0))?;
        Ok(self)
    }
}

impl Fetching {
    /// Starts to fetch as much of the span as the reservation is for, as one more of those that are `running`. It comes
    /// `onward` where there is such a fetch; else with one of its own, which is asked for `reach` bytes of the span at once.
    /// What it goes onward with is left in `onward`.
    pub(super) fn start(
        shared: &Arc<Shared>,
        running: &Arc<Running>,
        span: Span,
        mut reservation: Reservation,
        priority: Priority,
        reach: u64,
        onward: &mut Option<Onward>,
    ) -> Self {
        let left = span.len_in(reservation.blocks());
        let Span { read, kind, version, .. } = span;
        let fid = Arc::clone(&read.fid);
        let mut priority = Arc::new(priority);
        let handover = Arc::<Handover>::default();
        let sender = Sender::new(Arc::clone(&handover), Arc::clone(&fid), Arc::clone(running));
        let mut asked = Some(Instant::now());
        let (withhold, checksum) = match kind {
            Kind::Streamed(checksum) => (false, checksum),
            Kind::Withheld(checksum) => (true, Some(checksum)),
            Kind::CutOut(then, _) => {
                let reserved = (reservation.blocks() * BLOCK) as u64;
                let fetch = whole::run(Arc::clone(shared), reservation, read, then, Arc::clone(&priority), sender);
                let task = Task::spawn(fetch);
                return Self { fid, left, reserved, asked, priority, reached: false, handover, _task: task };
            }
        };
        reservation.shrink(blocks(left));
        let reserved = (reservation.blocks() * BLOCK) as u64;
        let end = read.start + left;
        let next = NextSpan { end, writer: SpanWriter::new(left, withhold, reservation, sender) };
        let goes_on = match onward.take() {
            Some(onward) => onward.with(next),
            None => Err(Box::new(next)),
        };
        let goes_on = match goes_on {
            Ok(onward) => {
                (priority, asked) = (Arc::clone(&onward.priority), None);
                onward
            }
            Err(next) => {
                let NextSpan { writer, .. } = *next;
                let (next, following) = Following::channel();
                let span = read.start..end;
                let reach = read.start + reach.max(left);
                let job = Job { read, span, reach, checksum, version, priority: Arc::clone(&priority) };
                let task = Task::spawn(fetch::run(Arc::clone(&shared.fetch), job, writer, following));
                Onward { next, reach, priority: Arc::clone(&priority), task }
            }
        };
        let task = Arc::clone(&goes_on.task);
        *onward = (end < goes_on.reach).then_some(goes_on);
        Self { fid, left, reserved, asked, priority, reached: false, handover, _task: task }
    }
}
