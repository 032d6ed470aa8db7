//! What waits, all together: fetches that wait for a place and for memory, fill blocks and pass them on, and clients that
//! come to them, read and leave; in the orders in which threads can meet.

use std::{pin::pin, sync::Arc, task::Poll};

use bytes::Bytes;
use prometheus::Registry;
use shuttle::{
    Config, Runner,
    future::{self, block_on},
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler},
};

use crate::{
    Metrics, Share,
    budget::{BLOCK, Budget, Reservation},
    handover::{Handover, HandoverItem, Part, RunningFetches, Sender},
    servers::places::Places,
    urgency::{Priority, Urgency},
};

/// Spans of one download.
const SPANS: usize = 3;

/// Every client gets what it reads in order and to its end, whoever leaves takes its fetches along, no more requests run at
/// once than there are places, and places and memory come back.
#[test]
fn shuttle_whoever_waits_gets_on() {
    let config = || {
        let mut config = Config::default();
        config.stack_size = 256 << 10;
        config
    };
    Runner::new(RandomScheduler::new(500), config()).run(everybody);
    Runner::new(PctScheduler::new(3, 500), config()).run(everybody);
}

fn everybody() {
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let gauge = metrics.buffered.clone();
    let budget = Budget::new((12 * BLOCK) as u64, 0, &metrics);
    let (shared, places) = (budget.free(), Places::new(2));
    let clients: Vec<_> = (0..3)
        .map(|_| future::spawn(client(Arc::clone(&budget), Arc::clone(&places), thread_rng().gen_bool(0.2))))
        .collect();
    block_on(async {
        for client in clients {
            client.await.unwrap();
        }
    });
    assert_eq!((gauge.get(), budget.free(), places.load()), (0, shared, 0));
}

/// One span on its way, as a download has it.
struct Span {
    handover: Arc<Handover>,
    priority: Arc<Priority>,
    task: future::JoinHandle<()>,
}

async fn client(budget: Arc<Budget>, places: Arc<Places>, leaves: bool) {
    let account = budget.admit(&Share::default()).await;
    let running = Arc::<RunningFetches>::default();
    let mut spans = Vec::new();
    for number in 0..SPANS {
        let urgency = if number == 0 { Urgency::Head } else { Urgency::Ahead };
        let memory = match Reservation::take(&account, 2, 2, urgency) {
            Some(memory) => memory,
            None if number == 0 => Reservation::line_up(&account, 2).await,
            None => break,
        };
        let handover = Arc::<Handover>::default();
        let priority = Arc::new(Priority::new(urgency));
        let sender = Sender::new(Arc::clone(&handover), "3,01".into(), Arc::clone(&running));
        let task = future::spawn(fetch(Arc::clone(&places), memory, Arc::clone(&priority), sender, number as u8));
        spans.push(Span { handover, priority, task });
    }
    for (number, span) in spans.iter().enumerate() {
        span.priority.reach();
        let mut got = Vec::new();
        loop {
            match std::future::poll_fn(|cx| span.handover.poll(cx)).await {
                HandoverItem::Bytes(bytes) => got.extend_from_slice(&bytes),
                HandoverItem::End(_) => break,
                HandoverItem::Failed(error) => panic!("{error}"),
            }
            if leaves {
                break;
            }
        }
        if leaves {
            break;
        }
        assert_eq!(got, [number as u8, 0, number as u8, 1, number as u8, 2]);
    }
    for span in spans {
        span.task.abort();
        let _ = span.task.await;
    }
    // Those that were aborted have given their turn up.
    assert_eq!(running.fetches(), 0);
}

async fn fetch(places: Arc<Places>, mut memory: Reservation, priority: Arc<Priority>, sender: Sender, number: u8) {
    let place = places.admit(&priority, 10).await;
    assert!(places.load() >= 1);
    for step in 0..2 {
        let mut block = memory.block();
        block.spare()[..2].copy_from_slice(&[number, step]);
        block.advance(2);
        sender.handover.push(Part::Block(block));
        future::yield_now().await;
    }
    // Or when the client asks for it, whichever is first.
    let handover = Arc::clone(&sender.handover);
    let mut hungry = pin!(handover.hungry());
    std::future::poll_fn(|cx| {
        let _ = hungry.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
    sender.handover.push(Part::Bytes(Bytes::copy_from_slice(&[number, 2])));
    drop(place);
    sender.end(Ok(()));
}
