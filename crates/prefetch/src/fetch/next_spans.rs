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
        let has_place = attempt.place_unless_set_aside(priority, next.writer.len()).await;
        Some((next, has_place))
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        Settings, Share,
        budget::Reservation,
        handover::{Handover, Sender},
        testing::Script,
        urgency::Urgency,
    };

    #[tokio::test(start_paused = true)]
    async fn a_small_span_at_the_end_of_a_large_chunk_is_let_in_as_a_small_one() {
        let (engine, _) = Script::default().engine(Settings { per_server: 1, ..Settings::default() });
        let account = engine.shared.budget.admit(&Share::default()).await;
        let reservation = Reservation::take(&account, 1, 1, Urgency::Head).unwrap();
        let (servers, authority) = (&engine.shared.fetch.servers, "a:1".into());
        let priority = Priority::new(Urgency::Head);
        let [mut attempt, mut other, mut large] = [(); 3].map(|()| servers.attempt_at(&authority));
        attempt.place(&priority, 1).await;
        let (sender, mut next_spans) = NextSpans::channel();
        let mut next = Box::pin(next_spans.next(&mut attempt, &priority));
        assert!(futures_util::poll!(next.as_mut()).is_pending());
        other.place(&priority, 1).await;
        let mut large = Box::pin(large.place(&priority, 1 << 20));
        assert!(futures_util::poll!(large.as_mut()).is_pending());
        let to = Sender::new(Arc::<Handover>::default(), "3,01".into(), Arc::default());
        let span = NextSpan { end: 10 << 20, writer: SpanWriter::new(1000, false, reservation, to) };
        assert!(sender.send(span).is_ok() && futures_util::poll!(next.as_mut()).is_pending());
        drop(other);
        assert!(next.await.is_some_and(|(_, has_place)| has_place), "before the large one");
        drop(attempt);
        large.await;
    }
}
