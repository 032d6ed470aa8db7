//! The places at one volume server: how many requests it has at once, and who of those who wait is next.
//!
//! First goes what a client waits for, and of that what is small; within a kind, who came first. So that every wait has an
//! end, whoever has waited longest is passed over by seven others at most, whatever it is. Where small reads meet a server
//! that is full of other things, a quarter of its places is left free of what lies ahead for a while, and an eighth of
//! large heads, so that the next small read finds one.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use crate::{
    line::{Line, Rank},
    sync::{Mutex, MutexGuard},
    urgency::{Priority, Urgency},
};

/// The largest request that is small, in bytes.
const SMALL: u64 = 256 << 10;
/// How long places are left free for small heads after one has needed them.
const LEFT_FREE: Duration = Duration::from_secs(10);

/// Who has waited for this long may have what is left free for others, when it is their turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// What kind of request wants a place, in the order in which kinds are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    SmallHead,
    LargeHead,
    SmallAhead,
    LargeAhead,
}

impl Kind {
    fn new(urgency: Urgency, bytes: u64) -> Self {
        match (urgency, bytes <= SMALL) {
            (Urgency::Head, true) => Self::SmallHead,
            (Urgency::Head, false) => Self::LargeHead,
            (Urgency::Ahead, true) => Self::SmallAhead,
            (Urgency::Ahead, false) => Self::LargeAhead,
        }
    }

    /// The places that it leaves free of `most` where small heads need them.
    fn leaves(self, most: usize) -> usize {
        match self {
            Self::SmallHead => 0,
            Self::LargeHead => (most / 8).max(usize::from(most > 2)),
            Self::SmallAhead | Self::LargeAhead => (most / 4).max(usize::from(most > 1)),
        }
    }
}

/// The places of one server.
pub(crate) struct Places {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: usize,
    line: Line<Kind, Waiter>,
    /// Until when places are left free for small heads.
    left_free_until: Option<Instant>,
}

struct Waiter {
    place: oneshot::Sender<Place>,
    since: Instant,
}

/// One of the server's places, taken by one request. Free again when it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
}

impl Places {
    /// That many, at least one.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), state: Mutex::default() })
    }

    /// Waits for a place for a request of `bytes`. Who waits ahead of its client goes on waiting as a head when the client
    /// comes to it. Dropping the future gives the turn up.
    pub(crate) async fn admit(self: &Arc<Self>, priority: &Priority, bytes: u64) -> Place {
        let (urgency, bytes) = (priority.urgency(), bytes.max(priority.bytes()));
        let mut ticket = self.line_up(Kind::new(urgency, bytes));
        if urgency == Urgency::Ahead {
            tokio::select! {
                biased;
                place = &mut ticket.place => return place.expect("whoever lined up is let in"),
                () = priority.reached() => ticket.promote(bytes),
            }
        }
        (&mut ticket.place).await.expect("whoever lined up is let in")
    }

    /// Requests that have a place or wait for one.
    pub(crate) fn load(&self) -> usize {
        let state = self.state();
        state.taken + state.line.len()
    }

    /// Whether a place is free, and nobody waits for it.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.state();
        state.taken < self.most && state.line.is_empty()
    }

    fn line_up(self: &Arc<Self>, kind: Kind) -> Ticket {
        let (sender, place) = oneshot::channel();
        let now = Instant::now();
        let mut state = self.state();
        // A place that aheads would have to leave free is needed.
        if kind == Kind::SmallHead && state.taken >= self.most - Kind::LargeAhead.leaves(self.most) {
            state.left_free_until = Some(now + LEFT_FREE);
        }
        let rank = state.line.join(kind, Waiter { place: sender, since: now });
        drop(state);
        self.let_in();
        Ticket { places: Arc::clone(self), rank, place }
    }

    /// Gives free places to those whose turn it is.
    fn let_in(self: &Arc<Self>) {
        loop {
            let mut state = self.state();
            let Some(next) = state.next(self.most) else { return };
            drop(state);
            // Whoever gave up meanwhile gives the place back at once.
            let _ = next.send(Place { places: Arc::clone(self) });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a place for whoever is next, if there is one and it is free for them.
    fn next(&mut self, most: usize) -> Option<oneshot::Sender<Place>> {
        let now = Instant::now();
        let longest = self.line.passed_over().filter(|rank| {
            // Who has waited for too long may have what is left free for others.
            let waits = self.line.get(rank).is_some_and(|waiting| now - waiting.since >= PATIENCE);
            if waits { self.taken < most } else { self.has_room_for(rank.0, most, now) }
        });
        let next = longest.or_else(|| self.line.first().filter(|rank| self.has_room_for(rank.0, most, now)))?;
        self.taken += 1;
        self.line.let_in(&next).map(|waiting| waiting.place)
    }

    fn has_room_for(&self, kind: Kind, most: usize, now: Instant) -> bool {
        let left = self.left_free_until.is_some_and(|until| now < until);
        self.taken < most - if left { kind.leaves(most) } else { 0 }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.state().taken -= 1;
        self.places.let_in();
    }
}

/// A turn in the line. Given up when it is dropped.
struct Ticket {
    places: Arc<Places>,
    rank: Rank<Kind>,
    place: oneshot::Receiver<Place>,
}

impl Ticket {
    /// Its client waits for it now. It has waited for as long as before.
    fn promote(&mut self, bytes: u64) {
        let mut state = self.places.state();
        self.rank = state.line.change(self.rank, Kind::new(Urgency::Head, bytes));
        drop(state);
        self.places.let_in();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // A place that was given and not taken comes back with the channel.
        let waited = self.places.state().line.leave(&self.rank);
        if waited.is_some() {
            self.places.let_in();
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use std::{future::Future, pin::Pin};

    use futures_util::FutureExt;

    use super::*;
    use crate::line::TURNS;

    const LARGE: u64 = 4 << 20;

    type PlaceFuture = Pin<Box<dyn Future<Output = Place>>>;

    /// Lines up; whoever finds a place at once has it.
    fn line_up(places: &Arc<Places>, priority: &Arc<Priority>, bytes: u64) -> (PlaceFuture, Option<Place>) {
        let (places, priority) = (Arc::clone(places), Arc::clone(priority));
        let mut waiting: PlaceFuture = Box::pin(async move { places.admit(&priority, bytes).await });
        let place = (&mut waiting).now_or_never();
        (waiting, place)
    }

    fn waits(places: &Arc<Places>, urgency: Urgency, bytes: u64) -> PlaceFuture {
        let (waiting, place) = line_up(places, &Arc::new(Priority::new(urgency)), bytes);
        assert!(place.is_none(), "it has to wait");
        waiting
    }

    fn enters(places: &Arc<Places>, urgency: Urgency, bytes: u64) -> Place {
        line_up(places, &Arc::new(Priority::new(urgency)), bytes).1.expect("there is a place for it")
    }

    fn has(waiting: &mut PlaceFuture) -> Option<Place> {
        waiting.now_or_never()
    }

    #[test]
    fn what_is_left_free_is_never_all_of_it() {
        let left = |kind: Kind| [1, 2, 3, 8, 16].map(|most| kind.leaves(most));
        assert_eq!(left(Kind::SmallHead), [0; 5]);
        assert_eq!(left(Kind::LargeHead), [0, 0, 1, 1, 2]);
        assert_eq!(left(Kind::SmallAhead), [0, 1, 1, 2, 4]);
        assert_eq!(left(Kind::LargeAhead), [0, 1, 1, 2, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_read_does_not_wait_behind_what_lies_ahead_of_somebody() {
        let places = Places::new(1);
        let place = enters(&places, Urgency::Ahead, LARGE);
        let mut large_ahead = waits(&places, Urgency::Ahead, LARGE);
        let mut small_ahead = waits(&places, Urgency::Ahead, SMALL);
        let mut large = waits(&places, Urgency::Head, SMALL + 1);
        let mut small = waits(&places, Urgency::Head, SMALL);
        assert_eq!((places.load(), places.has_room()), (5, false));
        drop(place);
        for next in [&mut small, &mut large, &mut small_ahead, &mut large_ahead] {
            drop(has(next).expect("in this order"));
        }
        assert_eq!((places.load(), places.has_room()), (0, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_request_of_a_large_download_is_no_small_read() {
        let places = Places::new(1);
        let place = enters(&places, Urgency::Head, 10);
        let (mut large, _) = line_up(&places, &Arc::new(Priority::of(Urgency::Head, LARGE)), 10);
        let mut small = waits(&places, Urgency::Head, 10);
        drop(place);
        assert!(has(&mut large).is_none());
        drop(has(&mut small).expect("first"));
        assert!(has(&mut large).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn of_one_kind_who_came_first_goes_first() {
        let places = Places::new(1);
        let place = enters(&places, Urgency::Head, 10);
        let mut waiting: Vec<_> = (0..6).map(|_| waits(&places, Urgency::Head, 10)).collect();
        drop(place);
        for next in &mut waiting {
            drop(has(next).expect("in this order"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_waits_ahead_goes_on_as_a_head_when_its_client_comes_to_it() {
        let places = Places::new(1);
        let place = enters(&places, Urgency::Head, 10);
        let mut first = waits(&places, Urgency::Ahead, 10);
        let comes = Arc::new(Priority::new(Urgency::Ahead));
        let (mut reached, _) = line_up(&places, &comes, 10);
        let mut head = waits(&places, Urgency::Head, 10);
        comes.reach();
        assert!(has(&mut reached).is_none());
        drop(place);
        drop(has(&mut reached).expect("it came before the other head"));
        drop(has(&mut head).expect("before what nobody waits for"));
        drop(has(&mut first).expect("at last"));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_longest_has_one_place_in_eight() {
        let places = Places::new(1);
        let mut place = enters(&places, Urgency::Head, 10);
        let mut longest = waits(&places, Urgency::Ahead, LARGE);
        // A small head is always waiting. They are let in, but not for ever.
        let mut heads = 0;
        let mut head = waits(&places, Urgency::Head, 10);
        loop {
            drop(place);
            if let Some(turn) = has(&mut longest) {
                place = turn;
                break;
            }
            place = has(&mut head).expect("if not the one, the other");
            heads += 1;
            head = waits(&places, Urgency::Head, 10);
        }
        assert_eq!(heads, TURNS - 1);
        // The count begins anew.
        let mut longest = waits(&places, Urgency::Ahead, LARGE);
        drop(place);
        drop(has(&mut head).expect("a head again"));
        assert!(has(&mut longest).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_full_of_fetches_ahead_keeps_places_for_small_heads_once_one_came() {
        let places = Places::new(16);
        let mut ahead: Vec<_> = (0..16).map(|_| enters(&places, Urgency::Ahead, LARGE)).collect();
        let mut small = waits(&places, Urgency::Head, 10);
        let mut next = waits(&places, Urgency::Ahead, LARGE);
        ahead.pop();
        let small = has(&mut small).expect("at once");
        ahead.truncate(12);
        drop(small);
        assert!(has(&mut next).is_none(), "a quarter is left free");
        let large: Vec<_> = (0..2).map(|_| enters(&places, Urgency::Head, LARGE)).collect();
        let mut third = waits(&places, Urgency::Head, LARGE);
        drop((enters(&places, Urgency::Head, 10), enters(&places, Urgency::Head, 10)));
        assert!(has(&mut third).is_none(), "an eighth is left free of large heads");
        drop(large);
        assert!(has(&mut third).is_some());
        ahead.pop();
        assert!(has(&mut next).is_some(), "of what is not left free it has its share");
    }

    #[tokio::test(start_paused = true)]
    async fn without_small_heads_every_place_is_for_whoever_comes() {
        let places = Places::new(8);
        let small = enters(&places, Urgency::Head, 10);
        let ahead: Vec<_> = (0..7).map(|_| enters(&places, Urgency::Ahead, LARGE)).collect();
        drop(small);
        drop(enters(&places, Urgency::Ahead, LARGE));
        // One needed what was left, and for a while the others leave room.
        drop(enters(&places, Urgency::Head, 10));
        let mut eighth = waits(&places, Urgency::Ahead, LARGE);
        tokio::time::advance(LEFT_FREE).await;
        drop(enters(&places, Urgency::Head, LARGE));
        assert!(has(&mut eighth).is_some());
        drop(ahead);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waited_too_long_may_have_what_is_left_free() {
        let places = Places::new(2);
        let ahead = enters(&places, Urgency::Ahead, LARGE);
        let mut longest = None;
        for _ in 0..TURNS {
            drop(enters(&places, Urgency::Head, 10));
            tokio::time::advance(PATIENCE / 4).await;
            let mut waiting = longest.take().unwrap_or_else(|| waits(&places, Urgency::Ahead, LARGE));
            if has(&mut waiting).is_some() {
                return drop(ahead);
            }
            longest = Some(waiting);
        }
        panic!("it never had its turn");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waited_too_long_waits_for_a_place_and_has_the_first() {
        let places = Places::new(1);
        let mut place = enters(&places, Urgency::Head, 10);
        let mut longest = waits(&places, Urgency::Ahead, LARGE);
        for _ in 1..TURNS {
            let mut head = waits(&places, Urgency::Head, 10);
            drop(place);
            place = has(&mut head).expect("it is not the other one's turn");
        }
        tokio::time::advance(PATIENCE).await;
        drop(waits(&places, Urgency::Head, 10));
        assert!(has(&mut longest).is_none(), "there is one place, and it is taken");
        let mut head = waits(&places, Urgency::Head, 10);
        drop(place);
        assert!(has(&mut head).is_none() && has(&mut longest).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_free_is_left_free_also_when_it_is_the_turn_of_whoever_waited_longest() {
        let places = Places::new(2);
        let _ahead = enters(&places, Urgency::Ahead, LARGE);
        drop(enters(&places, Urgency::Head, 10));
        let mut longest = waits(&places, Urgency::Ahead, LARGE);
        for _ in 0..4 * TURNS {
            drop(enters(&places, Urgency::Head, 10));
            tokio::time::advance(PATIENCE / 100).await;
            assert!(has(&mut longest).is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_leaves_no_trace() {
        let places = Places::new(1);
        let place = enters(&places, Urgency::Head, 10);
        drop(waits(&places, Urgency::Head, 10));
        let given_and_not_taken = waits(&places, Urgency::Ahead, 10);
        assert_eq!(places.load(), 2);
        drop(place);
        assert_eq!((places.load(), places.has_room()), (1, false));
        drop(given_and_not_taken);
        assert_eq!((places.load(), places.has_room()), (0, true));
        assert_eq!(Places::new(0).most, 1);
    }
}
