//! A body that goes no faster than its meters let it.
//!
//! It is asked for more only when that may go, so that whoever makes it sees a slow client.

use std::{
    future::Future as _,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use prefetch::Brake;
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};

use super::{meter::Meter, rates::BytesPerSecond};
use crate::{metrics::LimitsHit, wire::BoxError};

/// Passes a body on as it is, in pieces that may go.
pub(crate) struct ThroughputBody<B> {
    inner: B,
    client: IpAddr,
    rates: watch::Receiver<BytesPerSecond>,
    brake: Brake,
    hit: Arc<LimitsHit>,
    /// `None`: it goes as fast as it is taken.
    paced: Option<Box<Paced>>,
}

struct Paced {
    meters: Vec<Meter>,
    /// The most bytes that are taken from the meters at a time.
    piece: u64,
    /// Bytes that were taken from the meters and have not gone.
    taken: u64,
    /// Until they may go; `None`: they may.
    waits: Option<Pin<Box<Sleep>>>,
    /// What of the body's last piece may not go yet.
    rest: Bytes,
}

impl<B> ThroughputBody<B> {
    pub(super) fn new(
        inner: B,
        client: IpAddr,
        mut rates: watch::Receiver<BytesPerSecond>,
        brake: Brake,
        hit: &Arc<LimitsHit>,
    ) -> Self {
        let paced = Paced::new(rates.borrow_and_update().meters(client), Bytes::new());
        Self { inner, client, rates, brake, hit: Arc::clone(hit), paced }
    }

    /// Goes by the rates that hold now.
    fn renew(&mut self) {
        let rest = self.paced.as_mut().map(|paced| std::mem::take(&mut paced.rest)).unwrap_or_default();
        self.paced = Paced::new(self.rates.borrow_and_update().meters(self.client), rest);
    }
}

impl Paced {
    /// `None`: nothing is metered, and nothing of a piece is left.
    fn new(meters: Vec<Meter>, rest: Bytes) -> Option<Box<Self>> {
        let piece = meters.iter().map(Meter::piece).min();
        let piece = piece.or((!rest.is_empty()).then_some(u64::MAX))?;
        Some(Box::new(Self { meters, piece, taken: 0, waits: None, rest }))
    }

    /// Ready when a piece may go of the body, of which at most `left` bytes are to come.
    fn poll_turn(&mut self, left: u64, brake: &Brake, hit: &LimitsHit, cx: &mut Context<'_>) -> Poll<()> {
        if self.taken == 0 && left > 0 {
            let (now, bytes) = (Instant::now(), self.piece.min(left));
            let there = self.meters.iter_mut().map(|meter| meter.take(bytes, now, hit)).max();
            self.taken = bytes;
            self.waits = there.filter(|there| *there > now).map(|there| {
                brake.holds(there);
                Box::pin(sleep_until(there))
            });
        }
        if let Some(timer) = &mut self.waits {
            ready!(timer.as_mut().poll(cx));
            self.waits = None;
        }
        Poll::Ready(())
    }

    /// As much of `rest` as may go.
    fn cut(&mut self) -> Bytes {
        let length = self.rest.len().min(usize::try_from(self.taken).unwrap_or(usize::MAX));
        self.taken -= length as u64;
        self.rest.split_to(length)
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        let unused = self.taken;
        self.meters.iter_mut().for_each(|meter| meter.give_back(unused));
    }
}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> Body for ThroughputBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // Whoever changed the rates is gone at the end only.
        if self.rates.has_changed().unwrap_or(false) {
            self.renew();
        }
        let left = self.size_hint().upper().unwrap_or(u64::MAX);
        let Self { inner, paced, brake, hit, .. } = &mut *self;
        let Some(paced) = paced else { return Pin::new(inner).poll_frame(cx) };
        ready!(paced.poll_turn(left, brake, hit, cx));
        if paced.rest.is_empty() {
            let frame = ready!(Pin::new(inner).poll_frame(cx));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => paced.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(paced.cut()))))
    }

    fn is_end_stream(&self) -> bool {
        self.paced.as_ref().is_none_or(|paced| paced.rest.is_empty()) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.paced.as_ref().map_or(0, |paced| paced.rest.len() as u64);
        let mut hint = self.inner.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
