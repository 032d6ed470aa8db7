//! Whether a bucket has a policy now, asked of the filer for every read and once for many that come at a time.
//!
//! Knows that an answer counts for those alone who came before it was asked for. Must not know what a policy says.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};

use super::{object, target::Target};
use crate::read::Stages;

/// The lookups that are under way, by bucket.
#[derive(Default)]
pub(crate) struct Policies {
    buckets: Mutex<HashMap<String, Lookups>>,
}

type Lookup = Shared<BoxFuture<'static, bool>>;

/// Those of one bucket. Who waits for one holds it; where all have left, it is not made.
#[derive(Default)]
struct Lookups {
    /// It may have been sent: what it answers may be older than a request that comes now.
    running: Option<WeakShared<BoxFuture<'static, bool>>>,
    /// It is sent when the one that runs has its answer. Whoever comes until then shares it.
    next: Option<WeakShared<BoxFuture<'static, bool>>>,
}

/// So many buckets are kept before those are forgotten about which nobody asks any more.
const MANY: usize = 256;

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
        let lookup = {
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            if buckets.len() >= MANY {
                buckets.retain(|_, lookups| lookups.are_wanted());
            }
            match buckets.get_mut(bucket) {
                Some(lookups) => lookups.after_now(ask),
                None => buckets.entry(bucket.to_owned()).or_default().after_now(ask),
            }
        };
        lookup.await
    }
}

impl Lookups {
    /// The first lookup that is sent after now.
    fn after_now<F>(&mut self, ask: impl FnOnce() -> F + Send + 'static) -> Lookup
    where
        F: Future<Output = bool> + Send + 'static,
    {
        if unanswered(self.running.as_ref()).is_none() {
            // The next one runs, or may.
            self.running = self.next.take();
        }
        let Some(running) = unanswered(self.running.as_ref()) else {
            let lookup = async move { ask().await }.boxed().shared();
            self.running = lookup.downgrade();
            return lookup;
        };
        if let Some(next) = unanswered(self.next.as_ref()) {
            return next;
        }
        let next = async move {
            running.await;
            ask().await
        };
        let next = next.boxed().shared();
        self.next = next.downgrade();
        next
    }

    fn are_wanted(&self) -> bool {
        unanswered(self.running.as_ref()).is_some() || unanswered(self.next.as_ref()).is_some()
    }
}

/// The lookup, if somebody waits for it still.
fn unanswered(lookup: Option<&WeakShared<BoxFuture<'static, bool>>>) -> Option<Lookup> {
    lookup.and_then(WeakShared::upgrade).filter(|lookup| lookup.peek().is_none())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

    use tokio::time::{Duration, sleep};

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
