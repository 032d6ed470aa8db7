//! A span on its way.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use super::pending_steps::{Kind, Span};
use crate::{
    budget::{BLOCK, Reservation, blocks},
    context::EngineContext,
    fetch::{self, Job, NextSpan, NextSpans, SpanWriter},
    handover::{Handover, HandoverItem, RunningFetches, Sender},
    sync::{AbortHandle, spawn},
    urgency::Priority,
    whole,
};

/// A span on its way. Dropping the last one of a fetch ends the fetch.
pub(super) struct SpanFetch {
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
    driver: Driver,
}

/// What drives a fetch.
enum Driver {
    /// A task, at the network's speed.
    Task { _task: Arc<Task> },
    /// The download's own task, as long as there is some to do.
    Here(Option<Pin<Box<dyn Future<Output = ()> + Send>>>),
}

/// Bytes up to which the only span of a download is fetched in the download's own task. All of it is here before any of it is
/// given, so that no body stands open for a client that does not read on.
const ALONE: u64 = 128 << 10;

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
pub(super) struct OpenFetch {
    next: UnboundedSender<NextSpan>,
    fid: Arc<str>,
    /// The byte of the chunk with which its next span begins.
    at: u64,
    /// The byte of the chunk up to which was asked for.
    reach: u64,
    priority: Arc<Priority>,
    task: Arc<Task>,
}

impl OpenFetch {
    /// Whether it still goes on: its body does not stand for long.
    pub(super) fn goes_on(&self) -> bool {
        !self.next.is_closed()
    }

    /// Goes on with this span; else gives it back.
    fn with(self, next: NextSpan) -> Result<Self, Box<NextSpan>> {
        let at = next.end;
        self.next.send(next).map_err(|refused| Box::new(refused.0))?;
        Ok(Self { at, ..self })
    }
}

impl SpanFetch {
    /// Starts to fetch as much of the span as the reservation is for, as one more of those that are `running`. It comes
    /// out of the `open` fetch where there is one; else out of one of its own, which is asked for `reach` bytes of the span at
    /// once. What then still is open is left there.
    ///
    /// One that `is_last` and small is fetched in the task that asks for it, which has nothing else to do meanwhile.
    #[expect(clippy::too_many_arguments, reason = "each is of another kind")]
    pub(super) fn start(
        shared: &Arc<EngineContext>,
        running: &Arc<RunningFetches>,
        span: Span,
        mut reservation: Reservation,
        priority: Priority,
        reach: u64,
        is_last: bool,
        open: &mut Option<OpenFetch>,
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
                let fetch =
                    whole::run(Arc::clone(shared), reservation, read, then, version, Arc::clone(&priority), sender);
                let task = Task::spawn(fetch);
                let driver = Driver::Task { _task: task };
                return Self { fid, left, reserved, asked, priority, reached: false, handover, driver };
            }
        };
        reservation.shrink(blocks(left));
        let reserved = (reservation.blocks() * BLOCK) as u64;
        let end = read.start + left;
        let next = NextSpan { end, writer: SpanWriter::new(left, withhold, reservation, sender) };
        // What lay between came from elsewhere, where it goes on at another byte.
        let goes_on = match open.take().filter(|open| open.fid == fid && open.at == read.start) {
            Some(open) => open.with(next),
            None => Err(Box::new(next)),
        };
        let goes_on = match goes_on {
            Ok(open) => {
                (priority, asked) = (Arc::clone(&open.priority), None);
                open
            }
            Err(next) => {
                let NextSpan { writer, .. } = *next;
                let span = read.start..end;
                let reach = read.start + reach.max(left);
                let job = Job { read, span, reach, checksum, version, priority: Arc::clone(&priority) };
                if reach == end {
                    let fetch = Box::pin(fetch::run(Arc::clone(&shared.fetch), job, writer, NextSpans::none()));
                    let is_here = is_last && left <= ALONE;
                    let driver =
                        if is_here { Driver::Here(Some(fetch)) } else { Driver::Task { _task: Task::spawn(fetch) } };
                    return Self { fid, left, reserved, asked, priority, reached: false, handover, driver };
                }
                let (next, next_spans) = NextSpans::channel();
                let task = Task::spawn(fetch::run(Arc::clone(&shared.fetch), job, writer, next_spans));
                OpenFetch { next, fid: Arc::clone(&fid), at: end, reach, priority: Arc::clone(&priority), task }
            }
        };
        let task = Arc::clone(&goes_on.task);
        *open = (end < goes_on.reach).then_some(goes_on);
        let driver = Driver::Task { _task: task };
        Self { fid, left, reserved, asked, priority, reached: false, handover, driver }
    }

    /// One of so many bytes that somebody else hands over.
    #[cfg(test)]
    pub(super) fn handed_over(left: u64, reserved: u64, handover: Arc<Handover>) -> Self {
        let (priority, driver) = (Arc::new(Priority::new(crate::urgency::Urgency::Head)), Driver::Here(None));
        Self { fid: "3,01".into(), left, reserved, asked: None, priority, reached: false, handover, driver }
    }

    /// What it gives next. One that is fetched here goes on first, and gives nothing before it has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<HandoverItem> {
        if let Driver::Here(fetch) = &mut self.driver
            && let Some(going) = fetch
        {
            ready!(going.as_mut().poll(cx));
            *fetch = None;
        }
        self.handover.poll(cx)
    }
}
