//! One request to one server, from the choice of the server to the last byte. Whatever becomes of it, the server's load,
//! pace and standing are told when it ends or is dropped.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::Instant;

use super::{bodies::StandingBody, places::Place, server::Server, standing::Event};
use crate::{outcome::Outcome, urgency::Priority};

/// A server that was chosen.
pub(crate) struct Attempt {
    server: Arc<Server>,
    /// Whether it finds out if the server is back.
    is_probe: bool,
    place: Option<Place>,
    /// Since when it is sent, until the answer begins.
    waits_since: Option<Instant>,
    is_reported: bool,
}

impl Attempt {
    pub(super) fn new(server: Arc<Server>) -> Self {
        let is_probe = server.chosen();
        Self { server, is_probe, place: None, waits_since: None, is_reported: false }
    }

    /// The server.
    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Its address.
    pub(crate) fn authority(&self) -> &Arc<str> {
        &self.server.authority
    }

    /// Waits for a place at the server, for a request of `bytes`.
    pub(crate) async fn place(&mut self, priority: &Priority, bytes: u64) {
        if self.place.is_none() {
            let place = self.server.places.admit(priority, bytes).await;
            self.has_place(place);
        }
    }

    /// Waits for a place at the server, unless it is set aside or stands still before there is one: then `false`.
    pub(crate) async fn place_unless_set_aside(&mut self, priority: &Priority, bytes: u64) -> bool {
        let place = tokio::select! {
            biased;
            place = self.server.places.admit(priority, bytes) => place,
            () = self.server.leaves() => return false,
        };
        self.has_place(place);
        true
    }

    /// Takes a place if one is free and nobody waits for it.
    pub(crate) fn try_place(&mut self, priority: &Priority, bytes: u64) -> bool {
        if self.server.places.has_room()
            && let Some(place) = self.server.places.admit(priority, bytes).now_or_never()
        {
            self.has_place(place);
        }
        self.place.is_some()
    }

    fn has_place(&mut self, place: Place) {
        self.place = Some(place);
        self.server.sent();
    }

    /// The request is sent now.
    pub(crate) fn sent(&mut self) {
        self.waits_since = Some(Instant::now());
    }

    /// The answer begins, and is what was asked for. Gives the time that it took.
    pub(crate) fn first_byte(&mut self) -> Duration {
        let latency = self.waits_since.take().map(|since| since.elapsed()).unwrap_or_default();
        self.server.first_byte(latency);
        latency
    }

    /// More of the body came.
    pub(crate) fn heard(&self) {
        self.server.heard();
    }

    /// Its place may go to another: nothing more is to come.
    pub(crate) fn leave_place(&mut self) {
        if self.place.take().is_some() {
            self.server.no_longer_sent();
        }
    }

    /// Nothing is read of the body for a while: its place may go to another. Not for long, and of one server sixteen bodies for
    /// each place may stand so; `None`: there are so many.
    pub(crate) fn stand(&mut self) -> Option<StandingBody> {
        self.leave_place();
        self.server.bodies.stand()
    }

    /// It is over.
    pub(crate) fn ended(mut self, outcome: Outcome) {
        self.is_reported = true;
        self.waits_since = None;
        self.server.ended(outcome, self.is_probe);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(since) = self.waits_since {
            self.server.waited(since.elapsed());
        }
        if self.is_probe && !self.is_reported {
            self.server.happens(Event::Lost);
        }
        self.leave_place();
    }
}
