use futures_util::FutureExt;

use super::{standing::ASIDE, *};
use crate::{
    outcome::Outcome,
    urgency::{Priority, Urgency},
};

const MANY_SECONDS: Duration = Duration::from_secs(600);

fn servers(per_server: usize) -> (Servers, IntCounter) {
    let ejections = IntCounter::new("ejections", "of servers").unwrap();
    let series = ServerSeries::register(&prometheus::Registry::new()).unwrap();
    (Servers::new(per_server, 8, ejections.clone(), series), ejections)
}

fn locations(authorities: &[&str]) -> Locations {
    authorities.iter().map(|authority| Arc::from(*authority)).collect()
}

fn tried(authorities: &[&str]) -> Vec<Arc<str>> {
    authorities.iter().map(|authority| Arc::from(*authority)).collect()
}

fn head() -> Priority {
    Priority::new(Urgency::Head)
}

/// A request that has a place and is sent.
fn sent(mut attempt: Attempt) -> Attempt {
    assert!(attempt.try_place(&head(), 1));
    attempt.sent();
    attempt
}

impl Servers {
    fn chosen(&self, locations: &Locations) -> Arc<str> {
        Arc::clone(self.choose(locations, &[], "3,01").unwrap().authority())
    }

    /// One request to that server that takes `latency` and ends with `outcome`.
    async fn one(&self, authority: &str, latency: Duration, outcome: Outcome) {
        let mut attempt = sent(self.attempt_at(&Arc::from(authority)));
        tokio::time::advance(latency).await;
        if outcome == Outcome::Sound {
            attempt.first_byte();
        }
        attempt.ended(outcome);
    }

    fn share_of(&self, authority: &str, locations: &Locations) -> usize {
        (0..64).filter(|_| &*self.chosen(locations) == authority).count()
    }
}

#[tokio::test(start_paused = true)]
async fn the_idle_one_is_chosen_before_the_busy_one_and_none_twice() {
    let (servers, _) = servers(2);
    let both = locations(&["a:1", "b:1"]);
    let _busy = sent(servers.choose(&both, &tried(&["b:1"]), "3,01").unwrap());
    assert_eq!(servers.share_of("b:1", &both), 64);
    assert_eq!(&**servers.choose(&both, &tried(&["b:1"]), "3,01").unwrap().authority(), "a:1");
    assert!(servers.choose(&both, &tried(&["a:1", "b:1"]), "3,01").is_none());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_counts_as_load() {
    let (servers, _) = servers(1);
    let both = locations(&["a:1", "b:1"]);
    let _one = sent(servers.attempt_at(&both[0]));
    let _other = sent(servers.attempt_at(&both[1]));
    let priority = head();
    let mut waiting = servers.attempt_at(&both[0]);
    let mut place = std::pin::pin!(waiting.place(&priority, 1));
    assert!(place.as_mut().now_or_never().is_none());
    assert_eq!(servers.share_of("b:1", &both), 64);
}

#[tokio::test(start_paused = true)]
async fn the_quick_one_is_chosen_before_the_slow_one_until_that_is_forgotten() {
    let (servers, _) = servers(16);
    let both = locations(&["slow:1", "quick:1"]);
    servers.one("slow:1", Duration::from_millis(80), Outcome::Sound).await;
    servers.one("quick:1", Duration::from_millis(1), Outcome::Sound).await;
    assert_eq!(servers.share_of("quick:1", &both), 64);
    tokio::time::advance(MANY_SECONDS).await;
    assert!(servers.share_of("slow:1", &both) > 0, "it gets another chance");
}

#[tokio::test(start_paused = true)]
async fn a_fast_failure_does_not_look_quick() {
    let (servers, _) = servers(16);
    let both = locations(&["broken:1", "sound:1"]);
    servers.one("sound:1", Duration::from_millis(100), Outcome::Sound).await;
    servers.one("broken:1", Duration::ZERO, Outcome::Failed).await;
    assert_eq!(servers.share_of("sound:1", &both), 64);
}

#[tokio::test(start_paused = true)]
async fn a_404_is_neither_to_a_servers_credit_nor_against_it() {
    let (servers, ejections) = servers(16);
    let both = locations(&["lacks:1", "has:1"]);
    servers.one("lacks:1", Duration::from_millis(20), Outcome::Sound).await;
    servers.one("has:1", Duration::from_millis(10), Outcome::Sound).await;
    for _ in 0..100 {
        servers.one("lacks:1", Duration::from_micros(10), Outcome::OfNeedle).await;
    }
    assert_eq!(servers.share_of("has:1", &both), 64, "a hundred fast answers of that kind do not make it quick");
    assert_eq!(ejections.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_needle_that_one_server_lacks_is_asked_for_there_last() {
    let (servers, _) = servers(16);
    let both = locations(&["lacks:1", "has:1"]);
    let fid: Arc<str> = "3,01".into();
    assert!(servers.note(&fid, &both[0], Flaw::Missing));
    assert!(!servers.note(&fid, &both[0], Flaw::Missing), "it is known");
    (0..5).for_each(|_| servers.attempt_at(&both[1]).ended(Outcome::Failed));
    assert_eq!(servers.share_of("has:1", &both), 64, "also where the other one is set aside");
    assert!(servers.choose_for_hedge(&both, &tried(&["has:1"]), &fid).is_none());
    let last = servers.choose(&both, &tried(&["has:1"]), &fid).unwrap();
    assert_eq!(&**last.authority(), "lacks:1", "but every location may be tried");
    assert_eq!(&**servers.choose(&both, &tried(&["has:1"]), "3,02").unwrap().authority(), "lacks:1");
}

#[tokio::test(start_paused = true)]
async fn one_failure_does_not_idle_a_server_while_the_other_has_a_queue() {
    for outcome in [Outcome::Failed, Outcome::Busy] {
        let (servers, _) = servers(16);
        let both = locations(&["failed:1", "other:1"]);
        for authority in ["failed:1", "other:1"] {
            servers.one(authority, Duration::from_millis(1), Outcome::Sound).await;
        }
        servers.one("failed:1", Duration::ZERO, outcome).await;
        assert_eq!(servers.share_of("other:1", &both), 64);
        let _queue: Vec<_> = (0..5).map(|_| sent(servers.attempt_at(&both[1]))).collect();
        assert_eq!(servers.share_of("failed:1", &both), 64, "five requests at the other are more than one failure");
        drop(_queue);
        tokio::time::advance(Duration::from_secs(6)).await;
        let _one = sent(servers.attempt_at(&both[1]));
        assert_eq!(servers.share_of("failed:1", &both), 64, "in seconds it is forgotten");
    }
}

#[tokio::test(start_paused = true)]
async fn repeated_failures_set_aside_and_one_probe_at_a_time_finds_out() {
    let (servers, ejections) = servers(16);
    let both = locations(&["dead:1", "live:1"]);
    for _ in 0..5 {
        servers.one("dead:1", Duration::ZERO, Outcome::Failed).await;
    }
    assert_eq!(ejections.get(), 1);
    assert_eq!(servers.share_of("live:1", &both), 64);
    assert_eq!(
        &**servers.choose(&both, &tried(&["live:1"]), "3,01").unwrap().authority(),
        "dead:1",
        "the last one is always tried"
    );
    assert!(servers.choose_for_hedge(&both, &tried(&["live:1"]), "3,01").is_none());

    tokio::time::advance(ASIDE).await;
    let _load: Vec<_> = (0..2).map(|_| sent(servers.attempt_at(&both[1]))).collect();
    tokio::time::advance(Duration::from_secs(10)).await;
    let probe = servers.choose(&both, &tried(&["live:1"]), "3,01").unwrap();
    assert_eq!(servers.share_of("live:1", &both), 64, "one at a time");
    probe.ended(Outcome::Failed);
    assert_eq!(ejections.get(), 2);
    let dead = servers.get(&both[0]);
    tokio::time::advance(ASIDE * 2 - Duration::from_millis(1)).await;
    assert!(!dead.may_be_asked(Instant::now()), "twice as long the second time");
    tokio::time::advance(Duration::from_millis(1)).await;
    servers.attempt_at(&both[0]).ended(Outcome::Sound);
    assert!(dead.is_good());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_lost_leaves_a_server_out_for_a_moment_and_not_for_a_minute() {
    let (servers, ejections) = servers(16);
    let lone = locations(&["back:1"]);
    let back = servers.get(&lone[0]);
    for _ in 0..5 {
        servers.one("back:1", Duration::ZERO, Outcome::Failed).await;
    }
    // Cancelled, busy, lost to a second request, an answer about the needle.
    for loss in [None, Some(Outcome::Busy), None, Some(Outcome::OfNeedle)] {
        tokio::time::advance(ASIDE).await;
        assert!(back.may_be_asked(Instant::now()));
        let probe = servers.choose(&lone, &[], "3,01").unwrap();
        assert!(!back.may_be_asked(Instant::now()));
        match loss {
            Some(outcome) => probe.ended(outcome),
            None => drop(probe),
        }
    }
    assert_eq!(ejections.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_at_a_server_that_stands_still_is_let_go_and_the_next_go_elsewhere() {
    let (servers, ejections) = servers(2);
    let both = locations(&["hung:1", "live:1"]);
    for authority in ["hung:1", "live:1"] {
        servers.one(authority, Duration::from_millis(1), Outcome::Sound).await;
    }
    let _stuck: Vec<_> = (0..2).map(|_| sent(servers.attempt_at(&both[0]))).collect();
    let begin = Instant::now();
    let mut waiting = servers.attempt_at(&both[0]);
    tokio::time::advance(Duration::from_millis(100)).await;
    let _load: Vec<_> = (0..2).map(|_| sent(servers.attempt_at(&both[1]))).collect();
    assert_eq!(servers.share_of("live:1", &both), 64, "the age of what is outstanding counts as latency");
    assert!(!waiting.place_unless_set_aside(&head(), 1).await);
    assert!(begin.elapsed() <= Duration::from_millis(1200), "{:?}", begin.elapsed());
    assert_eq!(ejections.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_is_let_go_when_the_server_is_set_aside_but_not_where_it_had_been_before() {
    let (servers, _) = servers(1);
    let server = Arc::from("a:1");
    let busy = sent(servers.attempt_at(&server));
    let (mut one, mut two, priority) = (servers.attempt_at(&server), servers.attempt_at(&server), head());
    let mut place = std::pin::pin!(one.place_unless_set_aside(&priority, 1));
    assert_eq!(place.as_mut().now_or_never(), None);
    (0..5).for_each(|_| servers.attempt_at(&server).ended(Outcome::Failed));
    assert_eq!(place.now_or_never(), Some(false), "at once, and not when it has said nothing for long");
    // Nobody else has what the other one wants.
    let mut place = std::pin::pin!(two.place_unless_set_aside(&priority, 1));
    assert_eq!(place.as_mut().now_or_never(), None);
    drop(busy);
    assert_eq!(place.now_or_never(), Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_somebody_does_not_stand_still() {
    let (servers, ejections) = servers(4);
    let busy: Arc<str> = "busy:1".into();
    let slow = sent(servers.attempt_at(&busy));
    let server = servers.get(&busy);
    let mut stands_still = std::pin::pin!(server.stands_still());
    for _ in 0..20 {
        servers.one("busy:1", Duration::from_millis(500), Outcome::Sound).await;
        assert!(stands_still.as_mut().now_or_never().is_none());
    }
    slow.heard();
    tokio::time::advance(Duration::from_millis(900)).await;
    assert!(stands_still.as_mut().now_or_never().is_none());
    drop(slow);
    assert_eq!(ejections.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_loses_to_a_second_request_leaves_a_trace() {
    let (servers, _) = servers(16);
    let both = locations(&["late:1", "other:1"]);
    for authority in ["late:1", "other:1"] {
        servers.one(authority, Duration::from_millis(2), Outcome::Sound).await;
    }
    let late = sent(servers.attempt_at(&both[0]));
    tokio::time::advance(Duration::from_millis(50)).await;
    drop(late);
    assert_eq!(servers.share_of("other:1", &both), 64);
}

#[tokio::test(start_paused = true)]
async fn retries_are_a_share_of_the_fetches_at_one_server_and_not_taken_from_others() {
    let (servers, _) = servers(16);
    let both = locations(&["dead:1", "healthy:1"]);
    let (dead, healthy) = (servers.get(&both[0]), servers.get(&both[1]));
    let spend =
        |server: &Server, urgency| std::iter::from_fn(|| server.may_be_asked_again(urgency).then_some(())).count();
    assert_eq!(spend(&dead, Urgency::Ahead), 100, "what nobody waits for leaves half");
    assert_eq!(spend(&dead, Urgency::Head), 100);
    (0..100).for_each(|_| servers.fetch_begins(&dead));
    assert_eq!(spend(&dead, Urgency::Head), 20);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(spend(&dead, Urgency::Head), 30);
    assert_eq!(spend(&healthy, Urgency::Head), 200);
}

#[tokio::test(start_paused = true)]
async fn servers_that_nobody_asks_for_are_forgotten() {
    let (servers, _) = servers(16);
    let known = |servers: &Servers| servers.known.lock().unwrap().len();
    let busy = sent(servers.attempt_at(&Arc::from("busy:1")));
    for at in 0..MANY - 1 {
        servers.get(&Arc::from(format!("pod-{at}:8080")));
    }
    tokio::time::advance(FORGOTTEN + Duration::from_secs(1)).await;
    servers.get(&Arc::from("new:1"));
    assert_eq!(known(&servers), 2);
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn second_requests_are_two_in_a_hundred() {
    let (servers, _) = servers(16);
    let server = servers.get(&Arc::from("a:1"));
    assert!(!servers.may_hedge());
    (0..200).for_each(|_| servers.fetch_begins(&server));
    assert_eq!(std::iter::from_fn(|| servers.may_hedge().then_some(())).count(), 4);
    tokio::time::advance(MANY_SECONDS).await;
    assert!(!servers.may_hedge(), "time alone earns none");
}

#[tokio::test(start_paused = true)]
async fn lateness_is_known_only_on_a_basis_and_by_size() {
    let (servers, _) = servers(16);
    assert_eq!(servers.hedge_after(1000), None);
    for sample in 1..=100 {
        servers.first_byte(1000, Duration::from_millis(sample));
    }
    let late = servers.hedge_after(60_000).unwrap();
    assert!((Duration::from_millis(88)..=Duration::from_millis(96)).contains(&late), "{late:?}");
    assert_eq!(servers.hedge_after(4 << 20), None);
}

#[tokio::test(start_paused = true)]
async fn the_near_one_is_asked_first_unless_it_fails_or_is_slower_by_the_margin() {
    let (servers, _) = servers(64);
    let both = locations(&["near:1", "far:1"]);
    servers.get(&both[1]).is_far();
    servers.one("near:1", Duration::from_millis(4), Outcome::Sound).await;
    servers.one("far:1", Duration::from_micros(100), Outcome::Sound).await;
    assert_eq!(servers.share_of("near:1", &both), 64);
    let queue: Vec<_> = (0..30).map(|_| sent(servers.attempt_at(&both[0]))).collect();
    assert_eq!(servers.share_of("far:1", &both), 64, "30 requests of 4 ms are more than the margin");
    drop(queue);
    for _ in 0..5 {
        servers.one("near:1", Duration::ZERO, Outcome::Failed).await;
    }
    assert_eq!(servers.share_of("far:1", &both), 64);
}

#[test]
fn a_volume_is_looked_up_afresh_only_so_often() {
    let (servers, _) = servers(1);
    assert!(servers.may_look_up(7) && servers.may_look_up(8));
    assert!((0..1000).any(|_| !servers.may_look_up(7)));
}

#[tokio::test(start_paused = true)]
async fn only_the_end_of_the_probe_says_that_it_is_lost() {
    let (servers, _) = servers(4);
    let a = Arc::from("a:1");
    for _ in 0..5 {
        servers.one("a:1", Duration::ZERO, Outcome::Failed).await;
    }
    let other = servers.attempt_at(&a);
    tokio::time::advance(ASIDE).await;
    let probe = servers.attempt_at(&a);
    drop(other);
    tokio::time::advance(ASIDE).await;
    let server = servers.get(&a);
    assert!(!server.may_be_asked(Instant::now()), "one is finding out");
    drop(probe);
    tokio::time::advance(ASIDE).await;
    assert!(server.may_be_asked(Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn the_insight_has_every_server_that_is_known() {
    let (servers, _) = servers(4);
    for authority in ["a:1", "b:1"] {
        servers.one(authority, Duration::ZERO, Outcome::Sound).await;
    }
    let mut known: Vec<_> = servers.insight().into_iter().map(|server| server.authority).collect();
    known.sort();
    assert_eq!(known, tried(&["a:1", "b:1"]));
}

#[tokio::test(start_paused = true)]
async fn the_metric_has_how_many_are_set_aside() {
    let (servers, _) = servers(4);
    let a = Arc::from("a:1");
    let aside = || servers.series.of(&a).aside.get();
    let fail = async || {
        for _ in 0..5 {
            servers.one("a:1", Duration::ZERO, Outcome::Failed).await;
        }
    };
    fail().await;
    assert_eq!(aside(), 1);
    tokio::time::advance(ASIDE).await;
    servers.attempt_at(&a).ended(Outcome::Sound);
    assert_eq!(aside(), 0);
    fail().await;
    servers.get(&Arc::from("good:1"));
    let forget = |authority: &str| drop(servers.known.lock().unwrap().remove(authority));
    forget("good:1");
    assert_eq!(aside(), 1);
    forget("a:1");
    assert_eq!(aside(), 0, "nobody knows it any more");
}

#[tokio::test(start_paused = true)]
async fn a_request_costs_latency_times_load_times_what_failures_multiply_it_with() {
    let (servers, _) = servers(4);
    servers.one("a:1", Duration::from_millis(10), Outcome::Sound).await;
    let server = servers.get(&Arc::from("a:1"));
    let costs = |expected: f64| (server.cost(Instant::now(), 0.0) / expected - 1.0).abs() < 1e-9;
    assert!(costs(0.01));
    let _load = sent(servers.attempt_at(&Arc::from("a:1")));
    assert!(costs(0.02));
    servers.attempt_at(&Arc::from("a:1")).ended(Outcome::Failed);
    assert!(costs(0.08));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_not_asked_for_long_is_silent_from_its_first_request_on() {
    let (servers, _) = servers(4);
    let a = Arc::from("a:1");
    servers.one("a:1", Duration::ZERO, Outcome::Sound).await;
    let server = servers.get(&a);
    tokio::time::advance(MANY_SECONDS).await;
    let costs = |expected: f64| (server.cost(Instant::now(), 0.0) / expected - 1.0).abs() < 1e-9;
    let _first = sent(servers.attempt_at(&a));
    assert!(costs(2.0 * pace::UNKNOWN));
    let half = Duration::from_millis(500);
    tokio::time::advance(half).await;
    let _second = sent(servers.attempt_at(&a));
    assert!(costs(3.0 * half.as_secs_f64()));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_slow_to_begin_stands_still_after_eight_times_as_long() {
    let (servers, _) = servers(4);
    let a = Arc::from("a:1");
    servers.one("a:1", Duration::from_secs(1), Outcome::Sound).await;
    let _sent = sent(servers.attempt_at(&a));
    let server = servers.get(&a);
    let mut stands_still = std::pin::pin!(server.stands_still());
    assert!(stands_still.as_mut().now_or_never().is_none());
    tokio::time::advance(Duration::from_millis(7900)).await;
    assert!(stands_still.as_mut().now_or_never().is_none());
    tokio::time::advance(Duration::from_millis(200)).await;
    assert!(stands_still.as_mut().now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn who_is_set_aside_is_probed_when_that_time_is_over_and_nobody_else_is() {
    let (servers, _) = servers(4);
    let server = servers.get(&Arc::from("a:1"));
    assert_eq!(server.probed_at(), None);
    for _ in 0..5 {
        servers.one("a:1", Duration::ZERO, Outcome::Failed).await;
    }
    assert_eq!(server.probed_at(), Some(Instant::now() + ASIDE));
    tokio::time::advance(ASIDE).await;
    let _probe = servers.attempt_at(&Arc::from("a:1"));
    assert_eq!(server.probed_at(), None, "one is finding out");
}

#[tokio::test(start_paused = true)]
async fn a_server_is_forgotten_after_its_time_and_not_before() {
    let (servers, _) = servers(4);
    let server = servers.get(&Arc::from("a:1"));
    tokio::time::advance(FORGOTTEN).await;
    assert!(!server.is_forgotten(FORGOTTEN));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(server.is_forgotten(FORGOTTEN));
}
