//! Downloads on a budget that is too small for them, in the orders in which threads can meet.

use std::sync::Arc;

use prometheus::{IntGauge, Registry};
use shuttle::{
    Config, Runner,
    future::block_on,
    scheduler::{PctScheduler, RandomScheduler},
    thread,
};

use super::{floors::FLOOR, *};
use crate::{Metrics, Share, urgency::Urgency};

/// Downloads that fetch ahead, fall back on their floors and wait for whole chunks, all at once: none waits for ever, none
/// gets more than there is, and everything comes back.
#[test]
fn shuttle_everybody_gets_on_and_everything_comes_back() {
    Runner::new(RandomScheduler::new(300), Config::default()).run(everybody);
    Runner::new(PctScheduler::new(3, 300), Config::default()).run(everybody);
}

fn everybody() {
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let gauge = metrics.buffered.clone();
    let total = 4 * FLOOR * BLOCK;
    let budget = Budget::new(total as u64, 0, &metrics);
    let shared = budget.free();
    let downloads: Vec<_> = (0..3)
        .map(|index| {
            let (budget, gauge) = (Arc::clone(&budget), gauge.clone());
            thread::spawn(move || download(index, &budget, &gauge, total as i64))
        })
        .collect();
    downloads.into_iter().for_each(|download| download.join().unwrap());
    assert_eq!((gauge.get(), budget.free()), (0, shared));
    // Both floors are there again.
    let _both = [block_on(budget.admit(&Share::default())), block_on(budget.admit(&Share::default()))];
}

fn download(index: usize, budget: &Arc<Budget>, gauge: &IntGauge, total: i64) {
    let account = block_on(budget.admit(&Share::default()));
    for round in 0..3 {
        if (index + round) % 3 == 0 {
            let buffer = block_on(Reservation::line_up(&account, budget.blocks())).buffer(vec![0; 8]);
            assert!(gauge.get() <= total);
            drop(buffer);
        } else if let Some(mut reservation) = Reservation::take(&account, 1, 3, Urgency::Head) {
            while reservation.blocks() > 0 {
                let bytes = reservation.block().freeze();
                assert!(gauge.get() <= total);
                thread::yield_now();
                drop(bytes);
            }
        }
        drop(Reservation::take(&account, 1, 1, Urgency::Ahead));
        // One that gives up.
        drop(Reservation::line_up(&account, 1));
    }
}
