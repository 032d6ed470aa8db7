//! What the filers demand of readers and tidegate does not know of, for as long as the daemon runs.
//!
//! Entries come over gRPC, which asks nobody for a token. So each filer is asked over HTTP for a file that is not there, with
//! what tidegate has to show: who refuses that would refuse a reader whom tidegate serves. A filer is asked at the start,
//! after every new connection that an entry may have come over, after the read key changed, and every few seconds, since
//! a filer changes its keys without a word.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use http::{HeaderValue, StatusCode};
use tokio::time::{Instant, sleep, timeout};

use super::{
    current_key::CurrentKey,
    token,
    verdict::{self, Verdict},
};
use crate::{Result, filer::FilerClient, relay::Relay, security::SigningKey};

/// Where no file is. Whatever a filer answers about it, it has answered to a reader.
const NOWHERE: &str = "/.tidegate/is-a-token-wanted";
/// How often a filer is asked. It may have changed its mind for so long before tidegate knows.
const INTERVAL: Duration = Duration::from_secs(5);
/// When a reader does not rely on that.
const OVERDUE: Duration = Duration::from_secs(15);
/// How long a filer that cannot be read from is taken at its word when a reader comes.
const RETRY: Duration = Duration::from_secs(1);
/// How long a filer that may be read from, over the same connection still, need not answer again. Its silence is no news: it
/// is the same process, and who reads from it would wait for nothing.
const GRACE: Duration = Duration::from_secs(60);
/// How long a filer may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the token of a question holds, in seconds: clocks may differ by that.
const TOKEN_LIFETIME: i64 = 3600;

/// The filers, as far as they are asked.
pub(crate) trait Filers: Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;
    /// Which one gives the entries at the moment.
    fn preferred(&self) -> usize;
    /// How many connections for entries were begun to it.
    fn connections(&self, index: usize) -> u64;
    /// Its name in the log.
    fn name(&self, index: usize) -> &str;
    /// Whether it is asked over TLS.
    fn is_over_tls(&self) -> bool;
    /// What it answers to a HEAD of `path`; the error is for the log.
    fn head(
        &self,
        index: usize,
        path: &'static str,
        authorization: Option<HeaderValue>,
    ) -> impl Future<Output = std::result::Result<StatusCode, String>> + Send;
}

/// Knows what the filers demand.
pub(crate) struct Demands<F = FilerConnections> {
    filers: F,
    read_key: CurrentKey<SigningKey>,
    asked: Vec<FilerState>,
}

/// One filer.
#[derive(Default)]
struct FilerState {
    last: Mutex<Option<LastAnswer>>,
    /// Held while it is asked, so that many readers ask once.
    asking: tokio::sync::Mutex<()>,
}

struct LastAnswer {
    verdict: Verdict,
    at: Instant,
    /// When it was last asked, though it did not answer.
    asked: Instant,
    /// Under which circumstances it was asked.
    connections: u64,
    key: Option<Arc<SigningKey>>,
    /// Whether what it was asked with may have changed since.
    doubted: bool,
}

impl<F: Filers> Demands<F> {
    /// Nobody has been asked yet. Questions are signed with `read_key`, if there is one.
    pub(crate) fn new(filers: F, read_key: CurrentKey<SigningKey>) -> Self {
        let asked = (0..filers.count()).map(|_| FilerState::default()).collect();
        Self { filers, read_key, asked }
    }

    /// Whether readers may have what they ask for, as far as the filers are concerned. To be called when the entry is there,
    /// since it may have come from a filer that has only just come back.
    ///
    /// # Errors
    /// 503 that blames the configuration where a filer demands what tidegate does not know, the filer where it cannot be
    /// asked.
    pub(crate) async fn check(&self) -> Result<()> {
        let preferred = self.filers.preferred();
        if !self.is_fresh(preferred, OVERDUE) {
            // Boxed: hardly any request has to wait here.
            Box::pin(self.ask(preferred, OVERDUE)).await;
        }
        let verdicts: Vec<_> = (0..self.asked.len()).filter_map(|index| self.current(index)).collect();
        verdict::judge(self.read_key.is_some(), &verdicts)
    }

    /// What it was asked with was read anew: the next reader has it ask again. That a filer may not be read from counts until
    /// then.
    pub(crate) fn doubt(&self) {
        for asked in &self.asked {
            if let Some(last) = &mut *asked.last() {
                last.doubted = true;
            }
        }
    }

    /// Goes on asking until it is dropped.
    pub(crate) async fn run(&self) {
        loop {
            join_all((0..self.asked.len()).map(|index| self.ask(index, INTERVAL))).await;
            let refused = (0..self.asked.len()).any(|index| self.current(index) != Some(Verdict::Open));
            sleep(if refused { RETRY } else { INTERVAL }).await;
        }
    }

    /// Asks a filer, unless there is an answer of at most that age by the time that nobody else asks.
    async fn ask(&self, index: usize, age: Duration) {
        let asked = &self.asked[index];
        let _asking = asked.asking.lock().await;
        if self.is_fresh(index, age) {
            return;
        }
        // Before the question: what changes meanwhile makes it one about the past.
        let (connections, key) = (self.filers.connections(index), self.read_key.get());
        let authorization = key.as_ref().and_then(|key| {
            let exp = token::now().saturating_add(TOKEN_LIFETIME);
            let claims = serde_json::json!({ "exp": exp, "allowed_methods": ["HEAD"], "allowed_prefixes": [NOWHERE] });
            token::bearer(key, &claims)
        });
        let answer = timeout(PATIENCE, self.filers.head(index, NOWHERE, authorization)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
        let verdict = Verdict::of(&answer, key.is_some(), self.filers.is_over_tls());
        let now = Instant::now();
        if matches!(verdict, Verdict::Unclear(_)) && self.current(index) == Some(Verdict::Open) {
            if let Some(last) = &mut *asked.last() {
                last.asked = now;
            }
            return;
        }
        let answered = LastAnswer { verdict: verdict.clone(), at: now, asked: now, connections, key, doubted: false };
        let before = asked.last().replace(answered).map(|before| before.verdict);
        if before.as_ref() != Some(&verdict) {
            self.report(index, &verdict, before.is_none());
        }
    }

    fn report(&self, index: usize, verdict: &Verdict, is_first: bool) {
        let filer = self.filers.name(index);
        match verdict {
            Verdict::Open if is_first => tracing::debug!(filer, "the filer answers a reader of tidegate's"),
            Verdict::Open => tracing::info!(filer, "the filer answers a reader of tidegate's again"),
            Verdict::Demands(demand) => {
                tracing::error!(filer, "{}; until then tidegate does not serve reads", demand.what_to_do());
            }
            Verdict::Unclear(why) => tracing::warn!(filer, why, "cannot find out what the filer demands of readers"),
        }
    }

    /// Whether what it said last still counts, as an answer of at most that age.
    fn is_fresh(&self, index: usize, age: Duration) -> bool {
        let is_young = match &*self.asked[index].last() {
            Some(last) if last.verdict == Verdict::Open => last.asked.elapsed() < age,
            Some(last) => last.asked.elapsed() < RETRY,
            None => false,
        };
        is_young && self.is_as_it_was(index)
    }

    /// Whether nothing happened since it was asked that may have changed its answer.
    fn is_as_it_was(&self, index: usize) -> bool {
        let key = self.read_key.get();
        self.asked[index].last().as_ref().is_some_and(|last| {
            let same_key = match (&last.key, &key) {
                (None, None) => true,
                (Some(then), Some(now)) => Arc::ptr_eq(then, now),
                _ => false,
            };
            same_key && !last.doubted && last.connections == self.filers.connections(index)
        })
    }

    /// What it said last. That it may be read from counts only while nothing has changed; that it may not counts until it is
    /// asked again.
    fn current(&self, index: usize) -> Option<Verdict> {
        let (verdict, age) = self.asked[index].last().as_ref().map(|last| (last.verdict.clone(), last.at.elapsed()))?;
        (verdict != Verdict::Open || (age < GRACE && self.is_as_it_was(index))).then_some(verdict)
    }
}

impl FilerState {
    fn last(&self) -> MutexGuard<'_, Option<LastAnswer>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The real ones.
pub(crate) struct FilerConnections {
    filer: Arc<FilerClient>,
    relay: Arc<Relay>,
}

impl FilerConnections {
    /// Those of `filer`, asked as `relay` asks.
    pub(crate) fn new(filer: Arc<FilerClient>, relay: Arc<Relay>) -> Self {
        Self { filer, relay }
    }
}

impl Filers for FilerConnections {
    fn count(&self) -> usize {
        self.filer.count()
    }

    fn preferred(&self) -> usize {
        self.filer.preferred()
    }

    fn connections(&self, index: usize) -> u64 {
        self.filer.connections(index)
    }

    fn name(&self, index: usize) -> &str {
        self.filer.http_name(index)
    }

    fn is_over_tls(&self) -> bool {
        self.relay.is_over_tls()
    }

    async fn head(
        &self,
        index: usize,
        path: &'static str,
        authorization: Option<HeaderValue>,
    ) -> std::result::Result<StatusCode, String> {
        self.relay.head(self.filer.http_name(index), path, authorization).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tracing::{Event, Level, Metadata, Subscriber, span};

    use super::*;
    use crate::Blame;

    /// One filer: what it answers, how often it was asked, and how many connections there were.
    #[derive(Default)]
    struct Script {
        status: Mutex<Option<u16>>,
        asked: AtomicU64,
        connections: AtomicU64,
    }

    impl Filers for Arc<Script> {
        fn count(&self) -> usize {
            1
        }

        fn preferred(&self) -> usize {
            0
        }

        fn connections(&self, _: usize) -> u64 {
            self.connections.load(Ordering::Relaxed)
        }

        fn name(&self, _: usize) -> &str {
            "f"
        }

        fn is_over_tls(&self) -> bool {
            false
        }

        async fn head(
            &self,
            _: usize,
            path: &'static str,
            authorization: Option<HeaderValue>,
        ) -> std::result::Result<StatusCode, String> {
            assert_eq!(path, NOWHERE);
            assert!(authorization.is_none_or(|value| value.is_sensitive()));
            self.asked.fetch_add(1, Ordering::Relaxed);
            let status = *self.status.lock().unwrap();
            match status {
                Some(status) => Ok(StatusCode::from_u16(status).unwrap()),
                None => std::future::pending().await,
            }
        }
    }

    impl Script {
        fn answers(&self, status: u16) {
            *self.status.lock().unwrap() = Some(status);
        }

        fn asked(&self) -> u64 {
            self.asked.load(Ordering::Relaxed)
        }
    }

    /// The levels of all that is logged here.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<Level>>>);

    impl Subscriber for Log {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.is_event() && metadata.target() == module_path!().trim_end_matches("::tests")
        }

        fn event(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            unreachable!("only events are enabled")
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    fn demands(status: u16) -> (Demands<Arc<Script>>, Arc<Script>, CurrentKey<SigningKey>) {
        let (script, key) = (Arc::new(Script::default()), CurrentKey::new(None));
        script.answers(status);
        (Demands::new(Arc::clone(&script), key.clone()), script, key)
    }

    async fn blame(demands: &Demands<Arc<Script>>) -> Option<Blame> {
        demands.check().await.err().map(|error| error.blame())
    }

    #[tokio::test(start_paused = true)]
    async fn a_filer_that_came_back_is_asked_before_the_next_reader_is_served() {
        let (demands, script, _) = demands(404);
        assert_eq!(blame(&demands).await, None);
        assert_eq!(blame(&demands).await, None);
        assert_eq!(script.asked(), 1);
        script.answers(401);
        assert_eq!(blame(&demands).await, None);
        script.connections.fetch_add(1, Ordering::Relaxed);
        assert_eq!(blame(&demands).await, Some(Blame::Config));
        assert_eq!(script.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_filer_is_asked_again_when_the_key_is_another() {
        let (demands, script, key) = demands(401);
        assert_eq!(blame(&demands).await, Some(Blame::Config));
        script.answers(404);
        key.replace(Some(SigningKey::new(b"k")));
        assert_eq!(blame(&demands).await, None);
        script.answers(401);
        key.replace(Some(SigningKey::new(b"l")));
        assert_eq!(blame(&demands).await, Some(Blame::Config));
    }

    #[tokio::test(start_paused = true)]
    async fn a_filer_is_asked_again_when_what_it_was_asked_with_is_doubted() {
        let (demands, script, _) = demands(404);
        assert_eq!(blame(&demands).await, None);
        script.answers(401);
        demands.doubt();
        assert_eq!(blame(&demands).await, Some(Blame::Config));
        script.answers(404);
        demands.doubt();
        assert_eq!((blame(&demands).await, script.asked()), (None, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_filer_that_may_not_be_read_from_is_asked_every_second() {
        let (demands, script, _) = demands(401);
        let task = tokio::spawn(async move { demands.run().await });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!((55..=61).contains(&script.asked()), "{}", script.asked());
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn the_word_of_a_filer_that_falls_silent_ends_with_its_time() {
        let (demands, script, _) = demands(404);
        assert_eq!(blame(&demands).await, None);
        let answered = Instant::now();
        *script.status.lock().unwrap() = None;
        let at = async |time: Duration| {
            tokio::time::advance(time - answered.elapsed()).await;
            blame(&demands).await
        };
        // It is asked then, and nothing is waited for after that.
        assert_eq!(at(GRACE - OVERDUE + Duration::from_secs(1)).await, None);
        assert_eq!(at(GRACE - Duration::from_millis(1)).await, None);
        assert_eq!(at(GRACE).await, Some(Blame::Filer));
        assert_eq!(answered.elapsed(), GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_has_each_change_once() {
        let log = Log::default();
        // Where there is but one, tracing has the first thread that comes to an event decide for all whether anybody wants it,
        // and other tests come to these without a subscriber.
        let _second = tracing::Dispatch::new(log.clone());
        let _guard = tracing::subscriber::set_default(log.clone());
        let (demands, script, _) = demands(404);
        for status in [404, 404, 401, 401, 404, 404] {
            script.answers(status);
            demands.doubt();
            let _ = demands.check().await;
        }
        assert_eq!(*log.0.lock().unwrap(), [Level::DEBUG, Level::ERROR, Level::INFO]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_without_a_word_is_found_by_asking_now_and_then() {
        let (demands, script, _) = demands(404);
        let demands = Arc::new(demands);
        let asking = Arc::clone(&demands);
        let task = tokio::spawn(async move { asking.run().await });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!((10..=14).contains(&script.asked()), "{}", script.asked());
        script.answers(401);
        tokio::time::sleep(INTERVAL + RETRY).await;
        assert_eq!(blame(&demands).await, Some(Blame::Config));
        script.answers(404);
        tokio::time::sleep(2 * RETRY).await;
        assert_eq!(blame(&demands).await, None);
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_filer_that_falls_silent_is_taken_at_its_word_for_a_while() {
        let (demands, script, _) = demands(404);
        let demands = Arc::new(demands);
        let asking = Arc::clone(&demands);
        let task = tokio::spawn(async move { asking.run().await });
        assert_eq!(blame(&demands).await, None);
        *script.status.lock().unwrap() = None;
        tokio::time::sleep(GRACE - INTERVAL).await;
        let began = Instant::now();
        assert_eq!(blame(&demands).await, None);
        assert_eq!(began.elapsed(), Duration::ZERO);
        script.connections.fetch_add(1, Ordering::Relaxed);
        assert_eq!(blame(&demands).await, Some(Blame::Filer));
        script.answers(404);
        tokio::time::sleep(2 * RETRY).await;
        assert_eq!(blame(&demands).await, None);
        *script.status.lock().unwrap() = None;
        tokio::time::sleep(GRACE + INTERVAL + PATIENCE).await;
        assert_eq!(blame(&demands).await, Some(Blame::Filer));
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn readers_do_not_wait_in_line_for_a_filer_that_is_silent() {
        let (demands, script, _) = demands(404);
        *script.status.lock().unwrap() = None;
        let began = Instant::now();
        let readers = (0..100).map(|_| blame(&demands));
        assert!(join_all(readers).await.iter().all(|blame| *blame == Some(Blame::Filer)));
        assert!(began.elapsed() < 2 * PATIENCE);
        assert_eq!(script.asked(), 1);
        script.answers(404);
        tokio::time::sleep(RETRY).await;
        assert_eq!(blame(&demands).await, None);
    }
}
