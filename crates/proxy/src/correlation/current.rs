//! The request for which a task runs. It goes with the task and not through every room between a front and whoever asks a
//! filer or a KMS.

use std::future::Future;

use http::Extensions;
use tokio::task::futures::TaskLocalFuture;

use super::{RequestId, TraceParent};

tokio::task_local! {
    static CURRENT: Option<Correlation>;
}

/// What the request is called for which something is done. Clones are cheap.
#[derive(Clone, Debug)]
pub(crate) struct Correlation {
    /// Its name.
    pub(crate) id: RequestId,
    /// Our hop of the trace that it belongs to, if somebody who is believed told of one.
    pub(crate) trace: Option<TraceParent>,
}

impl Correlation {
    /// That of a request which has its name.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        Self { id: RequestId::of(extensions), trace: extensions.get().copied() }
    }

    /// That of the request for which this is called, if it is for one.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok().flatten()
    }

    /// Has `work` done for this request.
    pub(crate) fn scope<F: Future>(self, work: F) -> TaskLocalFuture<Option<Self>, F> {
        CURRENT.scope(Some(self), work)
    }

    /// Has `work` done for `whom`, in whatever task it runs.
    pub(crate) fn scope_of<F: Future>(whom: Option<Self>, work: F) -> TaskLocalFuture<Option<Self>, F> {
        CURRENT.scope(whom, work)
    }

    /// Has `work` done for the request for which this is called.
    pub(crate) fn carried<F: Future>(work: F) -> TaskLocalFuture<Option<Self>, F> {
        CURRENT.scope(Self::current(), work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> Option<RequestId> {
        Correlation::current().map(|current| current.id)
    }

    #[tokio::test]
    async fn a_task_that_is_begun_for_a_request_knows_it_if_it_is_carried() {
        let one = Correlation::of(&Extensions::new());
        let expected = Some(one.id.clone());
        assert_eq!(id(), None);
        let seen = one.scope(async {
            let here = id();
            let carried = tokio::spawn(Correlation::carried(async { id() })).await.unwrap();
            let alone = tokio::spawn(async { id() }).await.unwrap();
            (here, carried, alone)
        });
        assert_eq!(seen.await, (expected.clone(), expected, None));
        assert_eq!(id(), None);
    }
}
