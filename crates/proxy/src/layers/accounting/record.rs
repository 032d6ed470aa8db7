//! One answer on its way into the counters.

use std::sync::Arc;

use http::StatusCode;
use tokio::time::Instant;

use crate::{
    layers::watched::{End, Watch},
    metrics::{MethodLabel, Requests, SseLabel},
};

/// One request on its way into the counters. It goes there when its body ends.
pub(crate) struct Record {
    pub(super) requests: Arc<Requests>,
    pub(super) method: MethodLabel,
    pub(super) status: StatusCode,
    pub(super) sse: SseLabel,
    pub(super) started: Instant,
    pub(super) begun: bool,
}

impl Record {
    fn first_byte(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            self.requests.by_sse(self.sse).first_byte.observe(self.started.elapsed().as_secs_f64());
        }
    }
}

impl Watch for Record {
    fn sent(&mut self, bytes: u64) {
        self.first_byte();
        self.requests.by_sse(self.sse).bytes.inc_by(bytes);
    }

    fn ended(&mut self, end: End) {
        self.requests.over();
        self.requests.count(self.method, self.status, self.sse);
        let by_sse = self.requests.by_sse(self.sse);
        by_sse.duration.observe(self.started.elapsed().as_secs_f64());
        match end {
            End::Complete => self.first_byte(),
            End::Failed => by_sse.failed.inc(),
            End::Left => by_sse.left.inc(),
        }
    }
}
