//! One decision of the gateway: the client's own request with one header more, and what the answer proves.
//!
//! Knows both questions and their answers. Must not know the object that is asked for.

use std::{sync::Arc, time::Duration};

use futures_util::future::join;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Limited};
use tokio::time::timeout;

use super::{
    Gateways, Policies,
    gateways::is_tried,
    way::{ObjectRead, Question, RelayReason},
};
use crate::{
    Blame, Error, Result,
    metrics::{self, S3Outcome},
    read::Stages,
    wire::{Body, Peer, RequestBody},
};

/// What the gateway said.
pub(super) enum Decision {
    /// The client may have the object. With the headers of the answer.
    Allowed(HeaderMap),
    /// This is the answer, whatever it says: the client's own request would have had it, too.
    Answered(Box<Response<Body>>),
    /// The answer is about the question, and not about the request: only the request itself can tell.
    Unclear(RelayReason),
}

/// Who is asked.
pub(super) struct DecisionPoint<'a> {
    pub(super) stages: &'a Arc<Stages>,
    pub(super) policies: &'a Policies,
    pub(super) gateways: &'a Gateways,
    pub(super) peer: &'a Peer,
    pub(super) patience: Duration,
    pub(super) metrics: &'a metrics::S3,
}

impl DecisionPoint<'_> {
    /// Asks whether `request`, which is the `read`, is allowed. `has_policy`: the bucket is known to have a policy, which may
    /// ask for tags. Where none is known, the filer is asked beside the gateway: what was put a moment ago is true for the
    /// gateway already, and its event may still be on the way to us.
    ///
    /// # Errors
    /// When no gateway answers, or none in time.
    pub(super) async fn decide(&self, request: &Parts, read: &ObjectRead<'_>, has_policy: bool) -> Result<Decision> {
        let question = match read.question(!has_policy) {
            Ok(question) => question,
            Err(reason) => return Ok(Decision::Unclear(reason)),
        };
        if question == Question::FirstByte {
            return self.ask(request, question).await;
        }
        let (decision, has_policy) =
            join(self.ask(request, question), self.policies.has_one_now(self.stages, &read.target)).await;
        let decision = decision?;
        match &decision {
            // What the 304 of another version proves is not known.
            Decision::Allowed(answer) if has_policy || !is_tried(answer) => match read.question(false) {
                Ok(question) => self.ask(request, question).await,
                Err(reason) => Ok(Decision::Unclear(reason)),
            },
            _ => Ok(decision),
        }
    }

    async fn ask(&self, request: &Parts, question: Question) -> Result<Decision> {
        let mut asked = request.clone();
        match question {
            Question::Condition => asked.headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*")),
            Question::FirstByte => asked.headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-0")),
        };
        let timing = self.metrics.decision(question.as_str());
        let answer =
            timeout(self.patience, self.gateways.relay(Request::from_parts(asked, RequestBody::none()), self.peer));
        let decision = match answer.await {
            Ok(Ok(answer)) => understood(answer, question, request.headers.contains_key(header::RANGE)).await,
            Ok(Err(error)) => {
                timing.ended(S3Outcome::Failed);
                return Err(error);
            }
            Err(_) => {
                timing.ended(S3Outcome::Failed);
                let text = format!("no S3 gateway has decided within s3.decision_timeout, {:?}", self.patience);
                return Err(
                    Error::new(Blame::Gateway, StatusCode::GATEWAY_TIMEOUT, text).retry_after(Duration::from_secs(1))
                );
            }
        };
        timing.ended(match &decision {
            Decision::Allowed(_) => S3Outcome::Allowed,
            Decision::Answered(_) => S3Outcome::Answered,
            Decision::Unclear(_) => S3Outcome::Unclear,
        });
        Ok(decision)
    }
}

/// What an answer means to a question. `had_range`: the client's own request has a range.
async fn understood(answer: Response<Body>, question: Question, had_range: bool) -> Decision {
    match (question, answer.status()) {
        (Question::Condition, StatusCode::NOT_MODIFIED) => Decision::Allowed(answer.into_parts().0.headers),
        (Question::FirstByte, StatusCode::PARTIAL_CONTENT) => {
            let (parts, body) = answer.into_parts();
            // Read to its end, so that the connection can be used again.
            match Limited::new(body, 1).collect().await {
                Ok(_) => Decision::Allowed(parts.headers),
                Err(_) => Decision::Unclear(RelayReason::Failed),
            }
        }
        // An empty object has no first byte.
        (Question::FirstByte, StatusCode::RANGE_NOT_SATISFIABLE) => Decision::Unclear(RelayReason::Range),
        // Whoever does not heed one range may heed another.
        (Question::FirstByte, status) if had_range && status.is_success() => Decision::Unclear(RelayReason::Range),
        _ => Decision::Answered(Box::new(answer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn means(question: Question, status: u16, had_range: bool) -> &'static str {
        let mut answer = Response::new(Body::full("x"));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        match understood(answer, question, had_range).await {
            Decision::Allowed(_) => "allowed",
            Decision::Answered(_) => "answered",
            Decision::Unclear(_) => "unclear",
        }
    }

    #[tokio::test]
    async fn only_the_expected_answer_allows() {
        assert_eq!(means(Question::Condition, 304, false).await, "allowed");
        assert_eq!(means(Question::FirstByte, 206, true).await, "allowed");
        for status in [200, 206, 301, 403, 404, 412, 416, 500, 503] {
            assert_eq!(means(Question::Condition, status, true).await, "answered", "{status}");
        }
        for status in [304, 403, 404, 412, 500, 503] {
            assert_eq!(means(Question::FirstByte, status, true).await, "answered", "{status}");
        }
        assert_eq!(means(Question::FirstByte, 200, false).await, "answered");
        assert_eq!(means(Question::FirstByte, 200, true).await, "unclear");
        assert_eq!(means(Question::FirstByte, 416, false).await, "unclear");
    }
}
