//! A span on its way.

use std::sync::Arc;

use tokio::{task::AbortHandle, time::Instant};

use super::upcoming::{Kind, Span};
use crate::{
    budget::{BLOCK, Reservation, blocks},
    context::Shared,
    fetch::{self, Job, Sink},
    handover::{Handover, Running, Sender},
    urgency::Priority,
    whole,
};

/// A span on its way. Dropping it ends its fetch.
pub(super) struct Fetching {
    pub(super) fid: Arc<str>,
    /// Bytes that it has still to give.
    pub(super) left: u64,
    /// Bytes of memory that are reserved for what is left.
    pub(super) reserved: u64,
    pub(super) asked: Instant,
    pub(super) priority: Arc<Priority>,
    /// Whether the client has come to it.
    pub(super) reached: bool,
    pub(super) handover: Arc<Handover>,
    task: AbortHandle,
}

impl Fetching {
    /// Starts to fetch as much of the span as the reservation is for, as one more of those that are `running`.
    pub(super) fn start(
        shared: &Arc<Shared>,
        running: &Arc<Running>,
        span: Span,
        reservation: Reservation,
        priority: Priority,
    ) -> Self {
        let left = span.len_in(reservation.blocks());
        let Span { read, kind, .. } = span;
        let fid = Arc::clone(&read.fid);
        let priority = Arc::new(priority);
        let handover = Arc::<Handover>::default();
        let sender = Sender::new(Arc::clone(&handover), Arc::clone(&fid), Arc::clone(running));
        let streamed = |holds, checksum, mut reservation: Reservation, sender| {
            reservation.shrink(blocks(left));
            let reserved = reservation.blocks();
            let span = read.start..read.start + left;
            let job = Job { read: read.clone(), span, checksum, priority: Arc::clone(&priority) };
            let run = fetch::run(Arc::clone(&shared.fetch), job, Sink::new(left, holds, reservation, sender));
            (tokio::spawn(run), reserved)
        };
        let (task, blocks) = match kind {
            Kind::Streamed(checksum) => streamed(false, checksum, reservation, sender),
            Kind::Held(checksum) => streamed(true, Some(checksum), reservation, sender),
            Kind::Whole(then, _) => {
                let reserved = reservation.blocks();
                let run =
                    whole::run(Arc::clone(shared), reservation, read.clone(), then, Arc::clone(&priority), sender);
                (tokio::spawn(run), reserved)
            }
        };
        let (reserved, task) = ((blocks * BLOCK) as u64, task.abort_handle());
        Self { fid, left, reserved, asked: Instant::now(), priority, reached: false, handover, task }
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.task.abort();
    }
}
