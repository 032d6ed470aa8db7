//! One call: the first answer of whoever may be asked.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::{client::FilerClient, hedging::STANDS_STILL, standing::becomes, status};
use crate::metrics::{FilerHedge, FilerQuestion};

impl FilerClient {
    /// Asks the filer that answers, then the next where it fails or loses its place meanwhile. One that is late has another
    /// one of the same store asked beside it. Every filer is asked once. The error is that of the last one that failed.
    pub(super) async fn call<Q, A>(&self, method: &'static str, request: Q) -> Result<A, (&str, Status)>
    where
        Q: prost::Message + Clone + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        self.savings.earn();
        let begin = Instant::now();
        let mut left: VecDeque<usize> = self.standings.borrow().order().into();
        let Some(first) = left.pop_front() else { return Err(("", Status::unavailable("there is no filer"))) };
        let ask = |index| self.call_at(index, method, request.clone());
        let mut calls = FuturesUnordered::from_iter([ask(first)]);
        let mut late = std::pin::pin!(self.is_late(first));
        let mut leaves = std::pin::pin!(self.leaves(first));
        // Whether the first one may still be found to be late, and to have lost its place.
        let (mut in_time, mut in_place) = (!left.is_empty(), !left.is_empty());
        let mut hedged = None;
        loop {
            let (index, answer) = tokio::select! {
                biased;
                Some(answered) = calls.next() => answered,
                () = &mut late, if in_time => {
                    in_time = false;
                    if let Some(second) = self.second(first, &left) {
                        left.retain(|index| *index != second);
                        calls.push(ask(second));
                        hedged = Some(second);
                        self.count_hedge(first, FilerHedge::Sent);
                    }
                    continue;
                }
                () = &mut leaves, if in_place => {
                    (in_time, in_place) = (false, false);
                    calls.extend(left.pop_front().map(ask));
                    continue;
                }
            };
            let filer = &*self.filer(index).grpc_authority;
            match answer {
                Err(status) if status::is_unreachable(&status) => {
                    self.stands(index, false);
                    tracing::debug!(filer, method, code = ?status.code(), "filer did not answer");
                    (in_time, in_place) = (false, false);
                    calls.extend(left.pop_front().map(ask));
                    if calls.is_empty() {
                        return Err((filer, status));
                    }
                }
                // What one cannot do, the other may.
                Err(status) if !calls.is_empty() && !status::is_not_found(&status) => {}
                answered => {
                    self.stands(index, true);
                    if hedged == Some(index) {
                        self.count_hedge(first, FilerHedge::Won);
                    }
                    if index != first {
                        self.latencies(first).record(begin.elapsed());
                    }
                    return answered.map_err(|status| (filer, status));
                }
            }
        }
    }

    async fn call_at<Q, A>(&self, index: usize, method: &'static str, request: Q) -> (usize, Result<A, Status>)
    where
        Q: prost::Message + Clone + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let begin = Instant::now();
        let answer = self.filer(index).call(method, request).await;
        if answer.is_ok() {
            self.latencies(index).record(begin.elapsed());
        }
        let question = match method {
            "LookupDirectoryEntry" => Some(FilerQuestion::Lookup),
            "LookupVolume" => Some(FilerQuestion::Volume),
            _ => None,
        };
        if let (Some(counted), Some(question)) = (&self.counted, question)
            && !matches!(&answer, Err(status) if status::is_unreachable(status))
        {
            counted.answered(self.http_name(index), question, begin.elapsed());
        }
        (index, answer)
    }

    /// Resolves when an answer of filer `index` is late, and a second question may be asked.
    async fn is_late(&self, index: usize) {
        let late = self.latencies(index).late();
        sleep(late).await;
        if late < STANDS_STILL && !self.savings.spend() {
            sleep(STANDS_STILL - late).await;
        }
    }

    /// Who may be asked beside a filer that is late: one that answers, and has the same store. Another store may not know yet
    /// what this one does.
    fn second(&self, late: usize, left: &VecDeque<usize>) -> Option<usize> {
        let store = self.store(late)?;
        let standings = self.standings.borrow();
        left.iter().copied().find(|index| !standings.is_away(*index) && self.store(*index) == Some(store))
    }

    fn count_hedge(&self, late: usize, outcome: FilerHedge) {
        if let Some(counted) = &self.counted {
            counted.hedged(self.http_name(late), outcome);
        }
    }

    fn store(&self, index: usize) -> Option<i32> {
        self.signature(index).of(self.filer(index).connections())
    }

    /// Resolves when filer `index` loses its place to another one.
    async fn leaves(&self, index: usize) {
        becomes(self.standings.subscribe(), |now| now.is_away(index) && now.preferred() != index).await;
    }
}
