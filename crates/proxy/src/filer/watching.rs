//! Asks every filer once a second whether it still looks entries up, whoever is asked by clients.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::{client::FilerClient, line::Filer};
use crate::pb;

/// How long after an answer it is asked again.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long it may take before it is asked over another connection.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long the other connection may take before the filer loses its place.
const PATIENCE_ANEW: Duration = Duration::from_secs(1);
/// How long both together are waited for in the end.
const LONGEST: Duration = Duration::from_secs(5);

impl FilerClient {
    /// Watches all filers, side by side, until it is dropped: one that hangs loses its place, one that is back may be asked
    /// again, and a connection that stands still is replaced.
    pub async fn watch(&self) {
        join_all((0..self.count()).map(|index| self.watch_one(index))).await;
    }

    async fn watch_one(&self, index: usize) {
        loop {
            let answers = self.look(index).await;
            self.stands(index, answers);
            if answers {
                self.learn_from(index).await;
            }
            sleep(INTERVAL).await;
        }
    }

    /// Whether a lookup works at filer `index`.
    async fn look(&self, index: usize) -> bool {
        let filer = self.filer(index);
        let line = filer.line();
        let mut first = std::pin::pin!(line.answers());
        if let Ok(answered) = timeout(PATIENCE, &mut first).await {
            return said(filer, answered);
        }
        // Is it the filer that hangs, or the connection?
        let another = filer.another_line();
        let second = async {
            let mut second = std::pin::pin!(another.answers());
            match timeout(PATIENCE_ANEW, &mut second).await {
                Ok(answered) => answered,
                Err(_) => {
                    self.stands(index, false);
                    second.await
                }
            }
        };
        let either = async {
            tokio::select! {
                Ok(()) = &mut first => (Ok(()), false),
                answered = second => (answered, true),
            }
        };
        match timeout(LONGEST, either).await {
            Ok((Ok(()), anew)) => {
                if anew {
                    tracing::warn!(
                        filer = filer.grpc_authority,
                        "the connection to the filer stands still; another one is used"
                    );
                    filer.replace(another);
                }
                true
            }
            Ok((answered, _)) => said(filer, answered),
            Err(_) => false,
        }
    }

    /// Asks the filers what they have not told yet: which stores they have, and where buckets are.
    pub(crate) async fn learn(&self) {
        join_all((0..self.count()).map(|index| self.learn_from(index))).await;
    }

    /// Asks a filer, once over each connection: it is another one, perhaps.
    async fn learn_from(&self, index: usize) {
        let (filer, signature) = (self.filer(index), self.signature(index));
        let connections = filer.connections();
        if signature.of(connections).is_some() {
            return;
        }
        let asked = filer.call("GetFilerConfiguration", pb::GetFilerConfigurationRequest {});
        let told: Result<Result<pb::GetFilerConfigurationResponse, Status>, _> = timeout(PATIENCE, asked).await;
        if let Ok(Ok(told)) = told {
            signature.set(told.signature, connections);
            self.buckets().tell(index, self.http_name(index), &told.dir_buckets);
        }
    }
}

fn said(filer: &Filer, answered: Result<(), Status>) -> bool {
    if let Err(status) = &answered {
        tracing::debug!(filer = filer.grpc_authority, code = ?status.code(), said = status.message(), "the filer looks nothing up");
    }
    answered.is_ok()
}
