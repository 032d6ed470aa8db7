//! The ordered stream of one answer's bytes, and the one place that starts fetches.
//!
//! Fetches are started only while the client asks for bytes: a client that stops reading stops the fetching, and no
//! request is opened that nobody is about to drain. What is on its way is drained into its reservation at the
//! network's speed.
//!
//! What comes next is [`pending_steps`]'s, what has begun is [`slot_queue`]'s; how far one may be ahead of the other is the
//! window's and the memory's. Who waits here is woken by the head of what has begun or, where nothing has, by memory that
//! comes back and fetches that end.

mod pending_steps;
mod slot_queue;
mod span_fetch;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

use self::{
    pending_steps::{NextStep, PendingSteps, Span},
    slot_queue::{CachedSlot, HeadState, Slot, SlotQueue},
    span_fetch::{OpenFetch, SpanFetch},
};
use crate::{
    FetchError, NeedleRead, Plan, Start,
    budget::{Account, BLOCK, LONGEST_WAIT, Reservation, in_line},
    context::EngineContext,
    fetch::Version,
    handover::RunningFetches,
    urgency::{Priority, Urgency},
    window::Window,
};

/// The bytes of a plan, in order. Ends with an error, or after exactly [`Plan::len`] bytes. Dropping it ends its fetches.
pub struct Download {
    shared: Arc<EngineContext>,
    account: Arc<Account>,
    window: Window,
    steps: PendingSteps,
    slots: SlotQueue,
    /// The fetch that goes on with what comes next.
    open: Option<OpenFetch>,
    /// Its fetches that have not ended.
    running: Arc<RunningFetches>,
    /// The memory that the head waits for, before it can begin. Nothing else begins meanwhile.
    memory: Option<Memory>,
    /// When to look again whether the first byte of all has come.
    look: Option<Pin<Box<Sleep>>>,
    /// Bytes of the whole download that were not delivered yet.
    remaining: u64,
    /// Those that were: also those out of memory, of which the window says nothing.
    delivered: u64,
    /// Bytes of text in front of the first chunk.
    text: u64,
    /// What was waited for at the beginning.
    first: VecDeque<Bytes>,
    failed: bool,
}

/// More than the system and the connection take of an answer though its client reads nothing of it.
const SWALLOWED: u64 = 1 << 20;

/// Memory on its way.
struct Memory {
    blocks: usize,
    waits: Pin<Box<dyn Future<Output = Result<Reservation, FetchError>> + Send>>,
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(window) = self.window.automatic() {
            self.shared.metrics.window.observe(window as f64);
            self.shared.experience.note(&self.window, self.remaining);
        }
    }
}

impl Download {
    pub(crate) fn new(shared: Arc<EngineContext>, account: Arc<Account>, plan: Plan) -> Self {
        let memory = ((shared.budget.blocks() - shared.budget.left_to_heads()) * BLOCK) as u64;
        let window = Window::new(shared.settings.window, memory, &shared.experience);
        let (remaining, text) = (plan.len(), plan.text());
        let steps = PendingSteps::new(plan.pieces, shared.settings.verify);
        Self {
            shared,
            account,
            window,
            steps,
            slots: SlotQueue::default(),
            open: None,
            running: Arc::default(),
            memory: None,
            look: None,
            remaining,
            delivered: 0,
            text,
            first: VecDeque::new(),
            failed: false,
        }
    }

    /// Waits for the first bytes, which are then given by the stream: those of the first chunk, where there is but text in
    /// front of it.
    pub(crate) async fn begin(&mut self) -> Result<(), FetchError> {
        let mut here = 0;
        while here <= self.text
            && let Some(bytes) = std::future::poll_fn(|cx| self.poll_bytes(cx)).await.transpose()?
        {
            here += bytes.len() as u64;
            self.first.push_back(bytes);
        }
        Ok(())
    }

    /// Bytes that the stream has still to give.
    pub fn remaining(&self) -> u64 {
        self.remaining + self.first.iter().map(|first| first.len() as u64).sum::<u64>()
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FetchError>>> {
        let bytes = ready!(self.poll_next_bytes(cx));
        match &bytes {
            Some(Ok(bytes)) => {
                self.remaining -= bytes.len() as u64;
                self.delivered += bytes.len() as u64;
                self.account.client_takes(bytes.len() as u64);
            }
            Some(Err(_)) => {
                self.failed = true;
                self.slots.clear();
                self.open = None;
                self.memory = None;
            }
            None => {}
        }
        Poll::Ready(bytes)
    }

    fn poll_next_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FetchError>>> {
        loop {
            self.fetch_ahead();
            match self.slots.poll(cx) {
                Some(HeadState::Bytes(bytes, first_byte)) => {
                    if let Some(first_byte) = first_byte {
                        self.window.first_byte(first_byte);
                        self.look = None;
                    }
                    self.window.delivered(bytes.len() as u64);
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Some(HeadState::Ended(lay)) => self.window.ended(lay),
                Some(HeadState::Late(reached, asked)) => {
                    self.account.client_waits();
                    if self.window.automatic().is_none() {
                        // It has room again when a fetch ends, whichever it is.
                        self.running.wake_on_end(cx.waker());
                        self.fetch_ahead();
                    } else if reached {
                        self.window.client_waited(Instant::now());
                        self.fetch_ahead();
                    }
                    if let Some(asked) = asked {
                        self.await_first(asked, cx);
                    }
                    return Poll::Pending;
                }
                Some(HeadState::Cached) => {
                    if let Some(bytes) = ready!(self.poll_cached(cx))? {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Some(HeadState::Failed(error)) => return Poll::Ready(Some(Err(error))),
                None if self.remaining == 0 => return Poll::Ready(None),
                None => ready!(self.poll_begin(cx))?,
            }
        }
    }

    /// Fetches further ahead the longer nothing comes: what was asked for then is that far away at least.
    fn await_first(&mut self, asked: Instant, cx: &mut Context<'_>) {
        while !self.steps.is_empty()
            && let Some(time) = self.window.looks_again(asked.elapsed())
        {
            let look = self.look.get_or_insert_with(|| Box::pin(sleep_until(asked + time)));
            if look.as_mut().poll(cx).is_pending() {
                return;
            }
            self.look = None;
            if self.window.awaits_first(asked.elapsed()) {
                self.fetch_ahead();
            }
        }
    }

    /// Waits until what comes next has begun: all the memory of this download is on its way to the client, or its last
    /// fetch is about to end, or the head needs more memory than there is now.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        self.running.wake_on_end(cx.waker());
        if !self.has_room() {
            return Poll::Pending;
        }
        let Some(span) = self.span() else { return Poll::Pending };
        let reservation = ready!(self.poll_memory(&span, cx))?;
        self.start(span, reservation, Urgency::Head);
        Poll::Ready(Ok(()))
    }

    /// Begins what the window and the memory allow.
    fn fetch_ahead(&mut self) {
        while self.memory.is_none()
            && let Some(next) = self.steps.next()
        {
            match next {
                NextStep::Zeros(len) => self.slots.push(Slot::Zeros(len)),
                NextStep::Inline(bytes) => self.slots.push(Slot::Inline(bytes)),
                NextStep::Needle => {
                    if !self.has_room() || !self.begin_needle() {
                        return;
                    }
                }
            }
        }
    }

    /// Whether its client may be one of many that read nothing. What is asked for such a one a volume server reads and sends in
    /// vain: it is the least that is of use.
    fn is_unproven(&self) -> bool {
        self.delivered < SWALLOWED && self.shared.is_crowded()
    }

    /// Its part of the memory, in bytes.
    fn part(&self) -> u64 {
        if self.is_unproven() { 0 } else { self.shared.budget.part() }
    }

    fn has_room(&self) -> bool {
        let (requests, bytes) = (self.slots.requests(), self.slots.bytes());
        self.window.has_room(self.running.fetches(), requests, bytes, self.part())
    }

    /// Begins the next span of the needle that is next. `false`: there is no memory.
    fn begin_needle(&mut self) -> bool {
        if self.steps.needle().is_some_and(|read| self.shared.is_cached(&read.fid))
            && let Some((read, version)) = self.steps.take_needle()
        {
            let needs = self.needs(&read, &version);
            // Of one that was being fetched when it came into memory.
            self.open = None;
            self.slots.push(Slot::Cached(CachedSlot { read, needs, version, joined: false }));
            return true;
        }
        let Some(span) = self.span() else { return false };
        let (least, most) = span.blocks();
        // One in memory that is gone when the client comes to it would wait for what lies behind it.
        if self.slots.needs() > self.shared.budget.left_to_heads() {
            return false;
        }
        let (useful, urgency) = if self.slots.is_empty() {
            (least, Urgency::Head)
        } else {
            (least.max(self.shared.budget.useful(most)), Urgency::Ahead)
        };
        let Some(reservation) = Reservation::take(&self.account, useful, most, urgency) else {
            if urgency == Urgency::Ahead {
                self.shared.metrics.memory_was_short("ahead");
                self.window.memory_was_short(self.shared.budget.part());
            }
            return false;
        };
        self.start(span, reservation, urgency);
        true
    }

    /// Memory for what the client waits for. What is passed on as it comes goes on as soon as a block of its floor comes
    /// back; what is of no use in part waits in line, and nothing else begins meanwhile.
    fn poll_memory(&mut self, span: &Span, cx: &mut Context<'_>) -> Poll<Result<Reservation, FetchError>> {
        self.account.wake_on_return(cx.waker());
        let (least, most) = span.blocks();
        if let Some(reservation) = Reservation::take(&self.account, least, most, Urgency::Head) {
            self.memory = None;
            return Poll::Ready(Ok(reservation));
        }
        if least == 1 {
            // Nothing is being fetched: the whole floor is with the client.
            self.account.client_holds();
            return Poll::Pending;
        }
        if let Err(error) = self.shared.budget.has_room(&span.read.fid, least) {
            return Poll::Ready(Err(error));
        }
        // What was waited for before may have turned out not to be needed.
        let memory = self.memory.take_if(|memory| memory.blocks == least).unwrap_or_else(|| {
            self.shared.metrics.memory_was_short("whole");
            // As long as a client that reads nothing is suffered by default: bytes of this download may be out.
            Memory { blocks: least, waits: Box::pin(in_line(Arc::clone(&self.account), least, 4 * LONGEST_WAIT)) }
        });
        let reservation = ready!(self.memory.insert(memory).waits.as_mut().poll(cx));
        self.memory = None;
        Poll::Ready(reservation)
    }

    fn span(&mut self) -> Option<Span> {
        let (window, part) = (&self.window, self.part());
        self.steps.span(|left| window.span(left, part), self.shared.budget.blocks())
    }

    /// The first span of a needle that was in memory.
    fn span_of(&self, read: &NeedleRead, version: &Arc<Version>) -> Option<Span> {
        let (window, budget) = (&self.window, &self.shared.budget);
        let verify = self.shared.settings.verify;
        let mut needle = PendingSteps::of_needle(read.clone(), Arc::clone(version), verify);
        needle.span(|left| window.span(left, budget.part()), budget.blocks())
    }

    /// The blocks that a needle in memory may need if it is gone when the client comes to it, or when a part of it is out.
    fn needs(&self, read: &NeedleRead, version: &Arc<Version>) -> usize {
        let rest = NeedleRead { start: read.start + 1, ..read.clone() };
        let least = |read| self.span_of(read, version).map_or(0, |span| span.blocks().0);
        least(read).max(least(&rest))
    }

    /// Starts to fetch a span, as much of it as the memory is for.
    fn start(&mut self, span: Span, reservation: Reservation, urgency: Urgency) {
        let len = span.len_in(reservation.blocks());
        self.steps.begun(len);
        if self.open.as_ref().is_some_and(|open| !open.goes_on()) {
            self.open = None;
            self.window.body_stood();
        }
        let reach = if self.is_unproven() { len } else { self.window.reach(span.read.end - span.read.start) };
        let priority = self.priority(urgency);
        let is_last = urgency == Urgency::Head && self.steps.is_empty();
        let (open, running) = (&mut self.open, &self.running);
        let fetch = SpanFetch::start(&self.shared, running, span, reservation, priority, reach, is_last, open);
        self.slots.push(Slot::Fetch(fetch));
    }

    fn priority(&self, urgency: Urgency) -> Priority {
        Priority::of(urgency, self.remaining)
    }

    /// The next block of the needle in memory that the client has come to, decoded. `None`: it is no longer there, or is not
    /// what was read before, or cannot be decoded yet, and is fetched like any other.
    fn poll_cached(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, FetchError>> {
        let Some(CachedSlot { read, version, joined, .. }) = self.slots.cached() else { return Poll::Ready(Ok(None)) };
        let kept = self.shared.cached(&read.fid).filter(|kept| kept.bytes.len() as u64 == read.size);
        // What it is decoded with may have to be waited for: that is a fetch's business.
        let decoder = match read.transform.as_ref().map(|transform| transform.start(read.start)) {
            None => Some(None),
            Some(Start::Now(decoder)) => Some(Some(decoder)),
            Some(Start::Later(_)) => None,
        };
        let kept = kept.filter(|kept| decoder.is_some() && version.is_of(&kept.version, joined));
        let (Some(kept), Some(decoder)) = (kept, decoder) else {
            let (read, version) = (read.clone(), Arc::clone(version));
            let Some(span) = self.span_of(&read, &version) else { return Poll::Ready(Ok(None)) };
            let reservation = ready!(self.poll_memory(&span, cx))?;
            self.slots.took_of_cached(span.len_in(reservation.blocks()));
            let (priority, reach) = (self.priority(Urgency::Head), span.len_in(reservation.blocks()));
            let (open, running) = (&mut None, &self.running);
            let fetch = SpanFetch::start(&self.shared, running, span, reservation, priority, reach, false, open);
            self.slots.push_first(Slot::Fetch(fetch));
            return Poll::Ready(Ok(None));
        };
        // It may have been gone in between.
        self.memory = None;
        self.account.wake_on_return(cx.waker());
        let Some(mut reservation) = Reservation::take(&self.account, 1, 1, Urgency::Head) else { return Poll::Pending };
        let end = read.end.min(read.start + BLOCK as u64);
        let stored = &kept.bytes[read.start as usize..end as usize];
        let mut block = reservation.block();
        let spare = &mut block.spare()[..stored.len()];
        match decoder {
            Some(mut decoder) => decoder.copy(stored, spare),
            None => spare.copy_from_slice(stored),
        }
        block.advance(stored.len());
        self.slots.took_of_cached(stored.len() as u64);
        Poll::Ready(Ok(Some(block.freeze())))
    }
}

impl Stream for Download {
    type Item = Result<Bytes, FetchError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.pop_front() {
            return Poll::Ready(Some(Ok(first)));
        }
        if self.failed {
            return Poll::Ready(None);
        }
        self.poll_bytes(cx)
    }
}

#[cfg(test)]
mod distance;
#[cfg(test)]
mod late_keys;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod open_fetch;
#[cfg(test)]
mod replaced;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unfailing;
#[cfg(test)]
mod waiting;
