//! The floors: who has one, who waits for one, and who gives his up.
//!
//! A floor that comes back goes to the peer that has fewest of those who wait, and of these to who came first. The last eighth is
//! not for a peer that has as many already: who comes beside one that has all the others need not wait. Once somebody
//! has waited for [`SUFFERS`], a download is cut for each who has, as [`fairness`](super::fairness) says.

mod lines;

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::FutureExt;
use prometheus::IntCounterVec;
use tokio::{sync::oneshot, time::Instant};

use self::lines::Lines;
pub(super) use self::lines::Peer;
use super::{
    fairness::{self, Holding, Reason},
    meter::Meter,
};
use crate::{
    share::{Brake, CutHandle, Share},
    sync::{Mutex, MutexGuard},
};

/// Blocks that every download has for itself.
pub(crate) const FLOOR: usize = 2;
/// How long somebody waits before others give up what they have.
pub(super) const SUFFERS: Duration = Duration::from_secs(2);
/// How often that is looked after, by whoever waits.
pub(crate) const LOOKS: Duration = Duration::from_millis(250);
/// Downloads that are cut in each of that time, at most. As many as come evenly: each sets a place free for one that begins, and
/// many that begin together keep the volume servers from all others.
const AT_ONCE: usize = 16;

/// All floors. Whoever has or waits for one keeps them.
pub(super) struct Floors {
    cuts: IntCounterVec,
    state: Mutex<State>,
}

struct State {
    /// How many there are to be. More are held where they have become fewer.
    most: usize,
    /// Bytes per second; who takes less is cut where others wait.
    least_rate: u64,
    arrivals: u64,
    /// Those who have one, by when they came.
    holders: BTreeMap<u64, Arc<Holder>>,
    /// Those who wait, by when they came, and how many each peer has.
    lines: Lines<Waiter>,
    looked: Option<Instant>,
}

struct Waiter {
    since: Instant,
    cut: Option<Arc<dyn CutHandle>>,
    brake: Option<Brake>,
    answer: oneshot::Sender<Floor>,
}

/// Who has a floor.
pub(super) struct Holder {
    pub(super) peer: Peer,
    cut: Option<Arc<dyn CutHandle>>,
    brake: Option<Brake>,
    is_cut: AtomicBool,
    /// Shared blocks that it has beside its floor.
    shared: AtomicUsize,
    pub(super) meter: Meter,
}

impl Holder {
    /// It has so many shared blocks more.
    pub(super) fn has_shared(&self, blocks: usize) {
        self.shared.fetch_add(blocks, Ordering::Relaxed);
    }

    /// So many less.
    pub(super) fn gave_shared(&self, blocks: usize) {
        self.shared.fetch_sub(blocks, Ordering::Relaxed);
    }

    /// As one that has its floor.
    fn of_floors(&self, now: Instant) -> Holding<Peer> {
        let pace = self.cut.as_ref().and_then(|_| self.meter.pace(now));
        let is_braked = self.brake.as_ref().is_some_and(|brake| brake.is_on(now));
        let braked = is_braked || pace.is_some_and(|pace| !pace.told);
        Holding { peer: self.peer, has: 1, rate: pace.map(|pace| pace.rate), braked }
    }

    /// As one that has its shared blocks. They come and go all the time: where its client takes something now and then, they
    /// will be back.
    fn of_shared(&self, now: Instant) -> Holding<Peer> {
        let holding = self.of_floors(now);
        let rate = holding.rate.filter(|_| self.meter.idles(now) >= SUFFERS);
        Holding { has: self.shared.load(Ordering::Relaxed), rate, ..holding }
    }
}

/// A floor that somebody has, until it is dropped.
pub(super) struct Floor {
    floors: Arc<Floors>,
    number: u64,
    pub(super) holder: Arc<Holder>,
}

impl Floors {
    /// So many of them.
    pub(super) fn new(floors: usize, least_rate: u64, cuts: IntCounterVec) -> Arc<Self> {
        let state = State {
            most: floors,
            least_rate,
            arrivals: 0,
            holders: BTreeMap::new(),
            lines: Lines::default(),
            looked: None,
        };
        Arc::new(Self { cuts, state: Mutex::new(state) })
    }

    /// From now on there are so many, and that rate counts. Nobody loses one for it.
    pub(super) fn resize(self: &Arc<Self>, floors: usize, least_rate: u64) {
        {
            let mut state = self.state();
            (state.most, state.least_rate) = (floors, least_rate);
        }
        self.serve();
    }

    /// How many nobody has.
    #[cfg(test)]
    #[cfg(not(feature = "shuttle"))]
    pub(super) fn free(&self) -> usize {
        self.state().free()
    }

    /// Whether somebody waits for one.
    pub(super) fn are_waited_for(&self) -> bool {
        self.state().lines.len() > 0
    }

    /// Who has one, with what is shared beside it: so many there are, so many wait, and what each peer has.
    pub(super) fn holdings(&self) -> (usize, usize, HashMap<Peer, (usize, usize)>) {
        let state = self.state();
        let (all, waiting) = (state.most, state.lines.len());
        let holders: Vec<_> = state.holders.values().cloned().collect();
        drop(state);
        let mut holdings = HashMap::new();
        for holder in holders {
            let (downloads, blocks): &mut (usize, usize) = holdings.entry(holder.peer).or_default();
            *downloads += 1;
            *blocks += FLOOR + holder.shared.load(Ordering::Relaxed);
        }
        (all, waiting, holdings)
    }

    /// A place in the line for one.
    pub(super) fn line_up(self: &Arc<Self>, share: &Share) -> FloorTurn {
        let (answer, given) = oneshot::channel();
        let number = {
            let mut state = self.state();
            let number = state.arrivals;
            state.arrivals += 1;
            let Share { peer, cut, brake } = share.clone();
            state.lines.join(number, peer, Waiter { since: Instant::now(), cut, brake, answer });
            number
        };
        self.serve();
        FloorTurn { floors: Arc::clone(self), number, given }
    }

    /// Gives those who wait what is free.
    fn serve(self: &Arc<Self>) {
        loop {
            let Some((number, holder, answer)) = self.state().serve() else { return };
            // Whoever gave up meanwhile gives it back at once.
            let _ = answer.send(Floor { floors: Arc::clone(self), number, holder });
        }
    }

    /// Has downloads cut for those who have waited for too long.
    pub(super) fn relieve(&self) {
        let give_up = self.state().relieve(Instant::now());
        self.cut(give_up);
    }

    /// Has downloads cut that have shared blocks, for somebody who has waited for so many of them for too long, where `all`
    /// that wait want so many together.
    pub(super) fn relieve_shared(&self, waiting: &Holder, wants: usize, all: usize) {
        let give_up = self.state().relieve_shared(Instant::now(), waiting.peer, wants, all);
        self.cut(give_up);
    }

    /// What their end sets free comes back here, and maybe at once.
    fn cut(&self, give_up: Vec<(Arc<Holder>, Reason)>) {
        for (holder, reason) in give_up {
            self.cuts.with_label_values(&[reason.label()]).inc();
            if let Some(cut) = &holder.cut {
                cut.cut();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How many nobody has.
    fn free(&self) -> usize {
        self.most.saturating_sub(self.holders.len())
    }

    fn serve(&mut self) -> Option<(u64, Arc<Holder>, oneshot::Sender<Floor>)> {
        // So many of them are for peers that have fewer.
        let number = self.lines.next(self.free(), self.most / 8)?;
        let (peer, Waiter { cut, brake, answer, .. }) = self.lines.let_in(number)?;
        let holder = Arc::new(Holder {
            peer,
            cut,
            brake,
            is_cut: AtomicBool::new(false),
            shared: AtomicUsize::new(0),
            meter: Meter::new(),
        });
        self.holders.insert(number, Arc::clone(&holder));
        Some((number, holder, answer))
    }

    fn release(&mut self, number: u64) {
        if let Some(holder) = self.holders.remove(&number) {
            self.lines.comes_back(holder.peer);
        }
    }

    fn relieve(&mut self, now: Instant) -> Vec<(Arc<Holder>, Reason)> {
        // First, and cheap: of thousands that wait each asks for it.
        let Some(most) = self.due(now) else { return Vec::new() };
        // Those behind one that came too lately came later still.
        let suffers = |one: &&(Peer, Waiter)| now.duration_since(one.1.since) >= SUFFERS;
        let mut waiting: Vec<_> = self.lines.in_order().take_while(suffers).map(|(peer, _)| *peer).collect();
        if waiting.is_empty() {
            return Vec::new();
        }
        self.looked = Some(now);
        waiting.sort_by_key(|peer| self.lines.held(*peer));
        let mut selection = CutSelection::of(&self.holders, |holder| holder.of_floors(now));
        // For the first of them others are on their way out already.
        for peer in waiting.into_iter().skip(selection.on_their_way.len()).take(most) {
            selection.one(peer, 1, self.least_rate);
        }
        selection.give_up
    }

    fn relieve_shared(&mut self, now: Instant, waiting: Peer, wants: usize, all: usize) -> Vec<(Arc<Holder>, Reason)> {
        let Some(most) = self.due(now) else { return Vec::new() };
        self.looked = Some(now);
        let mut selection = CutSelection::of(&self.holders, |holder| holder.of_shared(now));
        let mut comes: usize = selection.on_their_way.iter().map(|holding| holding.has).sum();
        while comes < all
            && selection.give_up.len() < most
            && let Some(given) = selection.one(waiting, wants, self.least_rate)
        {
            comes += given;
        }
        selection.give_up
    }

    /// How many may be cut now, if any.
    fn due(&self, now: Instant) -> Option<usize> {
        let since = self.looked.map_or(LOOKS, |looked| now.duration_since(looked).min(LOOKS));
        let most = since.as_micros() * AT_ONCE as u128 / LOOKS.as_micros();
        usize::try_from(most).ok().filter(|most| *most > 0)
    }
}

/// Who gives up now, of those who have something.
struct CutSelection {
    holders: Vec<Arc<Holder>>,
    holdings: Vec<Holding<Peer>>,
    /// What comes back soon: of those who were cut before.
    on_their_way: Vec<Holding<Peer>>,
    give_up: Vec<(Arc<Holder>, Reason)>,
}

impl CutSelection {
    fn of(holders: &BTreeMap<u64, Arc<Holder>>, holding: impl Fn(&Holder) -> Holding<Peer>) -> Self {
        let having = holders.values().map(|holder| (holder, holding(holder))).filter(|(_, holding)| holding.has > 0);
        let (cut, rest): (Vec<_>, Vec<_>) = having.partition(|(holder, _)| holder.is_cut.load(Ordering::Relaxed));
        let (holders, holdings) = rest.into_iter().map(|(holder, holding)| (Arc::clone(holder), holding)).unzip();
        let on_their_way = cut.into_iter().map(|(_, holding)| holding).collect();
        Self { holders, holdings, on_their_way, give_up: Vec::new() }
    }

    /// One more, for somebody who wants so much. How much comes back; `None`: nobody has to.
    fn one(&mut self, waiting: Peer, wants: usize, least_rate: u64) -> Option<usize> {
        let (at, reason) = fairness::gives_up(&self.holdings, waiting, wants, least_rate)?;
        let given = self.holdings.swap_remove(at).has;
        let holder = self.holders.swap_remove(at);
        holder.is_cut.store(true, Ordering::Relaxed);
        self.give_up.push((holder, reason));
        Some(given)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.floors.state().release(self.number);
        self.floors.serve();
    }
}

/// A place in the line for a floor; resolves to it. Dropping it gives the place up.
pub(super) struct FloorTurn {
    floors: Arc<Floors>,
    number: u64,
    given: oneshot::Receiver<Floor>,
}

impl Future for FloorTurn {
    type Output = Floor;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Floor> {
        Poll::Ready(ready!(self.given.poll_unpin(cx)).expect("whoever lines up is served"))
    }
}

impl Drop for FloorTurn {
    fn drop(&mut self) {
        // What was given and not taken comes back with the channel.
        let waited = self.floors.state().lines.leave(self.number);
        drop(waited);
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests;
