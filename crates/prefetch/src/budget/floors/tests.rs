use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    pin::pin,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use futures_util::poll;
use prometheus::Opts;
use tokio::{sync::Notify, time::sleep};

use super::*;

const LEAST_RATE: u64 = 1000;

fn floors(number: usize) -> Arc<Floors> {
    let cuts = IntCounterVec::new(Opts::new("cuts", "by reason"), &["reason"]).unwrap();
    Floors::new(number, LEAST_RATE, cuts)
}

/// Counts how often it is cut.
#[derive(Default)]
struct Cuts(AtomicUsize, Notify);

impl CutHandle for Cuts {
    fn cut(&self) {
        self.0.fetch_add(1, SeqCst);
        self.1.notify_one();
    }
}

impl Cuts {
    fn number(&self) -> usize {
        self.0.load(SeqCst)
    }
}

fn share(peer: u32, cuts: &Arc<Cuts>) -> Share {
    Share::of(Ipv4Addr::from_bits(peer).into(), Arc::clone(cuts) as Arc<dyn CutHandle>)
}

/// A floor that is free.
async fn taken(floors: &Arc<Floors>, peer: u32, cuts: &Arc<Cuts>) -> Floor {
    floors.line_up(&share(peer, cuts)).await
}

fn number(floors: &Floors, reason: Reason) -> u64 {
    floors.cuts.with_label_values(&[reason.label()]).get()
}

#[tokio::test]
async fn whoever_has_fewest_goes_first_and_then_whoever_came_first() {
    let (floors, cuts) = (floors(3), Arc::default());
    let mut held: VecDeque<_> = [taken(&floors, 1, &cuts).await, taken(&floors, 1, &cuts).await].into();
    held.push_back(taken(&floors, 2, &cuts).await);
    let mut turns = [1, 2, 3, 3].map(|peer| floors.line_up(&share(peer, &cuts)));
    let mut order = Vec::new();
    while let Some(floor) = held.pop_front() {
        drop(floor);
        for (at, turn) in turns.iter_mut().enumerate() {
            if !order.contains(&at)
                && let Poll::Ready(floor) = poll!(turn)
            {
                order.push(at);
                held.push_back(floor);
            }
        }
    }
    assert_eq!(order, [2, 0, 1, 3], "who has none goes before who has one");
    assert_eq!(floors.free(), 3);
}

#[tokio::test]
async fn the_last_eighth_is_for_others_than_who_has_as_many() {
    let (floors, cuts) = (floors(16), Arc::default());
    let _all: Vec<_> = futures_util::future::join_all((0..14).map(|_| taken(&floors, 1, &cuts))).await;
    let mut more = floors.line_up(&share(1, &cuts));
    assert!(poll!(&mut more).is_pending());
    let other = [taken(&floors, 2, &cuts).await, taken(&floors, 2, &cuts).await];
    assert_eq!(floors.free(), 0);
    drop(other);
    assert!(poll!(&mut more).is_pending());
    assert!(poll!(&mut floors.line_up(&Share::default())).is_ready(), "a read of our own");
}

#[tokio::test]
async fn whoever_has_as_much_as_the_last_eighth_leaves_it_to_others() {
    let (floors, cuts) = (floors(16), Arc::default());
    let _many: Vec<_> = futures_util::future::join_all((0..13).map(|_| taken(&floors, 1, &cuts))).await;
    let _two = [taken(&floors, 2, &cuts).await, taken(&floors, 2, &cuts).await];
    let mut third = floors.line_up(&share(2, &cuts));
    assert!(poll!(&mut third).is_pending());
    assert!(poll!(&mut floors.line_up(&share(3, &cuts))).is_ready());
}

/// Some with each a floor and `shared` blocks, whose clients take next to nothing.
async fn crawlers(
    floors: &Arc<Floors>,
    peers: impl Iterator<Item = u32>,
    shared: usize,
    cuts: &Arc<Cuts>,
) -> Vec<Floor> {
    let held = futures_util::future::join_all(peers.map(|peer| taken(floors, peer, cuts))).await;
    for floor in &held {
        floor.holder.meter.takes(10);
        floor.holder.has_shared(shared);
    }
    held
}

#[tokio::test(start_paused = true)]
async fn many_that_come_together_have_sixteen_cut_at_once_and_others_as_time_passes() {
    let (floors, cuts, other) = (floors(40), Arc::<Cuts>::default(), Arc::default());
    let _held = crawlers(&floors, 0..40, 0, &cuts).await;
    let _turns: Vec<_> = (100..120).map(|peer| floors.line_up(&share(peer, &other))).collect();
    sleep(10 * SUFFERS).await;
    floors.relieve();
    floors.relieve();
    assert_eq!(cuts.number(), AT_ONCE);
    let one = LOOKS / AT_ONCE as u32;
    sleep(one - Duration::from_millis(1)).await;
    floors.relieve();
    assert_eq!(cuts.number(), AT_ONCE, "they come evenly");
    sleep(Duration::from_millis(1)).await;
    floors.relieve();
    floors.relieve();
    assert_eq!(cuts.number(), AT_ONCE + 1);
    sleep(LOOKS).await;
    floors.relieve();
    assert_eq!(cuts.number(), 20, "one for each who waits");
}

#[tokio::test(start_paused = true)]
async fn one_download_is_cut_for_one_who_has_waited_for_two_seconds() {
    let (floors, crawls, other) = (floors(7), Arc::<Cuts>::default(), Arc::default());
    let mut held: Vec<_> = futures_util::future::join_all((0..7).map(|_| taken(&floors, 1, &crawls))).await;
    for (at, floor) in held.iter().enumerate() {
        floor.holder.meter.takes(10 + at as u64);
    }
    sleep(10 * SUFFERS).await;
    floors.relieve();
    assert_eq!(crawls.number(), 0, "nobody waits");
    let mut turn = floors.line_up(&share(2, &other));
    sleep(SUFFERS - LOOKS / 2).await;
    floors.relieve();
    assert_eq!(crawls.number(), 0, "not for long");
    sleep(LOOKS / 2).await;
    floors.relieve();
    assert_eq!(crawls.number(), 1, "a look that was for nobody holds up no other");
    for _ in 0..20 {
        sleep(LOOKS).await;
        floors.relieve();
    }
    assert_eq!((crawls.number(), number(&floors, Reason::Share)), (1, 1), "and no other before that one is gone");
    let slowest = held.iter().position(|floor| floor.holder.is_cut.load(SeqCst));
    assert_eq!(slowest, Some(0));
    drop(held.swap_remove(0));
    assert!(poll!(&mut turn).is_ready());
    assert_eq!(crawls.number(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_addresses_that_crawl_keep_nobody_out_and_fast_ones_stay() {
    let (floors, crawls, fast, other) = (floors(4), Arc::<Cuts>::default(), Arc::<Cuts>::default(), Arc::default());
    let held = [
        taken(&floors, 1, &crawls).await,
        taken(&floors, 2, &fast).await,
        taken(&floors, 3, &fast).await,
        taken(&floors, 4, &fast).await,
    ];
    held[0].holder.meter.takes(100);
    held[1].holder.meter.takes(10_000_000);
    held[2].holder.meter.takes(100);
    held[2].holder.meter.waits();
    let _turns = [5, 6].map(|peer| floors.line_up(&share(peer, &other)));
    for _ in 0..20 {
        sleep(LOOKS).await;
        floors.relieve();
    }
    assert_eq!((crawls.number(), fast.number(), number(&floors, Reason::Slow)), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_held_back_by_us_is_not_cut_as_slow() {
    let (floors, cuts, other, brake) = (floors(1), Arc::<Cuts>::default(), Arc::default(), Brake::default());
    let held = floors.line_up(&share(1, &cuts).braked(brake.clone())).await;
    held.holder.meter.takes(100);
    let _turn = floors.line_up(&share(2, &other));
    for _ in 0..40 {
        brake.holds(Instant::now() + LOOKS);
        sleep(LOOKS).await;
        floors.relieve();
    }
    assert_eq!(cuts.number(), 0);
    sleep(2 * LOOKS).await;
    floors.relieve();
    assert_eq!((cuts.number(), number(&floors, Reason::Slow)), (1, 1), "it may go, and its client takes nothing");
}

#[tokio::test(start_paused = true)]
async fn for_shared_memory_those_are_cut_whose_blocks_do_not_come_back() {
    let (floors, idle, other) = (floors(6), Arc::<Cuts>::default(), Arc::<Cuts>::default());
    let held = [
        taken(&floors, 1, &other).await,
        taken(&floors, 1, &idle).await,
        taken(&floors, 1, &idle).await,
        taken(&floors, 1, &other).await,
    ];
    let waits = taken(&floors, 2, &other).await;
    for floor in &held[..3] {
        floor.holder.meter.takes(10);
    }
    for floor in &held[1..] {
        floor.holder.has_shared(2);
    }
    sleep(SUFFERS).await;
    let look = async || {
        sleep(LOOKS).await;
        // It takes something all the time.
        held[3].holder.meter.takes(1_000_000);
        floors.relieve_shared(&waits.holder, 3, 3);
    };
    look().await;
    assert_eq!((idle.number(), other.number()), (2, 0), "two have as much as is wanted");
    look().await;
    look().await;
    assert_eq!((idle.number(), other.number()), (2, 0), "and no more while that comes back");
    assert_eq!(number(&floors, Reason::Share), 2);
}

#[tokio::test(start_paused = true)]
async fn no_more_are_cut_for_shared_memory_than_have_what_is_wanted() {
    let (floors, cuts) = (floors(7), Arc::<Cuts>::default());
    let _held = crawlers(&floors, [1; 5].into_iter(), 2, &cuts).await;
    let waits = taken(&floors, 2, &Arc::default()).await;
    sleep(2 * SUFFERS).await;
    floors.relieve_shared(&waits.holder, 4, 4);
    assert_eq!(cuts.number(), 2);
}

#[tokio::test(start_paused = true)]
async fn for_shared_memory_too_sixteen_are_cut_at_once() {
    let (floors, cuts) = (floors(200), Arc::<Cuts>::default());
    let _held = crawlers(&floors, [1; 20].into_iter(), 2, &cuts).await;
    let waits = taken(&floors, 2, &Arc::default()).await;
    sleep(2 * SUFFERS).await;
    floors.relieve_shared(&waits.holder, 4, 40);
    floors.relieve_shared(&waits.holder, 4, 40);
    assert_eq!(cuts.number(), AT_ONCE);
    sleep(LOOKS).await;
    floors.relieve_shared(&waits.holder, 4, 40);
    assert_eq!(cuts.number(), 20, "as many as have what is wanted");
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_something_now_and_then_keeps_what_is_shared() {
    let (floors, cuts) = (floors(7), Arc::<Cuts>::default());
    let held = crawlers(&floors, [1].into_iter(), 8, &cuts).await;
    let waits = taken(&floors, 2, &Arc::default()).await;
    sleep(5 * SUFFERS).await;
    held[0].holder.meter.takes(10);
    floors.relieve_shared(&waits.holder, 1, 1);
    assert_eq!(cuts.number(), 0);
    sleep(SUFFERS).await;
    floors.relieve_shared(&waits.holder, 1, 1);
    assert_eq!(cuts.number(), 1);
}

/// Ten thousand clients of a hundred addresses: a fifth crawl, all of ten addresses, and hold on for as long as they may. The
/// others come by and by for a second's download. Nobody waits for long, and no fast one is cut.
#[tokio::test(start_paused = true)]
async fn ten_thousand_clients_of_mixed_speed() {
    const FLOORS: usize = 200;
    let floors = floors(FLOORS);
    let (crawlers, others) = (Arc::<Cuts>::default(), Arc::<Cuts>::default());
    let waits = Arc::new(Mutex::new(Vec::new()));
    let clients: Vec<_> = (0..10_000u32)
        .map(|n| {
            let (floors, crawlers, others) = (Arc::clone(&floors), Arc::clone(&crawlers), Arc::clone(&others));
            let waits = Arc::clone(&waits);
            tokio::spawn(async move {
                let crawls = n.is_multiple_of(5);
                sleep(if crawls { Duration::ZERO } else { Duration::from_millis(10 * u64::from(n)) }).await;
                let cuts = Arc::<Cuts>::default();
                let began = Instant::now();
                let mut turn = pin!(floors.line_up(&share(if crawls { n % 10 } else { 10 + n % 90 }, &cuts)));
                let floor = loop {
                    match tokio::time::timeout(LOOKS, turn.as_mut()).await {
                        Ok(floor) => break floor,
                        Err(_) => floors.relieve(),
                    }
                    if began.elapsed() > Duration::from_secs(30) {
                        assert!(crawls, "somebody was kept out");
                        return;
                    }
                };
                if !crawls {
                    waits.lock().unwrap().push(began.elapsed());
                }
                for _ in 0..if crawls { 600 } else { 4 } {
                    floor.holder.meter.takes(if crawls { 100 } else { 1 << 20 });
                    let pause = sleep(Duration::from_millis(250));
                    tokio::select! {
                        () = cuts.1.notified() => break,
                        () = pause => {}
                    }
                }
                if crawls { crawlers } else { others }.0.fetch_add(cuts.number(), SeqCst);
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let mut waits = std::mem::take(&mut *waits.lock().unwrap());
    waits.sort_unstable();
    let (half, most) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    assert_eq!((waits.len(), others.number(), floors.free()), (8000, 0, FLOORS));
    assert!(crawlers.number() > 0 && half < Duration::from_millis(10) && most < Duration::from_secs(4));
}
