//! One of the rates that a body is held to.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    metrics::{Limit, LimitsHit},
    peers::{Bucket, Buckets, Rate},
};

/// A body goes in pieces of what may go in this time, so that a slow one is not still for long.
const PIECE: Duration = Duration::from_millis(50);
/// But of no fewer bytes than this: each piece costs a timer.
const LEAST: u64 = 4 << 10;
/// And of no more: others are waiting.
const MOST: u64 = 64 << 10;

/// Where the tokens of a body come from.
pub(super) enum Tokens {
    All(Arc<Mutex<Bucket>>),
    Peer(Arc<Buckets>, IpAddr),
    One(Bucket),
}

/// A rate that a body is held to.
pub(super) struct Meter {
    limit: Limit,
    rate: Rate,
    tokens: Tokens,
    /// The body had to wait, and that was counted.
    counted: bool,
}

impl Meter {
    pub(super) fn new(limit: Limit, rate: Rate, tokens: Tokens) -> Self {
        Self { limit, rate, tokens, counted: false }
    }

    /// How many bytes are taken at a time, at most.
    pub(super) fn piece(&self) -> u64 {
        self.rate.tokens_in(PIECE).clamp(LEAST, MOST)
    }

    /// Takes so many bytes, and answers when they may go.
    pub(super) fn take(&mut self, bytes: u64, now: Instant, hit: &LimitsHit) -> Instant {
        let there = match &mut self.tokens {
            Tokens::All(bucket) => {
                bucket.lock().unwrap_or_else(PoisonError::into_inner).take_ahead(now, self.rate, bytes)
            }
            Tokens::Peer(buckets, address) => buckets.take_ahead(*address, now, bytes),
            Tokens::One(bucket) => bucket.take_ahead(now, self.rate, bytes),
        };
        if there > now && !std::mem::replace(&mut self.counted, true) {
            hit.count(self.limit);
        }
        there
    }

    /// So many that were taken do not go.
    pub(super) fn give_back(&mut self, bytes: u64) {
        match &mut self.tokens {
            Tokens::All(bucket) => {
                bucket.lock().unwrap_or_else(PoisonError::into_inner).give_back(self.rate, bytes);
            }
            Tokens::Peer(buckets, address) => buckets.give_back(*address, bytes),
            Tokens::One(bucket) => bucket.give_back(self.rate, bytes),
        }
    }
}
