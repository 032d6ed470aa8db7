use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

use futures_util::poll;
use prometheus::{IntGauge, Registry};

use super::{floors::FLOOR, *};
use crate::{
    Metrics, Share,
    line::TURNS,
    share::CutHandle,
    urgency::Urgency::{Ahead, Head},
};

/// Bytes per second that a client must take where others wait.
const LEAST_RATE: u64 = 1000;

fn peer(last: u8) -> Share {
    Share { peer: Some([127, 0, 0, last].into()), ..Share::default() }
}

/// With `shared` blocks, and as many for floors.
fn budget(shared: usize) -> (Arc<Budget>, IntGauge) {
    let metrics = Metrics::register(&Registry::new()).unwrap();
    (Budget::new((2 * shared * BLOCK) as u64, LEAST_RATE, &metrics), metrics.buffered)
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn head(account: &Arc<Account>, least: usize, most: usize) -> Option<Reservation> {
    Reservation::take(account, least, most, Head)
}

fn ahead(account: &Arc<Account>, least: usize, most: usize) -> Option<Reservation> {
    Reservation::take(account, least, most, Ahead)
}

#[tokio::test]
async fn a_head_falls_back_on_its_floor_and_what_lies_ahead_does_not() {
    let (budget, _) = budget(2 * FLOOR);
    let account = budget.admit(&Share::default()).await;
    let all = head(&account, 1, 10).unwrap();
    assert_eq!(all.blocks(), 2 * FLOOR);
    assert!(ahead(&account, 1, 1).is_none());
    let floor = head(&account, 1, 10).unwrap();
    assert_eq!(floor.blocks(), FLOOR);
    assert!(head(&account, 1, 1).is_none());
    drop(floor);
    assert!(head(&account, FLOOR + 1, 10).is_none());
    assert_eq!(head(&account, 1, 1).unwrap().blocks(), 1);
}

#[tokio::test]
async fn what_lies_ahead_leaves_a_quarter_to_heads() {
    let (budget, _) = budget(16);
    let account = budget.admit(&Share::default()).await;
    let first = ahead(&account, 1, 99).unwrap();
    assert_eq!((first.blocks(), budget.free()), (12, 4));
    assert!(ahead(&account, 1, 1).is_none());
    assert_eq!(head(&account, 1, 99).unwrap().blocks(), 4);
}

#[tokio::test]
async fn a_wish_is_not_met_with_less_than_is_useful() {
    let (budget, _) = budget(16);
    let account = budget.admit(&Share::default()).await;
    let _others = ahead(&account, 9, 9).unwrap();
    assert!(ahead(&account, 4, 64).is_none(), "three blocks are no use");
    assert_eq!(ahead(&account, 3, 64).unwrap().blocks(), 3);
}

#[test]
fn an_eighth_of_what_is_shared_is_of_use_and_all_that_is_wanted() {
    let sizes = |shared| [1, 8, 64].map(|most| budget(shared).0.useful(most));
    assert_eq!(sizes(2048), [1, 8, 64]);
    assert_eq!(sizes(80), [1, 8, 10]);
    assert_eq!(sizes(4), [1, 1, 1]);
}

#[tokio::test]
async fn a_head_has_its_floor_where_the_rest_is_no_more_than_that() {
    let (budget, _) = budget(16);
    let account = budget.admit(&Share::default()).await;
    let _others = head(&account, 14, 14).unwrap();
    let floor = head(&account, 1, 64).unwrap();
    assert_eq!((floor.blocks(), budget.free()), (FLOOR, 2));
    assert_eq!(head(&account, 1, 64).unwrap().blocks(), 2, "and what is left where the floor is out");
    let _other = head(&account, 1, 1).unwrap();
    assert_eq!(budget.free(), 1);
    drop(floor);
    drop(head(&account, 1, 1).unwrap());
    assert_eq!(budget.free(), 1, "one is enough, and it is shared");
}

#[tokio::test]
async fn a_floor_comes_back_as_it_was_however_it_was_parted() {
    let (budget, _) = budget(4);
    let account = budget.admit(&Share::default()).await;
    let _shared = head(&account, 4, 4).unwrap();
    let mut floor = head(&account, 1, FLOOR).unwrap();
    let block = floor.block();
    drop((block, floor));
    assert_eq!(head(&account, 1, 99).unwrap().blocks(), FLOOR);
}

#[tokio::test]
async fn a_block_counts_until_its_last_reference_is_gone() {
    let (budget, gauge) = budget(2);
    let account = budget.admit(&Share::default()).await;
    let mut reservation = head(&account, 2, 2).unwrap();
    reservation.shrink(1);
    let mut block = reservation.block();
    block.spare()[..3].copy_from_slice(b"abc");
    block.advance(3);
    let bytes = block.freeze();
    let slice = bytes.slice(1..);
    drop((bytes, reservation));
    assert_eq!((gauge.get(), budget.free()), (BLOCK as i64, 1));
    assert_eq!(&slice[..], b"bc");
    drop(slice);
    assert_eq!((gauge.get(), budget.free()), (0, 2));
}

#[tokio::test]
async fn a_buffer_counts_as_what_was_reserved_for_it() {
    let (budget, gauge) = budget(4);
    let account = budget.admit(&Share::default()).await;
    let buffer = head(&account, 3, 3).unwrap().buffer(vec![7; 10]);
    assert_eq!((gauge.get(), budget.free(), buffer.as_ref()), (3 * BLOCK as i64, 1, &[7; 10][..]));
    drop(buffer);
    assert_eq!((gauge.get(), budget.free()), (0, 4));
}

#[tokio::test]
async fn one_that_waits_for_much_does_not_take_everything_that_comes_back() {
    let (budget, _) = budget(16);
    let (first, second) = (budget.admit(&Share::default()).await, budget.admit(&Share::default()).await);
    let mut held = head(&first, 16, 16).unwrap();
    let mut much = pin!(Reservation::line_up(&second, 16));
    assert!(poll!(much.as_mut()).is_pending());
    // Of two that come back, one is for the others.
    held.shrink(12);
    assert_eq!(budget.free(), 2);
    let others = head(&first, 2, 2).unwrap();
    held.shrink(11);
    held.shrink(10);
    assert_eq!(budget.free(), 1, "also where they come back one by one");
    held.shrink(7);
    held.shrink(4);
    assert_eq!(budget.free(), 4, "of three and three, three");
    assert!(poll!(much.as_mut()).is_pending());
    // And the one who waits has it all in the end.
    drop((others, held));
    let all = much.await;
    assert_eq!((all.blocks(), budget.free()), (16, 0));
    drop(all);
    assert_eq!(budget.free(), 16);
}

#[tokio::test]
async fn who_waits_has_it_in_the_end_however_often_others_take_what_is_free() {
    let (budget, _) = budget(64);
    let (first, second) = (budget.admit(&Share::default()).await, budget.admit(&Share::default()).await);
    let mut held: Vec<_> = (0..64).map(|_| head(&first, 1, 1).unwrap()).collect();
    let mut all = pin!(Reservation::line_up(&second, 64));
    let mut rounds = 0;
    while poll!(all.as_mut()).is_pending() {
        held.clear();
        held.extend(std::iter::from_fn(|| (budget.free() > 0).then(|| head(&first, 1, 1).unwrap())));
        rounds += 1;
        assert!(rounds < 10, "half of what others have comes to it each time");
    }
}

#[tokio::test]
async fn who_wants_little_goes_first_but_not_for_ever() {
    let (budget, _) = budget(16);
    let account = budget.admit(&Share::default()).await;
    let held = head(&account, 16, 16).unwrap();
    let mut much = pin!(Reservation::line_up(&account, 16));
    let mut little = pin!(Reservation::line_up(&account, 4));
    assert!(poll!(much.as_mut()).is_pending());
    drop(held);
    let mut turn = poll!(little.as_mut());
    assert!(turn.is_ready() && poll!(much.as_mut()).is_pending());
    let mut turns = 1;
    loop {
        // One more comes before the last one is done.
        let mut next = pin!(Reservation::line_up(&account, 4));
        if budget.free() >= 4 {
            assert!(poll!(next.as_mut()).is_ready());
        }
        drop(turn);
        turn = std::task::Poll::Pending;
        turns += 1;
        if poll!(much.as_mut()).is_ready() {
            return assert!(turns <= 9, "{turns}");
        }
    }
}

#[tokio::test]
async fn whoever_has_more_than_a_part_is_served_after_others() {
    let (budget, _) = budget(16);
    let rich = futures_util::future::join_all((0..2).map(|_| budget.admit(&peer(1)))).await;
    let poor = budget.admit(&peer(2)).await;
    let held = [head(&rich[0], 12, 12).unwrap(), head(&rich[0], 4, 4).unwrap()];
    let mut turns = [&rich[1], &poor].map(|account| Reservation::line_up(account, 4));
    let [_all, some] = held;
    drop(some);
    let served = turns.each_mut().map(|turn| futures_util::FutureExt::now_or_never(turn).is_some());
    assert_eq!(served, [false, true]);
}

#[tokio::test]
async fn whoever_has_just_a_part_has_his_turn() {
    let (budget, _) = budget(16);
    let accounts = [budget.admit(&peer(1)).await, budget.admit(&peer(2)).await, budget.admit(&peer(3)).await];
    // A third of all, between those who have something and one more.
    let _part = head(&accounts[0], 5, 5).unwrap();
    let mut rest = head(&accounts[1], 11, 11).unwrap();
    let mut turns = [&accounts[0], &accounts[2]].map(|account| Reservation::line_up(account, 4));
    rest.shrink(7);
    let served = turns.each_mut().map(futures_util::FutureExt::now_or_never);
    assert_eq!(served.each_ref().map(Option::is_some), [true, false]);
}

#[tokio::test]
async fn what_a_peer_has_given_back_does_not_count_any_more() {
    let (budget, _) = budget(16);
    let accounts = [budget.admit(&peer(1)).await, budget.admit(&peer(2)).await, budget.admit(&peer(3)).await];
    drop(head(&accounts[0], 12, 12).unwrap());
    let mut all = head(&accounts[1], 16, 16).unwrap();
    let mut turns = [&accounts[0], &accounts[2]].map(|account| Reservation::line_up(account, 4));
    all.shrink(12);
    let served = turns.each_mut().map(futures_util::FutureExt::now_or_never);
    assert_eq!(served.each_ref().map(Option::is_some), [true, false]);
}

#[tokio::test(start_paused = true)]
async fn whoever_was_passed_over_stops_the_others_only_while_blocks_are_put_by() {
    let (budget, _) = budget(16);
    let account = budget.admit(&Share::default()).await;
    let held = head(&account, 8, 8).unwrap();
    let mut much = pin!(Reservation::line_up(&account, 16));
    assert!(poll!(much.as_mut()).is_pending());
    let mut passed = 0;
    let mut little = loop {
        let mut little = Box::pin(Reservation::line_up(&account, 4));
        if poll!(little.as_mut()).is_pending() {
            break little;
        }
        passed += 1;
        assert!(passed < TURNS, "what is free is kept for the one who waits");
    };
    assert_eq!(passed, TURNS - 1);
    tokio::time::advance(PUTS_BY).await;
    drop(held);
    let all = poll!(much.as_mut());
    assert!(all.is_ready(), "now there is enough, and it is his turn");
    assert!(poll!(little.as_mut()).is_pending());
}

/// Counts how often it is cut.
#[derive(Default)]
struct Cuts(AtomicUsize);

impl CutHandle for Cuts {
    fn cut(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_downloads_are_cut_as_have_what_all_wait_for() {
    let (budget, _) = budget(16);
    let cuts = Arc::<Cuts>::default();
    let idle = Share::of([127, 0, 0, 1].into(), Arc::clone(&cuts) as Arc<dyn CutHandle>);
    let mut held = Vec::new();
    for _ in 0..3 {
        let account = budget.admit(&idle).await;
        account.client_takes(10);
        held.push((head(&account, 5, 5).unwrap(), account));
    }
    let waits = [budget.admit(&peer(2)).await, budget.admit(&peer(3)).await];
    let lines = waits.map(|account| in_line(account, 5, Duration::from_secs(10)));
    let ended = futures_util::future::join_all(lines).await;
    assert!(ended.iter().all(|ended| matches!(ended, Err(FetchError::NoMemory))), "nothing came back");
    assert_eq!(cuts.0.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_floor_has_the_download_cut_whose_client_is_slow() {
    for (waits, number) in [(false, 1), (true, 0)] {
        let (budget, _) = budget(FLOOR);
        let cuts = Arc::<Cuts>::default();
        let account = budget.admit(&Share::of([127, 0, 0, 1].into(), Arc::clone(&cuts) as Arc<dyn CutHandle>)).await;
        account.client_takes(10);
        if waits {
            account.client_waits();
        }
        let _turn = budget.admit(&peer(2));
        tokio::time::advance(10 * SUFFERS).await;
        budget.relieve();
        assert_eq!(cuts.0.load(Ordering::SeqCst), number, "it is not the client that is slow: {waits}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_was_kept_waiting_for_the_first_bytes_is_not_cut_as_slow() {
    let (budget, _) = budget(FLOOR);
    let cuts = Arc::<Cuts>::default();
    let account = budget.admit(&Share::of([127, 0, 0, 1].into(), Arc::clone(&cuts) as Arc<dyn CutHandle>)).await;
    let _turn = budget.admit(&peer(2));
    tokio::time::advance(5 * SUFFERS).await;
    account.client_takes(10);
    budget.relieve();
    assert_eq!(cuts.0.load(Ordering::SeqCst), 0, "they have just come");
    tokio::time::advance(5 * SUFFERS).await;
    budget.relieve();
    assert_eq!(cuts.0.load(Ordering::SeqCst), 1, "it reads none of them");
}

#[tokio::test]
async fn the_insight_says_who_has_how_much_and_how_many_wait() {
    let (budget, _) = budget(3 * FLOOR);
    let accounts = [budget.admit(&peer(1)).await, budget.admit(&peer(1)).await, budget.admit(&peer(2)).await];
    let mut held = head(&accounts[0], 3, 3).unwrap();
    held.shrink(2);
    let fourth = budget.admit(&peer(3));
    let MemoryInsight { limit, most_downloads, waiting, mut holders } = budget.insight();
    assert_eq!((limit, most_downloads, waiting), ((6 * FLOOR * BLOCK) as u64, 3, 1));
    holders.sort_by_key(|holder| holder.peer);
    let holder = |last, downloads, blocks: usize| HolderInsight {
        peer: peer(last).peer,
        downloads,
        bytes: (blocks * BLOCK) as u64,
    };
    assert_eq!(holders, [holder(1, 2, 2 * FLOOR + 2), holder(2, 1, FLOOR)]);
    drop(fourth);
    assert_eq!(budget.insight().waiting, 0, "it gave up");
}

#[test]
fn the_least_memory_is_one_floor_and_as_much_that_is_shared() {
    assert_eq!((floors(0), budget(0).0.blocks()), (1, FLOOR));
}

#[tokio::test]
async fn what_was_put_by_for_one_who_gives_up_is_free_again() {
    let (budget, _) = budget(16);
    let account = budget.admit(&Share::default()).await;
    let mut held = head(&account, 16, 16).unwrap();
    let mut turn = Box::pin(Reservation::line_up(&account, 16));
    let mut other = Box::pin(Reservation::line_up(&account, 12));
    assert!(poll!(turn.as_mut()).is_pending() && poll!(other.as_mut()).is_pending());
    held.shrink(8);
    assert_eq!(budget.free(), 4);
    drop(other);
    assert_eq!(budget.free(), 4, "it is put by for the other one still");
    drop(turn);
    assert_eq!(budget.free(), 8);
    let given = Reservation::line_up(&account, 8);
    assert_eq!(budget.free(), 0);
    drop(given);
    assert_eq!(budget.free(), 8, "given and not taken");
}

#[tokio::test]
async fn half_of_the_memory_at_most_is_floors() {
    let (budget, _) = budget(2 * FLOOR);
    let accounts = [budget.admit(&Share::default()).await, budget.admit(&Share::default()).await];
    let mut third = pin!(budget.admit(&Share::default()));
    assert!(poll!(third.as_mut()).is_pending());
    drop(accounts);
    assert!(poll!(third.as_mut()).is_ready());
}

#[tokio::test]
async fn a_floor_that_is_on_its_way_to_the_client_wakes_who_waits_for_it() {
    let (budget, _) = budget(4);
    let account = budget.admit(&Share::default()).await;
    let _shared = head(&account, 4, 4).unwrap();
    let wakes = Arc::<Wakes>::default();
    let block = head(&account, 1, 2).unwrap().block();
    account.wake_on_return(&Waker::from(Arc::clone(&wakes)));
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    drop(block.freeze());
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_download_reckons_with_its_part_or_with_what_is_free() {
    let (budget, _) = budget(64);
    let block = BLOCK as u64;
    assert_eq!(budget.part(), 64 * block);
    let accounts = [
        budget.admit(&Share::default()).await,
        budget.admit(&Share::default()).await,
        budget.admit(&Share::default()).await,
        budget.admit(&Share::default()).await,
    ];
    assert_eq!(budget.part(), 16 * block);
    let many: Vec<_> = futures_util::future::join_all((4..32).map(|_| budget.admit(&Share::default()))).await;
    assert_eq!(budget.part(), 8 * block, "an eighth of what is free");
    let _all = head(&accounts[0], 64, 64).unwrap();
    assert_eq!(budget.part(), 2 * block);
    drop(many);
    assert_eq!(budget.part(), 16 * block);
}

#[tokio::test]
async fn memory_is_used_again() {
    let (budget, _) = budget(4);
    let account = budget.admit(&Share::default()).await;
    let mut block = head(&account, 1, 1).unwrap().block();
    block.spare()[0] = 42;
    drop(block);
    assert_eq!(head(&account, 1, 1).unwrap().block().spare()[0], 42, "what is not written is not cleared either");
}

#[tokio::test(start_paused = true)]
async fn every_other_second_the_others_have_what_comes_back_and_what_was_put_by() {
    let (budget, _) = budget(16);
    let (first, second) = (budget.admit(&Share::default()).await, budget.admit(&Share::default()).await);
    let mut held = head(&first, 16, 16).unwrap();
    let mut all = Box::pin(Reservation::line_up(&second, 16));
    assert!(poll!(all.as_mut()).is_pending());
    held.shrink(8);
    assert_eq!(budget.free(), 4);
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    held.shrink(6);
    assert_eq!(budget.free(), 6, "both of two");
    assert_eq!(head(&first, 1, 99).unwrap().blocks(), 10, "and the four that were put by");
    drop((held, all));
    // Whoever waits next begins a second of their own.
    let mut held = head(&first, 16, 16).unwrap();
    let mut all = pin!(Reservation::line_up(&second, 16));
    held.shrink(8);
    assert_eq!(budget.free(), 4);
    drop(held);
    assert!(poll!(all.as_mut()).is_ready());
}

#[tokio::test]
async fn nothing_is_no_reservation() {
    let (budget, _) = budget(4);
    let account = budget.admit(&Share::default()).await;
    let _all = head(&account, 4, 4).unwrap();
    assert!(ahead(&account, 0, 4).is_none());
    let _floor = head(&account, 1, FLOOR).unwrap();
    assert!(head(&account, 0, 4).is_none());
}

#[tokio::test(start_paused = true)]
async fn memory_is_kept_to_be_used_again_and_given_back_when_nobody_has_needed_it() {
    let (budget, _) = budget(400);
    let account = budget.admit(&Share::default()).await;
    let use_blocks = |blocks| {
        let mut all = head(&account, blocks, blocks).unwrap();
        drop((0..blocks).map(|_| all.block()).collect::<Vec<_>>());
    };
    let look = || async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        tokio::task::yield_now().await;
    };
    use_blocks(400);
    assert_eq!(budget.kept(), 400);
    look().await;
    for _ in 0..3 {
        use_blocks(350);
        look().await;
        assert_eq!(budget.kept(), 350, "so many were needed");
    }
    look().await;
    assert_eq!(budget.kept(), 256);
    use_blocks(300);
    assert_eq!(budget.kept(), 300, "it is looked again");
    look().await;
    look().await;
    assert_eq!(budget.kept(), 256);
    look().await;
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks, 0, "nobody looks where no more is kept than always may be");
}

#[tokio::test(start_paused = true)]
async fn one_who_waits_for_much_does_not_stop_those_who_wait_for_little() {
    let (budget, _) = budget(64);
    let account = budget.admit(&Share::default()).await;
    let (stalled, others) = (head(&account, 32, 32).unwrap(), head(&account, 32, 32).unwrap());
    let line = |blocks| in_line(Arc::clone(&account), blocks, 4 * LONGEST_WAIT);
    let mut much = pin!(line(49));
    assert!(poll!(much.as_mut()).is_pending());
    let little = futures_util::future::join_all((0..40).map(|_| async {
        let memory = line(16).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(memory);
    }));
    drop(others);
    tokio::select! {
        _ = &mut much => panic!("32 of them are with somebody who stalls"),
        _ = little => {}
        () = tokio::time::sleep(Duration::from_secs(10)) => panic!("they wait for the one who was passed over"),
    }
    drop(stalled);
    assert_eq!(much.await.unwrap().blocks(), 49);
}

#[tokio::test]
async fn a_budget_grows_at_once_and_shrinks_as_blocks_come_back() {
    let (budget, _) = budget(16);
    let account = budget.admit(&Share::default()).await;
    let mut held = head(&account, 16, 16).unwrap();
    budget.resize((2 * 64 * BLOCK) as u64, LEAST_RATE);
    assert_eq!((budget.blocks(), budget.there(), budget.free()), (64, 64, 48));
    let more = head(&account, 48, 48).unwrap();
    budget.resize((2 * 8 * BLOCK) as u64, LEAST_RATE);
    assert_eq!((budget.blocks(), budget.there(), budget.free()), (8, 64, 0), "nobody loses what he has");
    held.shrink(6);
    assert_eq!((budget.there(), budget.free()), (54, 0), "what comes back is gone");
    drop(more);
    assert_eq!((budget.there(), budget.free()), (8, 2));
    drop(held);
    assert_eq!((budget.there(), budget.free()), (8, 8));
}

#[tokio::test]
async fn whoever_waits_for_more_than_there_is_any_more_still_gets_it() {
    let (budget, _) = budget(16);
    let account = budget.admit(&Share::default()).await;
    let held = head(&account, 10, 10).unwrap();
    let mut before = pin!(Reservation::line_up(&account, 12));
    assert!(poll!(before.as_mut()).is_pending());
    budget.resize((2 * 4 * BLOCK) as u64, LEAST_RATE);
    assert_eq!(budget.there(), 12);
    drop(held);
    let got = before.await;
    assert_eq!((got.blocks(), budget.there()), (12, 12));
    drop(got);
    assert_eq!((budget.there(), budget.free()), (4, 4));
    // One who asked how many there are before they became fewer.
    let late = Reservation::line_up(&account, 9).await;
    assert_eq!((late.blocks(), budget.there()), (9, 9));
    drop(late);
    assert_eq!((budget.there(), budget.free()), (4, 4));
    let gives_up = Reservation::line_up(&account, 100);
    assert_eq!(budget.there(), 100);
    drop(gives_up);
    assert_eq!((budget.there(), budget.free()), (4, 4));
}

#[tokio::test]
async fn what_was_there_for_one_who_gives_up_is_there_no_more() {
    let (budget, _) = budget(16);
    let account = budget.admit(&Share::default()).await;
    let _held = head(&account, 10, 10).unwrap();
    let gives_up = Reservation::line_up(&account, 16);
    budget.resize((2 * 8 * BLOCK) as u64, LEAST_RATE);
    assert_eq!((budget.there(), budget.free()), (16, 6));
    drop(gives_up);
    assert_eq!((budget.there(), budget.free()), (10, 0));
}

#[tokio::test]
async fn floors_become_more_at_once_and_fewer_as_downloads_end() {
    let (budget, _) = budget(2 * FLOOR);
    let two = [budget.admit(&Share::default()).await, budget.admit(&Share::default()).await];
    let nobody = Share::default();
    let mut third = pin!(budget.admit(&nobody));
    assert!(poll!(third.as_mut()).is_pending());
    budget.resize((8 * FLOOR * BLOCK) as u64, LEAST_RATE);
    let third = third.await;
    budget.resize((4 * FLOOR * BLOCK) as u64, LEAST_RATE);
    drop(two);
    let mut more = pin!(budget.admit(&nobody));
    let fourth = poll!(more.as_mut());
    assert!(fourth.is_ready(), "there is one of two");
    let mut fifth = pin!(budget.admit(&nobody));
    assert!(poll!(fifth.as_mut()).is_pending());
    drop(third);
    assert!(poll!(fifth.as_mut()).is_ready());
}
