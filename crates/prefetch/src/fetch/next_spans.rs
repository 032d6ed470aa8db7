//! The spans of one chunk that come out of one body.
//!
//! A volume server may have to read all of a needle for whatever part of it is asked for: where it is erasure-coded, which no
//! lookup and no answer tells. So the rest of a chunk is one request, although its memory is taken span by span. Between two
//! spans the body stands: without its place, not for long, and of each server no more bodies than sixteen for each place.

use std::time::Duration;

use tokio::{sync::mpsc, time::timeout};

use super::SpanWriter;
use crate::{servers::Attempt, urgency::Priority};

/// How long a body may stand between two spans. Whoever takes longer reads slowly, or memory is short.
const STANDS: Duration = Duration::from_secs(1);

/// A span that follows.
pub(crate) struct NextSpan {
    /// The byte of the chunk where it ends.
    pub(crate) end: u64,
    pub(crate) writer: SpanWriter,
}

/// The spans that follow, in order. `None`: none will.
pub(crate) struct NextSpans(Option<mpsc::UnboundedReceiver<NextSpan>>);

impl NextSpans {
    /// For a fetch that is asked for nothing behind its span.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// With where to send them.
    pub(crate) fn channel() -> (mpsc::UnboundedSender<NextSpan>, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Self(Some(receiver)))
    }

    /// The next one, and whether there is a place to go on at: not where the server has been set aside meanwhile. `None`: none
    /// came in time, and none will.
    pub(super) async fn next(&mut self, attempt: &mut Attempt, priority: &Priority) -> Option<(NextSpan, bool)> {
        let spans = self.0.as_mut()?;
        if let Ok(next) = spans.try_recv() {
            return Some((next, true));
        }
        let next = match attempt.stand() {
            Some(_stands) => timeout(STANDS, spans.recv()).await.ok(),
            None => None,
        };
        let next = match next {
            Some(next) => next?,
            None => {
                spans.close();
                // One may have been on its way.
                spans.try_recv().ok()?
            }
        };
        let has_place = attempt.place_unless_set_aside(priority, next.end).await;
        Some((next, has_place))
    }
}
