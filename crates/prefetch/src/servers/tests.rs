use super::*;
use crate::urgency::{Priority, Urgency};

fn servers(per_server: usize) -> (Servers, IntCounter) {
    let ejections = IntCounter::new("ejections", "of servers").unwrap();
    (Servers::new(per_server, ejections.clone()), ejections)
}

fn locations(authorities: &[&str]) -> Locations {
    authorities.iter().map(|authority| Arc::from(*authority)).collect()
}

fn tried(authorities: &[&str]) -> Vec<Arc<str>> {
    authorities.iter().map(|authority| Arc::from(*authority)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_idle_one_is_chosen_before_the_busy_one_and_none_twice() {
    let (servers, _) = servers(2);
    let both = locations(&["a:1", "b:1"]);
    let busy = servers.choose(&both, &tried(&["b:1"])).unwrap();
    let _place = busy.admit(&Priority::new(Urgency::Head), 1).await;
    for _ in 0..32 {
        assert_eq!(&*servers.choose(&both, &[]).unwrap().authority, "b:1");
    }
    assert_eq!(&*servers.choose(&both, &tried(&["b:1"])).unwrap().authority, "a:1");
    assert!(servers.choose(&both, &tried(&["a:1", "b:1"])).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_quick_one_is_chosen_before_the_slow_one_until_that_is_forgotten() {
    let (servers, _) = servers(16);
    let both = locations(&["slow:1", "quick:1"]);
    servers.get(&both[0]).first_byte(Duration::from_millis(80));
    servers.get(&both[1]).first_byte(Duration::from_millis(1));
    for _ in 0..32 {
        assert_eq!(&*servers.choose(&both, &[]).unwrap().authority, "quick:1");
    }
    tokio::time::advance(MANY_SECONDS).await;
    let slow_again = (0..64).filter(|_| &*servers.choose(&both, &[]).unwrap().authority == "slow:1").count();
    assert!(slow_again > 0, "it gets another chance");
}

const MANY_SECONDS: Duration = Duration::from_secs(600);

#[tokio::test(start_paused = true)]
async fn a_fast_failure_does_not_look_quick() {
    let (servers, _) = servers(16);
    let both = locations(&["broken:1", "sound:1"]);
    servers.get(&both[0]).ended(Outcome::Failed);
    servers.get(&both[1]).first_byte(Duration::from_millis(100));
    assert_eq!(&*servers.choose(&both, &[]).unwrap().authority, "sound:1");
}

#[tokio::test(start_paused = true)]
async fn repeated_failures_set_aside_and_one_probe_at_a_time_finds_out() {
    let (servers, ejections) = servers(16);
    let both = locations(&["dead:1", "live:1"]);
    let dead = servers.get(&both[0]);
    (0..5).for_each(|_| dead.ended(Outcome::Failed));
    assert_eq!(ejections.get(), 1);
    // Costs nothing any more, and is not asked all the same.
    servers.get(&both[1]).first_byte(Duration::from_secs(30));
    for _ in 0..32 {
        assert_eq!(&*servers.choose(&both, &[]).unwrap().authority, "live:1");
    }
    assert_eq!(
        &*servers.choose(&both, &tried(&["live:1"])).unwrap().authority,
        "dead:1",
        "the last one is always tried"
    );
    assert!(servers.choose_for_hedge(&both, &tried(&["live:1"])).is_none());

    tokio::time::advance(Duration::from_secs(2)).await;
    let probed = (0..64).filter(|_| &*servers.choose(&both, &[]).unwrap().authority == "dead:1").count();
    assert_eq!(probed, 1);
    dead.ended(Outcome::Failed);
    assert_eq!(ejections.get(), 2);
    tokio::time::advance(Duration::from_millis(1500)).await;
    assert!(!dead.may_be_asked(Instant::now()), "twice as long the second time");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(dead.may_be_asked(Instant::now()));
    dead.ended(Outcome::Sound);
    assert!(dead.is_good());
}

#[tokio::test(start_paused = true)]
async fn retries_are_a_share_of_the_fetches_once_the_savings_are_spent() {
    let (servers, _) = servers(16);
    let burst = std::iter::from_fn(|| servers.may_retry().then_some(())).count();
    assert_eq!(burst, 1000);
    (0..100).for_each(|_| servers.fetch_begins());
    assert_eq!(std::iter::from_fn(|| servers.may_retry().then_some(())).count(), 20);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(std::iter::from_fn(|| servers.may_retry().then_some(())).count(), 30);
}

#[tokio::test(start_paused = true)]
async fn second_requests_are_two_in_a_hundred() {
    let (servers, _) = servers(16);
    assert!(!servers.may_hedge());
    (0..200).for_each(|_| servers.fetch_begins());
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
