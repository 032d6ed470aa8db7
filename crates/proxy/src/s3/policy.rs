//! Whether a bucket has a policy now, asked of the filer for every read and once for many that come at a time.
//!
//! Knows that an answer counts for those alone who came before it was asked for. Must not know what a policy says.

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
use tokio::time::sleep;

use super::{object, target::Target};
use crate::read::Stages;

/// The newest lookup of each bucket. Whoever waits for one holds it, and those before it; where all have left, it is not made.
#[derive(Default)]
pub(crate) struct Policies {
    buckets: Mutex<HashMap<String, Lookup>>,
}

struct Lookup {
    answer: WeakShared<BoxFuture<'static, bool>>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    /// It may have been sent: what it answers may be older than a request that comes now.
    sent: AtomicBool,
    /// How many have come to share it.
    shared: AtomicUsize,
}

/// So many buckets are kept before those are forgotten about which nobody asks any more.
const MANY: usize = 256;
/// Where so many share a question when it may be asked, more are about to: reads come faster than answers do.
const BUSY: usize = 3;
/// So long it then waits for those. Less than a busy gateway takes for its decision, which is waited for meanwhile.
const PAUSE: Duration = Duration::from_millis(1);

impl Policies {
    /// Whether the bucket of the target has a policy, by what the filer says at some time after this call.
    pub(super) async fn has_one_now(&self, stages: &Arc<Stages>, target: &Target) -> bool {
        let (stages, wanted) = (Arc::clone(stages), target.clone());
        self.after_now(&target.bucket, || async move { object::has_policy_now(&stages, &wanted).await }).await
    }

    async fn after_now<F>(&self, bucket: &str, ask: impl FnOnce() -> F + Send + 'static) -> bool
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let answer = {
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            if buckets.len() >= MANY {
                buckets.retain(|_, lookup| lookup.unanswered().is_some());
            }
            let newest = buckets.get(bucket).and_then(|lookup| Some((lookup, lookup.unanswered()?)));
            match newest {
                Some((lookup, answer)) if !lookup.progress.sent.load(SeqCst) => {
                    lookup.progress.shared.fetch_add(1, SeqCst);
                    answer
                }
                newest => {
                    let before = newest.map(|(_, answer)| answer);
                    let progress = Arc::default();
                    let answer = asked_after(before, Arc::clone(&progress), ask);
                    if let Some(weak) = answer.downgrade() {
                        buckets.insert(bucket.to_owned(), Lookup { answer: weak, progress });
                    }
                    answer
                }
            }
        };
        answer.await
    }
}

impl Lookup {
    /// What to wait for, if somebody does still.
    fn unanswered(&self) -> Option<Shared<BoxFuture<'static, bool>>> {
        self.answer.upgrade().filter(|answer| answer.peek().is_none())
    }
}

/// Asks once the lookup `before` has its answer: of one bucket one is under way at a time.
fn asked_after<F>(
    before: Option<Shared<BoxFuture<'static, bool>>>,
    progress: Arc<Progress>,
    ask: impl FnOnce() -> F + Send + 'static,
) -> Shared<BoxFuture<'static, bool>>
where
    F: Future<Output = bool> + Send + 'static,
{
    let lookup = async move {
        if let Some(before) = before {
            before.await;
            if progress.shared.load(SeqCst) >= BUSY {
                sleep(PAUSE).await;
            }
        }
        progress.sent.store(true, SeqCst);
        ask().await
    };
    lookup.boxed().shared()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A filer that takes 10 ms from what it sees to the answer.
    #[derive(Default)]
    struct Filer {
        has_policy: AtomicBool,
        asked: AtomicUsize,
    }

    impl Filer {
        fn ask(self: &Arc<Self>) -> impl FnOnce() -> BoxFuture<'static, bool> + Send + 'static {
            let filer = Arc::clone(self);
            move || {
                async move {
                    filer.asked.fetch_add(1, SeqCst);
                    let seen = filer.has_policy.load(SeqCst);
                    sleep(Duration::from_millis(10)).await;
                    seen
                }
                .boxed()
            }
        }
    }

    fn both() -> (Arc<Filer>, Arc<Policies>) {
        Default::default()
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_while_one_is_under_way_gets_an_answer_to_a_later_question() {
        let (filer, policies) = both();
        let before = tokio::spawn({
            let (filer, policies) = (Arc::clone(&filer), Arc::clone(&policies));
            async move { policies.after_now("bucket", filer.ask()).await }
        });
        sleep(Duration::from_millis(5)).await;
        filer.has_policy.store(true, SeqCst);
        assert!(policies.after_now("bucket", filer.ask()).await);
        assert!(!before.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_a_time_are_two_questions() {
        let (filer, policies) = both();
        let all = (0..50).map(|_| policies.after_now("bucket", filer.ask()));
        assert_eq!(futures_util::future::join_all(all).await, [false; 50]);
        assert_eq!(filer.asked.load(SeqCst), 2);
        assert!(!policies.after_now("other", filer.ask()).await);
        assert_eq!(filer.asked.load(SeqCst), 3);
    }

    /// A read every 100 microseconds, answers in 10 ms: who comes in the pause shares the question that waits for it.
    #[tokio::test(start_paused = true)]
    async fn who_comes_in_the_pause_shares_the_question() {
        let (filer, policies) = both();
        let calls = (0..300).map(|n| {
            let (filer, policies) = (Arc::clone(&filer), Arc::clone(&policies));
            async move {
                sleep(Duration::from_micros(100 * n)).await;
                policies.after_now("bucket", filer.ask()).await
            }
        });
        let started = tokio::time::Instant::now();
        futures_util::future::join_all(calls).await;
        // Answers at 10, 21, 32 ms, and one for who came after 22.
        assert_eq!(filer.asked.load(SeqCst), 4);
        assert!(started.elapsed() <= Duration::from_millis(45), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_takes_nobodys_answer_along() {
        let (filer, policies) = both();
        let mut first = Box::pin(policies.after_now("bucket", filer.ask()));
        let mut second = Box::pin(policies.after_now("bucket", filer.ask()));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        filer.has_policy.store(true, SeqCst);
        assert!(second.await);
        assert_eq!(filer.asked.load(SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_nobody_waits_for_is_no_answer() {
        let (filer, policies) = both();
        let mut left = Box::pin(policies.after_now("bucket", filer.ask()));
        assert!(left.as_mut().now_or_never().is_none());
        drop(left);
        filer.has_policy.store(true, SeqCst);
        assert!(policies.after_now("bucket", filer.ask()).await);
        for n in 0..2 * MANY {
            assert!(policies.after_now(&format!("bucket-{n}"), filer.ask()).await);
        }
        assert!(policies.buckets.lock().unwrap().len() <= MANY);
    }

    /// Whoever comes, and whenever: the answer is no older than the call.
    #[tokio::test(start_paused = true)]
    async fn no_answer_is_older_than_its_call() {
        let (filer, policies) = both();
        let switch = {
            let filer = Arc::clone(&filer);
            async move {
                sleep(Duration::from_millis(50)).await;
                filer.has_policy.store(true, SeqCst);
            }
        };
        let calls = (0..100).map(|n| {
            let (filer, policies) = (Arc::clone(&filer), Arc::clone(&policies));
            async move {
                sleep(Duration::from_millis(n)).await;
                let since = filer.has_policy.load(SeqCst);
                let said = policies.after_now("bucket", filer.ask()).await;
                assert!(said || !since, "at {n} ms");
            }
        });
        futures_util::future::join(switch, futures_util::future::join_all(calls)).await;
        assert!(filer.asked.load(SeqCst) < 20);
    }
}
