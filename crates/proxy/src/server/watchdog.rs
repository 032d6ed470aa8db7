//! Tells the service manager that the daemon is alive, as long as it is.
//!
//! It is where a new task is run by the workers and every accept loop answers, each in time. What hangs is ended by the
//! service manager then, and started anew.
//!
//! Knows who must answer, and how soon. Must not know what they do.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

/// Asks one accept loop whether it lives.
pub(super) struct Asker {
    /// Its address, for the log.
    name: String,
    questions: mpsc::Sender<Question>,
}

/// Answered by whoever lives.
pub(super) type Question = oneshot::Sender<()>;

/// What asks and is asked, for the accept loop of this name.
pub(super) fn pulse(name: String) -> (Asker, mpsc::Receiver<Question>) {
    let (questions, asked) = mpsc::channel(1);
    (Asker { name, questions }, asked)
}

/// Runs until it is dropped. `patience`: how long the service manager waits between two signs of life; `alive` gives one.
pub(super) async fn run(patience: Duration, askers: Vec<Asker>, alive: impl Fn()) {
    // Two signs may get lost.
    let (pause, longest) = (patience / 6, patience / 6);
    loop {
        match timeout(longest, all(&askers)).await {
            Ok(()) => alive(),
            Err(_) => tracing::error!(
                within = ?longest,
                hangs = first_to_hang(&askers).unwrap_or("the workers"),
                "not all answer that they live; the service manager is told nothing"
            ),
        }
        sleep(pause).await;
    }
}

/// Waits until a task was run, and every accept loop has answered or is over.
async fn all(askers: &[Asker]) {
    // One that panics has been run too.
    let _ = tokio::spawn(async {}).await;
    for asker in askers {
        let (question, answer) = oneshot::channel();
        // A loop that has ended has nothing to answer: the daemon stops.
        if asker.questions.send(question).await.is_ok() {
            let _ = answer.await;
        }
    }
}

/// The first whose question has not even been taken.
fn first_to_hang(askers: &[Asker]) -> Option<&str> {
    askers.iter().find(|asker| asker.questions.capacity() == 0).map(|asker| asker.name.as_str())
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn it_is_told_of_life_as_long_as_all_answer() {
        let ((one, mut first), (other, mut second)) = (pulse("one".into()), pulse("other".into()));
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let running = tokio::spawn(run(PATIENCE, vec![one, other], move || {
            count.fetch_add(1, Relaxed);
        }));
        let answering = tokio::spawn(async move {
            while let Some(question) = first.recv().await {
                let _ = question.send(());
            }
        });
        for _ in 0..3 {
            second.recv().await.unwrap().send(()).unwrap();
        }
        sleep(Duration::from_millis(1)).await;
        assert_eq!(told.load(Relaxed), 3);
        sleep(PATIENCE).await;
        assert_eq!(told.load(Relaxed), 3, "one hangs");
        drop(second);
        sleep(PATIENCE).await;
        assert!(told.load(Relaxed) > 6, "it is over");
        answering.abort();
        running.abort();
    }
}
