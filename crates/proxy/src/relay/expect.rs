//! `Expect: 100-continue` across two hops (RFC 9110, 10.1.1).
//!
//! The client waits to be told that its body is wanted. It is the filer who knows: so its body waits behind a gate
//! until the filer says 100, or says nothing for a second. A filer that answers at once without a 100 does not want
//! the body, and then the client is never asked for it.
//!
//! ```text
//!              a 100
//!   CLOSED ─────────────────────────────▶ OPEN: the body is sent
//!    │  │                                  ▲
//!    │  │ an answer begins without a 100   │ a 100
//!    │  └─────────────▶ ANSWERED ──────────┘
//!    │ the gate is         │ the gate is dropped: the answer is over
//!    │ dropped             ▼
//!    └────────────────▶ REFUSED: the body ends with an error
//! ```
//!
//! While it is CLOSED, and only then, the body is sent as well after a second from its first poll. Nobody but the [`Watch`]
//! has to know: it is not asked again.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use http::{Request, StatusCode};
use tokio::time::{Sleep, sleep};

/// How long the filer may take to ask for the body. It is sent anyway then: not every server knows how to ask.
const PATIENCE: Duration = Duration::from_secs(1);

const CLOSED: u8 = 0;
const OPEN: u8 = 1;
const ANSWERED: u8 = 2;
const REFUSED: u8 = 3;

#[derive(Default)]
struct State {
    gate: AtomicU8,
    waker: AtomicWaker,
}

impl State {
    /// Goes on to `to`, unless it was opened or refused before.
    fn settle(&self, to: u8) {
        let undecided = |now| (now == CLOSED || now == ANSWERED).then_some(to);
        if self.gate.fetch_update(Ordering::AcqRel, Ordering::Acquire, undecided).is_ok() {
            self.waker.wake();
        }
    }
}

/// The side that decides. Dropped undecided, it refuses: the request is over, and its body must not wait forever.
pub(super) struct Gate(Arc<State>);

impl Gate {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// The side of the body.
    pub(super) fn watch(&self) -> Watch {
        Watch { state: self.0.clone(), patience: None }
    }

    /// Opens the gate when the server that `request` goes to says 100.
    pub(super) fn open_on_continue<B>(&self, request: &mut Request<B>) {
        let state = self.0.clone();
        hyper::ext::on_informational(request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                state.settle(OPEN);
            }
        });
    }

    /// The filer has begun to answer without a 100: silence no longer means that it wants the body. The body waits on,
    /// since to break it off now would break the answer off.
    pub(super) fn answered(&self) {
        self.0.settle(ANSWERED);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.settle(REFUSED);
    }
}

/// The side that waits.
pub(super) struct Watch {
    state: Arc<State>,
    /// Runs from the first poll, which is when the filer has the request's head.
    patience: Option<Pin<Box<Sleep>>>,
}

/// What a gate said.
pub(super) enum Decision {
    Send,
    Refused(UnwantedBody),
}

/// The filer answered without asking for the body.
#[derive(Debug)]
pub(super) struct UnwantedBody;

impl fmt::Display for UnwantedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the filer did not want the body")
    }
}

impl std::error::Error for UnwantedBody {}

impl Watch {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Decision> {
        self.state.waker.register(cx.waker());
        match self.state.gate.load(Ordering::Acquire) {
            OPEN => return Poll::Ready(Decision::Send),
            REFUSED => return Poll::Ready(Decision::Refused(UnwantedBody)),
            ANSWERED => return Poll::Pending,
            _ => {}
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        patience.as_mut().poll(cx).map(|()| Decision::Send)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::poll;
    use tokio::time::{Instant, advance};

    use super::*;

    async fn held(watch: &mut Watch) -> Decision {
        poll_fn(|cx| watch.poll(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn opens_at_once_when_told() {
        let gate = Gate::new();
        let mut watch = gate.watch();
        {
            let mut waiting = std::pin::pin!(held(&mut watch));
            assert!(poll!(waiting.as_mut()).is_pending());
            gate.0.settle(OPEN);
            assert!(matches!(waiting.await, Decision::Send));
        }
        drop(gate);
        assert!(matches!(held(&mut watch).await, Decision::Send));
    }

    #[tokio::test(start_paused = true)]
    async fn opens_by_itself_after_a_second_from_the_first_poll() {
        let gate = Gate::new();
        let mut watch = gate.watch();
        advance(Duration::from_secs(60)).await;
        let started = Instant::now();
        assert!(matches!(held(&mut watch).await, Decision::Send));
        assert_eq!(started.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_a_100_keeps_it_closed_to_the_end() {
        let gate = Gate::new();
        let mut watch = gate.watch();
        let mut waiting = std::pin::pin!(held(&mut watch));
        assert!(poll!(waiting.as_mut()).is_pending());
        gate.answered();
        advance(PATIENCE * 2).await;
        assert!(poll!(waiting.as_mut()).is_pending());
        drop(gate);
        assert!(matches!(waiting.await, Decision::Refused(UnwantedBody)));
    }

    #[tokio::test(start_paused = true)]
    async fn refuses_when_the_request_is_over() {
        let gate = Gate::new();
        let mut watch = gate.watch();
        let mut waiting = std::pin::pin!(held(&mut watch));
        assert!(poll!(waiting.as_mut()).is_pending());
        drop(gate);
        assert!(matches!(waiting.await, Decision::Refused(UnwantedBody)));
    }
}
