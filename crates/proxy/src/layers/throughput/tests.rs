use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future::join_all, stream};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use prefetch::Brake;
use proptest::prelude::*;
use tokio::{sync::watch, time::Instant};

use super::*;
use crate::{metrics::Limit, wire::Body};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const SECOND: Duration = Duration::from_secs(1);

/// A body of so many bytes, in pieces of `piece`, that goes to this client at these rates.
fn body_for(client: u8, rates: &BytesPerSecond, bytes: u64, piece: usize) -> ThroughputBody<Body> {
    body(client, rates, &LimitsHit::unread(), bytes, piece)
}

fn body(client: u8, rates: &BytesPerSecond, hit: &Arc<LimitsHit>, bytes: u64, piece: usize) -> ThroughputBody<Body> {
    let content = content(bytes);
    let pieces: Vec<_> = content.chunks(piece).map(|piece| Ok(content.slice_ref(piece))).collect();
    let body = Body::from_stream(Some(bytes), stream::iter(pieces));
    ThroughputBody::new(body, [127, 0, 0, client].into(), watch::channel(rates.clone()).1, Brake::default(), hit)
}

/// So many bytes, none of which is like its neighbour.
fn content(bytes: u64) -> Bytes {
    let round: Vec<_> = (0..=u8::MAX).collect();
    let mut all = round.repeat(bytes as usize / 256 + 1);
    all.truncate(bytes as usize);
    all.into()
}

/// Reads all of it; answers how long that took.
async fn time_of(mut body: ThroughputBody<Body>) -> Duration {
    let (begun, mut at) = (Instant::now(), 0);
    let content = content(body.size_hint().exact().unwrap());
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        assert!(content[at..].starts_with(&data));
        at += data.len();
        assert_eq!(body.size_hint().exact(), Some((content.len() - at) as u64));
    }
    assert!(body.is_end_stream() && at == content.len());
    begun.elapsed()
}

/// Within a hundredth of a second, which is what timers are good for.
#[track_caller]
fn lasted(time: Duration, expected: Duration) {
    assert!(time.abs_diff(expected) < SECOND / 100, "{time:?}, not {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_goes_at_its_rate_after_a_quarter_of_a_second_s_worth() {
    let rates = BytesPerSecond::new(None, None, Some(MIB));
    lasted(time_of(body_for(1, &rates, MIB / 4, 100_000)).await, Duration::ZERO);
    for piece in [100, 64 << 10, 10_000_000] {
        lasted(time_of(body_for(1, &rates, 5 * MIB, piece)).await, SECOND * 19 / 4);
    }
    let side_by_side = join_all((0..10).map(|_| time_of(body_for(1, &rates, 2 * MIB, 70_000)))).await;
    side_by_side.into_iter().for_each(|time| lasted(time, SECOND * 7 / 4));
}

#[tokio::test(start_paused = true)]
async fn a_client_s_answers_share_its_rate_and_no_others() {
    let rates = BytesPerSecond::new(None, Some(MIB), None);
    let of_one = join_all((0..4).map(|_| time_of(body_for(1, &rates, MIB, 70_000))));
    let (of_one, of_other) = tokio::join!(of_one, time_of(body_for(2, &rates, MIB, 70_000)));
    lasted(of_other, SECOND * 3 / 4);
    lasted(*of_one.iter().max().unwrap(), SECOND * 15 / 4);
    assert!(*of_one.iter().min().unwrap() >= SECOND * 3, "each in turn, and one had what was saved up: {of_one:?}");
    lasted(time_of(body_for(1, &rates, MIB, 70_000)).await, SECOND);
}

#[tokio::test(start_paused = true)]
async fn all_answers_share_the_rate_of_all() {
    let rates = BytesPerSecond::new(Some(MIB), None, Some(100 * MIB));
    let times = join_all((0..100).map(|client| time_of(body_for(client, &rates.clone(), MIB / 10, 70_000)))).await;
    lasted(*times.iter().max().unwrap(), SECOND * 10 - SECOND / 4);
}

#[tokio::test(start_paused = true)]
async fn small_answers_take_no_more_than_they_are() {
    let rates = BytesPerSecond::new(Some(MIB), Some(MIB), Some(MIB));
    let times = join_all((0..1024).map(|_| time_of(body_for(1, &rates, KIB, 70_000)))).await;
    lasted(*times.iter().max().unwrap(), SECOND * 3 / 4);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_go_is_given_back() {
    let rates = BytesPerSecond::new(Some(MIB), Some(MIB), None);
    lasted(time_of(body_for(1, &rates, MIB / 4, 70_000)).await, Duration::ZERO);
    let mut waiting: Vec<_> = (0..1000).map(|_| body_for(1, &rates, MIB, 70_000)).collect();
    assert!(waiting.iter_mut().all(|body| body.frame().now_or_never().is_none()));
    drop(waiting);
    lasted(time_of(body_for(1, &rates, MIB, 70_000)).await, SECOND);
}

#[tokio::test(start_paused = true)]
async fn whoever_makes_a_body_is_asked_for_more_only_when_it_may_go() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let pieces = stream::repeat(()).map(move |()| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(Bytes::from_static(&[7; 16 << 10]))
    });
    let rates = BytesPerSecond::new(None, None, Some(64 * KIB));
    let (body, hit) = (Body::from_stream(None, pieces), LimitsHit::unread());
    let mut body = ThroughputBody::new(body, [127, 0, 0, 1].into(), watch::channel(rates).1, Brake::default(), &hit);
    let reading = tokio::spawn(async move { while body.frame().await.is_some() {} });
    for second in 1..10 {
        tokio::time::sleep(SECOND).await;
        // Of 64 KiB, 16 a piece, and of the quarter at the beginning.
        let pieces = asked.load(Ordering::Relaxed);
        assert!((4 * second..=4 * second + 2).contains(&pieces), "{pieces} in {second} s");
    }
    reading.abort();
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_waits_is_counted_once_for_the_limit_that_it_waits_for() {
    for (at, limit) in
        [Limit::BytesPerSecond, Limit::BytesPerSecondPerPeer, Limit::BytesPerSecondPerDownload].into_iter().enumerate()
    {
        let mut rates = [Some(100 * MIB); 3];
        rates[at] = Some(MIB);
        let rates = BytesPerSecond::new(rates[0], rates[1], rates[2]);
        let hit = LimitsHit::unread();
        time_of(body(1, &rates, &hit, MIB / 8, 70_000)).await;
        join_all((0..3).map(|_| time_of(body(1, &rates, &hit, MIB, 70_000)))).await;
        let counted = [Limit::BytesPerSecond, Limit::BytesPerSecondPerPeer, Limit::BytesPerSecondPerDownload];
        let counted = counted.map(|each| (each, hit.counted(each)));
        assert!(counted.iter().all(|(each, times)| *times == if *each == limit { 3 } else { 0 }), "{counted:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rates_that_change_hold_for_what_is_on_its_way() {
    let rates = watch::Sender::new(BytesPerSecond::new(None, Some(MIB), None));
    let body = ThroughputBody::new(
        Body::from_stream(
            Some(9 * MIB),
            stream::iter(
                content(9 * MIB).chunks(300_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect::<Vec<_>>(),
            ),
        ),
        [127, 0, 0, 1].into(),
        rates.subscribe(),
        Brake::default(),
        &LimitsHit::unread(),
    );
    let change = async {
        tokio::time::sleep(SECOND * 3 / 4).await;
        // One is out, and of what comes a quarter of a second's worth goes at once.
        rates.send_replace(BytesPerSecond::new(None, None, Some(2 * MIB)));
        tokio::time::sleep(SECOND * 7 / 4).await;
        // Four more.
        rates.send_replace(BytesPerSecond::new(None, None, None));
    };
    let (time, ()) = tokio::join!(time_of(body), change);
    assert!(time.abs_diff(SECOND * 5 / 2) < SECOND / 10, "{time:?}");
}

#[tokio::test]
async fn without_a_rate_a_body_is_what_it_was() {
    let rates = BytesPerSecond::new(None, None, None);
    let mut body = body_for(1, &rates, MIB, 1 << 20);
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 1 << 20);
    let broken = Body::from_stream(Some(9), stream::iter([Ok(Bytes::from_static(b"half")), Err("broken".into())]));
    let rates = BytesPerSecond::new(None, None, Some(MIB));
    let mut broken = ThroughputBody::new(
        broken,
        [127, 0, 0, 1].into(),
        watch::channel(rates).1,
        Brake::default(),
        &LimitsHit::unread(),
    );
    assert_eq!(broken.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    assert!(broken.frame().await.unwrap().is_err());
}

proptest! {
    /// Whatever its pieces, a body is whole and goes no faster than it may.
    #[test]
    fn no_pieces_make_it_faster(rate in 16 * KIB..2 * MIB, bytes in 1..MIB, piece in 1..200_000_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let time = runtime.block_on(async {
            let rates = BytesPerSecond::new(None, Some(rate), None);
            time_of(body_for(1, &rates, bytes, piece.max(bytes as usize / 100))).await
        });
        let expected = Duration::from_secs_f64((bytes as f64 / rate as f64 - 0.25).max(0.0));
        prop_assert!(time + SECOND / 100 >= expected && time <= expected + SECOND / 10, "{time:?}, not {expected:?}");
    }
}
