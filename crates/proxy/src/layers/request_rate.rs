//! How many requests one client may make in a second.

use std::{sync::Arc, time::Duration};

use http::{Request, Response, StatusCode};
use http_body_util::Either;

use crate::{
    Blame, Error,
    metrics::{Limit, LimitsHit},
    peers::Buckets,
    wire::{self, Front, Layer, Peer, RequestBody, RequestId},
};

/// Has the front inside answer the requests for which their clients have a token.
pub(crate) struct RequestRate<F> {
    front: F,
    /// `None`: nobody needs any.
    tokens: Option<Arc<Buckets>>,
    hit: Arc<LimitsHit>,
}

impl<F> RequestRate<F> {
    /// A client has the same `tokens` for all fronts that share them.
    pub(crate) fn new(front: F, tokens: Option<Arc<Buckets>>, hit: Arc<LimitsHit>) -> Self {
        Self { front, tokens, hit }
    }
}

impl<F: Front> Layer for RequestRate<F> {
    type Inner = F;
    type Body = Either<F::Body, wire::Body>;

    fn inner(&self) -> &F {
        &self.front
    }

    async fn pass(&self, request: Request<RequestBody>, peer: Peer) -> Response<Self::Body> {
        if let Some(Err(wait)) = self.tokens.as_ref().map(|tokens| tokens.take(peer.client)) {
            self.hit.count(Limit::RequestsPerSecondPerPeer);
            let id = RequestId::of(request.extensions());
            let refusal = self.front.refusal(&refused(wait), request.method(), request.uri().path(), &id);
            return refusal.map(Either::Right);
        }
        self.front.handle(request, peer).await.map(Either::Left)
    }
}

fn refused(wait: Duration) -> Error {
    let text = "there are too many requests of this client in a second (limits.requests_per_second_per_peer)";
    Error::new(Blame::Client, StatusCode::TOO_MANY_REQUESTS, text).code("SlowDown").retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{peers::Rate, server::testing::FrontFn};

    async fn status(front: &impl Front, client: u8) -> (StatusCode, Option<String>) {
        let answer =
            front.handle(Request::new(RequestBody::none()), Peer::plain(([127, 0, 0, client], 1).into())).await;
        let retry = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (answer.status(), retry)
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_too_often_is_told_when_to_ask_again() {
        let hit = LimitsHit::unread();
        let tokens = Arc::new(Buckets::new(Rate::new(2, Duration::from_secs(1))));
        let front = FrontFn(|_, _| async { Response::new(wire::Body::empty()) });
        let front = RequestRate::new(front, Some(tokens), Arc::clone(&hit));
        for _ in 0..2 {
            assert_eq!(status(&front, 1).await, (StatusCode::OK, None));
        }
        assert_eq!(status(&front, 1).await, (StatusCode::TOO_MANY_REQUESTS, Some("1".into())));
        assert_eq!(status(&front, 2).await.0, 200);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(status(&front, 1).await.0, 200);
        assert_eq!(hit.counted(Limit::RequestsPerSecondPerPeer), 1);
    }

    #[tokio::test]
    async fn without_a_rate_nobody_is_refused() {
        let front = FrontFn(|_, _| async { Response::new(wire::Body::empty()) });
        let front = RequestRate::new(front, None, LimitsHit::unread());
        for _ in 0..100 {
            assert_eq!(status(&front, 1).await.0, 200);
        }
    }
}
