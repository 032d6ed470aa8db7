//! How many requests there may be at a time, in all and of one client: each until its answer is out.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Either;
use pin_project_lite::pin_project;

use crate::{
    Blame, Error,
    metrics::{Limit, LimitsHit},
    peers::{Full, Slot, Slots},
    wire::{self, BoxError, Front, Layer, Peer, RequestBody, RequestId},
};

/// When who is refused may try again: some answer is out by then.
const RETRY: Duration = Duration::from_secs(1);

/// Has the front inside answer as many requests at a time as there are places.
pub(crate) struct InFlight<F> {
    front: F,
    places: Slots,
    hit: Arc<LimitsHit>,
}

impl<F> InFlight<F> {
    /// The fronts that share `places` have them together.
    pub(crate) fn new(front: F, places: Slots, hit: Arc<LimitsHit>) -> Self {
        Self { front, places, hit }
    }
}

impl<F: Front> Layer for InFlight<F> {
    type Inner = F;
    type Body = Either<InFlightBody<F::Body>, wire::Body>;

    fn inner(&self) -> &F {
        &self.front
    }

    async fn pass(&self, request: Request<RequestBody>, peer: Peer) -> Response<Self::Body> {
        let place = match self.places.take(peer.client) {
            Ok(place) => place,
            Err(full) => {
                self.hit.count(match full {
                    Full::Everywhere => Limit::Requests,
                    Full::ForPeer => Limit::RequestsPerPeer,
                });
                let id = RequestId::of(request.extensions());
                let refusal = self.front.refusal(&refused(full), request.method(), request.uri().path(), &id);
                return refusal.map(Either::Right);
            }
        };
        let response = self.front.handle(request, peer).await;
        response.map(|inner| Either::Left(InFlightBody { inner, place: Some(place) }))
    }
}

fn refused(full: Full) -> Error {
    let text = match full {
        Full::Everywhere => "there are too many requests at a time (limits.requests)",
        Full::ForPeer => "there are too many requests of this client at a time (limits.requests_per_peer)",
    };
    Error::new(Blame::Client, StatusCode::SERVICE_UNAVAILABLE, text).code("SlowDown").retry_after(RETRY)
}

pin_project! {
    /// Passes a body on as it is, and gives the place back when it has ended.
    pub(crate) struct InFlightBody<B> {
        #[pin]
        inner: B,
        place: Option<Slot>,
    }
}

impl<B: Body<Data = Bytes, Error = BoxError>> Body for InFlightBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || this.inner.is_end_stream() {
            *this.place = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::server::testing::FrontFn;

    type Limited = InFlight<FrontFn<fn(Request<RequestBody>, Peer) -> std::future::Ready<Response<wire::Body>>>>;

    /// Answers with two pieces, of which the second fails where the path is `/broken`.
    fn limited(most: usize, per_peer: usize) -> Limited {
        fn answer(request: Request<RequestBody>, _: Peer) -> std::future::Ready<Response<wire::Body>> {
            let second = if request.uri().path() == "/broken" { Err("broken".into()) } else { Ok("def".into()) };
            std::future::ready(Response::new(wire::Body::from_stream(
                Some(6),
                stream::iter([Ok("abc".into()), second]),
            )))
        }
        InFlight::new(FrontFn(answer), Slots::new(most, per_peer), LimitsHit::unread())
    }

    async fn asked(front: &Limited, path: &str, client: u8) -> Response<<Limited as Front>::Body> {
        let mut request = Request::new(RequestBody::none());
        *request.uri_mut() = path.parse().unwrap();
        front.handle(request, Peer::plain(([127, 0, 0, client], 1).into())).await
    }

    #[tokio::test]
    async fn a_request_is_in_flight_until_the_last_byte_of_its_answer() {
        let front = limited(1, 1);
        let mut first = asked(&front, "/", 1).await.into_body();
        first.frame().await.unwrap().unwrap();
        assert_eq!(asked(&front, "/", 1).await.status(), 503);
        first.frame().await.unwrap().unwrap();
        let second = asked(&front, "/", 1).await;
        assert_eq!(second.status(), 200, "the last byte is out, if the body is still there");
        drop(second);
        let mut third = asked(&front, "/broken", 1).await.into_body();
        third.frame().await.unwrap().unwrap();
        assert!(third.frame().await.unwrap().is_err());
        assert_eq!(asked(&front, "/", 1).await.status(), 200, "it broke off");
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_its_client_has_gone() {
        let front = limited(1, 1);
        let mut left = asked(&front, "/", 1).await.into_body();
        left.frame().await.unwrap().unwrap();
        drop(left);
        assert_eq!(asked(&front, "/", 1).await.status(), 200);
        let unanswered = InFlight::new(
            FrontFn(|_, _| std::future::pending::<Response<wire::Body>>()),
            front.places.clone(),
            LimitsHit::unread(),
        );
        let mut asking =
            Box::pin(unanswered.handle(Request::new(RequestBody::none()), Peer::plain(([127, 0, 0, 1], 1).into())));
        assert!(futures_util::poll!(asking.as_mut()).is_pending());
        assert_eq!(asked(&front, "/", 1).await.status(), 503, "fronts that share places have them together");
        drop(asking);
        assert_eq!(asked(&front, "/", 1).await.status(), 200);
    }

    #[tokio::test]
    async fn who_is_refused_is_told_when_to_try_again_and_by_which_limit() {
        let front = limited(2, 1);
        let first = asked(&front, "/", 1).await;
        let refused = asked(&front, "/", 1).await;
        assert_eq!(refused.headers()["retry-after"], "1");
        let text = refused.into_body().collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.contains("limits.requests_per_peer") && text.contains(r#""code":"SlowDown""#), "{text}");
        let other = asked(&front, "/", 2).await;
        assert_eq!(other.status(), 200, "of another client");
        assert_eq!(asked(&front, "/", 3).await.status(), 503);
        let counted = [Limit::Requests, Limit::RequestsPerPeer].map(|limit| front.hit.counted(limit));
        assert_eq!(counted, [1, 1]);
        drop((first, other));
    }
}
