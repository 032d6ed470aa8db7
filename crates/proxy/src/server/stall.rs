//! The timer of one who waits for a client to take bytes.
//!
//! Knows time. Must not know what waits.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Made at the first wait. It is not set anew with every byte that goes out, but looked after when it fires: by then the
/// time that is due has mostly moved on.
#[derive(Default)]
pub(super) struct StallTimer(Option<Pin<Box<Sleep>>>);

impl StallTimer {
    /// Ready when it is `due`; wakes the task then, or earlier.
    pub(super) fn poll(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }
}
