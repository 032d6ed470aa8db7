//! The first sound answer of two replicas: who asks a second one, and when. Knows nothing of what is made of the answer.

use std::sync::Arc;

use tokio::time::sleep;

use super::{
    FetchContext,
    replicas::{Failure, Replicas},
    request::{ByteSelection, SoundAnswer, ask},
};
use crate::{NeedleRead, servers::Attempt};

/// The first sound answer, of one replica or of two. A second one is asked when the first is late, as far as that may be
/// done, and when it stands still.
pub(crate) async fn first_answer(
    context: &FetchContext,
    replicas: &mut Replicas<'_>,
    first: Attempt,
    read: &NeedleRead,
    wanted: &ByteSelection,
) -> Result<SoundAnswer, Failure> {
    let (server, bytes) = (Arc::clone(first.server()), wanted.len_of(read));
    let mut one = std::pin::pin!(ask(context, first, read, wanted));
    if !replicas.has_another(&server) {
        return one.await;
    }
    let late = async {
        match context.servers.hedge_after(bytes) {
            Some(late) => sleep(late).await,
            None => std::future::pending().await,
        }
    };
    let mut second = tokio::select! {
        biased;
        answer = &mut one => return answer,
        () = late => replicas.hedge(&server, bytes),
        () = server.stands_still() => None,
    };
    if second.is_none() {
        // A second one is not to be had for being late. But nobody waits for one that stands still.
        second = tokio::select! {
            biased;
            answer = &mut one => return answer,
            second = async {
                server.stands_still().await;
                replicas.beside(&server, bytes).await
            } => second,
        };
    }
    let Some(second) = second else { return one.await };
    context.metrics.hedges_sent.inc();
    // Boxed, as all that hardly any fetch comes to: every fetch is moved into a task of its own.
    let mut two = Box::pin(ask(context, second, read, wanted));
    // Whoever is sound first; where one fails the other still has its time.
    let (answer, is_second) = tokio::select! {
        biased;
        answer = &mut one => (answer, false),
        answer = &mut two => (answer, true),
    };
    match (answer, is_second) {
        (Ok(asked), is_second) => {
            if is_second {
                context.metrics.hedges_won.inc();
            }
            Ok(asked)
        }
        (Err(failure), true) => {
            replicas.failed(failure);
            one.await
        }
        (Err(failure), false) => {
            replicas.failed(failure);
            two.await
        }
    }
}
