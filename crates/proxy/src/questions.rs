//! Questions that many have at a time, each asked once for all who came before it.
//!
//! Knows that an answer counts for those alone who came before it was asked for: it may be older than what has been done by
//! whoever comes later. Must not know what is asked, or of whom.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use tokio::time::{sleep, timeout};

/// The newest question about each thing. Whoever waits for its answer holds it, and the one before it; where all have left, it
/// is not asked.
pub(crate) struct Questions<A> {
    pause: Duration,
    newest: Mutex<Newest<A>>,
}

struct Newest<A> {
    of: HashMap<Box<str>, Question<A>>,
    /// So many are kept before those are forgotten that nobody waits for any more.
    many: usize,
}

struct Question<A> {
    answer: WeakShared<BoxFuture<'static, A>>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    /// It may have been asked: its answer may be older than who comes now.
    asked: AtomicBool,
    /// How many have come to share it.
    shared: AtomicUsize,
}

/// As [`Newest::many`] at least.
const MANY: usize = 256;
/// Where so many share a question when it may be asked, more are about to: they come faster than answers do.
const BUSY: usize = 3;
/// So long a question waits for the answer to the one before it. Where answers take longer, several are under way.
const PATIENCE: Duration = Duration::from_millis(20);

impl<A: Clone + Send + Sync + 'static> Questions<A> {
    /// `pause`: so long a question that many share waits for more of them.
    pub(crate) fn new(pause: Duration) -> Self {
        Self { pause, newest: Mutex::new(Newest { of: HashMap::new(), many: MANY }) }
    }

    /// The answer about a thing, asked for at some time after this call. Somebody else's question may be the one that is asked.
    pub(crate) async fn after_now<F>(&self, thing: &str, ask: impl FnOnce() -> F + Send + 'static) -> A
    where
        F: Future<Output = A> + Send + 'static,
    {
        self.asked_after_now(thing, ask).await
    }

    fn asked_after_now<F>(&self, thing: &str, ask: impl FnOnce() -> F + Send + 'static) -> Shared<BoxFuture<'static, A>>
    where
        F: Future<Output = A> + Send + 'static,
    {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.forget();
        let before = match newest.of.get(thing).and_then(|question| Some((question, question.unanswered()?))) {
            Some((question, answer)) if !question.progress.asked.load(SeqCst) => {
                question.progress.shared.fetch_add(1, SeqCst);
                return answer;
            }
            before => before.map(|(_, answer)| answer),
        };
        let progress = Arc::default();
        let answer = after(before, Arc::clone(&progress), self.pause, ask);
        if let Some(weak) = answer.downgrade() {
            newest.of.insert(thing.into(), Question { answer: weak, progress });
        }
        answer
    }
}

impl<A: Clone> Newest<A> {
    /// Those that nobody waits for, where there are many.
    fn forget(&mut self) {
        if self.of.len() >= self.many {
            self.of.retain(|_, question| question.unanswered().is_some());
            self.many = MANY.max(2 * self.of.len());
        }
    }
}

impl<A: Clone> Question<A> {
    /// What to wait for, if somebody does still.
    fn unanswered(&self) -> Option<Shared<BoxFuture<'static, A>>> {
        self.answer.upgrade().filter(|answer| answer.peek().is_none())
    }
}

/// Asks when the question `before` has its answer, or has waited long for it.
fn after<A, F>(
    before: Option<Shared<BoxFuture<'static, A>>>,
    progress: Arc<Progress>,
    pause: Duration,
    ask: impl FnOnce() -> F + Send + 'static,
) -> Shared<BoxFuture<'static, A>>
where
    A: Clone + Send + Sync + 'static,
    F: Future<Output = A> + Send + 'static,
{
    let question = async move {
        if let Some(before) = before {
            let _ = timeout(PATIENCE, before).await;
            if !pause.is_zero() && progress.shared.load(SeqCst) >= BUSY {
                sleep(pause).await;
            }
        }
        progress.asked.store(true, SeqCst);
        ask().await
    };
    question.boxed().shared()
}

#[cfg(test)]
mod tests {
    use futures_util::future::{join, join_all};
    use tokio::time::Instant;

    use super::*;

    const PAUSE: Duration = Duration::from_millis(1);

    /// Somebody who takes 10 ms from what he sees to the answer.
    #[derive(Default)]
    struct Asked {
        now: AtomicBool,
        times: AtomicUsize,
        is_slow: AtomicBool,
    }

    impl Asked {
        fn ask(self: &Arc<Self>) -> impl FnOnce() -> BoxFuture<'static, bool> + Send + 'static {
            let asked = Arc::clone(self);
            move || {
                async move {
                    asked.times.fetch_add(1, SeqCst);
                    let seen = asked.now.load(SeqCst);
                    let time = if asked.is_slow.load(SeqCst) { 1000 } else { 10 };
                    sleep(Duration::from_millis(time)).await;
                    seen
                }
                .boxed()
            }
        }
    }

    fn both() -> (Arc<Asked>, Arc<Questions<bool>>) {
        (Arc::default(), Arc::new(Questions::new(PAUSE)))
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_while_one_is_under_way_gets_an_answer_to_a_later_question() {
        let (asked, questions) = both();
        let before = tokio::spawn({
            let (asked, questions) = (Arc::clone(&asked), Arc::clone(&questions));
            async move { questions.after_now("thing", asked.ask()).await }
        });
        sleep(Duration::from_millis(5)).await;
        asked.now.store(true, SeqCst);
        assert!(questions.after_now("thing", asked.ask()).await);
        assert!(!before.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_a_time_are_two_questions() {
        let (asked, questions) = both();
        let all = (0..4000).map(|_| questions.after_now("thing", asked.ask()));
        assert_eq!(join_all(all).await, [false; 4000]);
        assert_eq!(asked.times.load(SeqCst), 2);
        assert!(!questions.after_now("other", asked.ask()).await);
        assert_eq!(asked.times.load(SeqCst), 3);
    }

    /// One every 100 microseconds, answers in 10 ms: who comes in the pause shares the question that waits for it.
    #[tokio::test(start_paused = true)]
    async fn who_comes_in_the_pause_shares_the_question() {
        let (asked, questions) = both();
        let calls = (0..300).map(|n| {
            let (asked, questions) = (Arc::clone(&asked), Arc::clone(&questions));
            async move {
                sleep(Duration::from_micros(100 * n)).await;
                questions.after_now("thing", asked.ask()).await
            }
        });
        let started = Instant::now();
        join_all(calls).await;
        // Answers at 10, 21, 32 ms, and one for who came after 22.
        assert_eq!(asked.times.load(SeqCst), 4);
        assert!(started.elapsed() <= Duration::from_millis(45), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_late_keeps_no_later_question_waiting() {
        let (asked, questions) = both();
        asked.is_slow.store(true, SeqCst);
        let slow = questions.after_now("thing", asked.ask());
        let quick = async {
            sleep(PAUSE).await;
            asked.is_slow.store(false, SeqCst);
            let began = Instant::now();
            questions.after_now("thing", asked.ask()).await;
            began.elapsed()
        };
        let (_, took) = join(slow, quick).await;
        assert_eq!(took, PATIENCE + Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_takes_nobodys_answer_along() {
        let (asked, questions) = both();
        let mut first = Box::pin(questions.after_now("thing", asked.ask()));
        let mut second = Box::pin(questions.after_now("thing", asked.ask()));
        let third = questions.after_now("thing", asked.ask());
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        drop(second);
        asked.now.store(true, SeqCst);
        assert!(third.await);
        assert_eq!(asked.times.load(SeqCst), 2);
    }

    /// The one whose task asked is gone in the middle of it: another's task goes on with it.
    #[tokio::test(start_paused = true)]
    async fn who_leaves_in_mid_question_takes_nobodys_answer_along() {
        let (asked, questions) = both();
        let under_way = questions.asked_after_now("thing", asked.ask());
        let spawn = |answer: &Shared<BoxFuture<'static, bool>>| tokio::spawn(answer.clone());
        let (asker, other) = (spawn(&under_way), spawn(&under_way));
        drop(under_way);
        sleep(Duration::from_millis(5)).await;
        asker.abort();
        let began = Instant::now();
        assert!(!other.await.unwrap());
        assert_eq!((began.elapsed(), asked.times.load(SeqCst)), (Duration::from_millis(5), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_nobody_waits_for_is_no_answer() {
        let (asked, questions) = both();
        let mut left = Box::pin(questions.after_now("thing", asked.ask()));
        assert!(left.as_mut().now_or_never().is_none());
        drop(left);
        asked.now.store(true, SeqCst);
        assert!(questions.after_now("thing", asked.ask()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_is_forgotten() {
        let (asked, questions) = both();
        let names: Vec<_> = (0..4 * MANY).map(|n| n.to_string()).collect();
        let kept = || questions.newest.lock().unwrap().of.len();
        join_all(names.iter().map(|name| questions.after_now(name, asked.ask()))).await;
        assert_eq!(kept(), names.len(), "all of them were waited for");
        for name in &names {
            questions.after_now(&format!("other {name}"), asked.ask()).await;
        }
        assert!(kept() <= 2 * MANY, "{}", kept());
    }

    /// Whoever comes, and whenever: the answer is no older than the call.
    #[tokio::test(start_paused = true)]
    async fn no_answer_is_older_than_its_call() {
        let (asked, questions) = both();
        let switch = {
            let asked = Arc::clone(&asked);
            async move {
                sleep(Duration::from_millis(50)).await;
                asked.now.store(true, SeqCst);
            }
        };
        let calls = (0..100).map(|n| {
            let (asked, questions) = (Arc::clone(&asked), Arc::clone(&questions));
            async move {
                sleep(Duration::from_millis(n)).await;
                let since = asked.now.load(SeqCst);
                let said = questions.after_now("thing", asked.ask()).await;
                assert!(said || !since, "at {n} ms");
            }
        });
        join(switch, join_all(calls)).await;
        assert!(asked.times.load(SeqCst) < 20);
    }
}
