//! The end of the daemon: what stops when, and what says so.
//!
//! Knows the stages of a shutdown and the signals that ask for one. Must not know what the listeners serve.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::notify::Notice;

/// How far a shutdown has come. Stages are passed in this order, and some may be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Accepting and answering.
    Serving,
    /// The same, but no longer ready: whoever sends clients here is to find out before they are refused.
    Leaving,
    /// The fronts accept no more; what runs may finish.
    Draining,
    /// The fronts are done; the admin listener, which told of the drain until now, ends too.
    Closing,
    /// Whatever still runs is cut.
    Cut,
}

/// The stage as everyone but the shutdown itself sees it.
#[derive(Clone)]
pub(super) struct Stages(watch::Receiver<Stage>);

impl Stages {
    pub(super) fn new() -> (watch::Sender<Stage>, Self) {
        let (sender, receiver) = watch::channel(Stage::Serving);
        (sender, Self(receiver))
    }

    /// Returns once `stage` or a later one is reached, or nobody is left to reach it.
    pub(super) async fn reached(&mut self, stage: Stage) {
        let _ = self.0.wait_for(|now| *now >= stage).await;
    }

    pub(super) fn at(&self, stage: Stage) -> bool {
        *self.0.borrow() >= stage
    }
}

/// Tells whether the daemon has begun to shut down, for readiness.
#[derive(Clone)]
pub struct Draining(pub(super) Stages);

impl Draining {
    /// Whether new requests are no longer wanted, though they may still be answered.
    pub fn is_draining(&self) -> bool {
        self.0.at(Stage::Leaving)
    }

    /// Resolves when the drain is over and the admin listener ends too.
    pub async fn is_over(mut self) {
        self.0.reached(Stage::Closing).await;
    }
}

/// SIGTERM and SIGINT, one message each: the first asks for a shutdown, the second for an end.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn signals() -> io::Result<mpsc::Receiver<()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if sender.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// SIGHUP, one message each; those that come while one waits are one with it.
///
/// # Errors
/// When the handler cannot be installed.
pub fn reloads() -> io::Result<mpsc::Receiver<()>> {
    deliveries_of(SignalKind::hangup())
}

/// SIGUSR1, likewise. Without a handler it would end the process.
///
/// # Errors
/// When the handler cannot be installed.
pub fn reopens() -> io::Result<mpsc::Receiver<()>> {
    deliveries_of(SignalKind::user_defined1())
}

fn deliveries_of(kind: SignalKind) -> io::Result<mpsc::Receiver<()>> {
    let mut signals = signal(kind)?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            if let Err(mpsc::error::TrySendError::Closed(())) = sender.try_send(()) {
                return;
            }
        }
    });
    Ok(receiver)
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainOutcome {
    /// Connections that were cut because the time was up or a second signal came; 0: everyone got their answer.
    pub cut: usize,
}

/// Waits for `time` while everything is served as before. `false`: `stop` spoke again.
pub(super) async fn leave(
    time: Duration,
    stop: &mut mpsc::Receiver<()>,
    notify: &(dyn Fn(Notice) + Send + Sync),
) -> bool {
    if time.is_zero() {
        return true;
    }
    notify(Notice::Status(format!("Stopping: not ready any more, serving for {time:?}")));
    let asked_again = async {
        if stop.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    };
    let in_peace = tokio::time::timeout(time, asked_again).await.is_err();
    if !in_peace {
        tracing::warn!("asked to stop again: cutting what still runs");
    }
    in_peace
}

/// Waits until `fronts` are done, `timeout` is over or `stop` speaks again; says once a second how it goes.
pub(super) async fn drain(
    fronts: impl Future<Output = ()>,
    open: &AtomicUsize,
    timeout: Duration,
    stop: &mut mpsc::Receiver<()>,
    notify: &(dyn Fn(Notice) + Send + Sync),
) -> DrainOutcome {
    let deadline = Instant::now() + timeout;
    let mut second = interval_at(Instant::now(), Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut fronts = std::pin::pin!(fronts);
    let mut listening = true;
    loop {
        tokio::select! {
            biased;
            () = fronts.as_mut() => return DrainOutcome { cut: 0 },
            asked = stop.recv(), if listening => match asked {
                Some(()) => {
                    tracing::warn!("asked to stop again: cutting what still runs");
                    break;
                }
                None => listening = false,
            },
            () = tokio::time::sleep_until(deadline) => {
                tracing::warn!(?timeout, "the drain ran out of time: cutting what still runs");
                break;
            }
            _ = second.tick() => notify(Notice::Status(progress(open, deadline))),
        }
    }
    DrainOutcome { cut: open.load(Ordering::Relaxed) }
}

fn progress(open: &AtomicUsize, deadline: Instant) -> String {
    let left = deadline.saturating_duration_since(Instant::now()).as_secs();
    match open.load(Ordering::Relaxed) {
        1 => format!("Stopping: 1 connection is finishing, cut in {left} s"),
        open => format!("Stopping: {open} connections are finishing, cut in {left} s"),
    }
}
