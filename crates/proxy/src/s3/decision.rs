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
    /// gateway already, and its event may still be on the way to us. `byte`: the one to ask for, where it must be one.
    ///
    /// # Errors
    /// When no gateway answers, or none in time.
    pub(super) async fn decide(
        &self,
        request: &Parts,
        read: &ObjectRead<'_>,
        has_policy: bool,
        byte: u64,
    ) -> Result<Decision> {
        let question = match read.question(!has_policy) {
            Ok(question) => question,
            Err(reason) => return Ok(Decision::Unclear(reason)),
        };
        if question == Question::OneByte {
            return self.ask(request, question, byte).await;
        }
        let (decision, has_policy) =
            join(self.ask(request, question, byte), self.policies.has_one_now(self.stages, &read.target)).await;
        let decision = decision?;
        match &decision {
            // What the 304 of another version proves is not known.
            Decision::Allowed(answer) if has_policy || !is_tried(answer) => match read.question(false) {
                Ok(question) => self.ask(request, question, byte).await,
                Err(reason) => Ok(Decision::Unclear(reason)),
            },
            _ => Ok(decision),
        }
    }

    async fn ask(&self, request: &Parts, question: Question, byte: u64) -> Result<Decision> {
        let timing = self.metrics.decision(question.as_str());
        let asked = Request::from_parts(asking(request, question, byte), RequestBody::none());
        let had_range = request.headers.contains_key(header::RANGE);
        let decision = heard(self.gateways.relay(asked, self.peer), question, had_range, self.patience).await;
        timing.ended(match &decision {
            Ok(Decision::Allowed(_)) => S3Outcome::Allowed,
            Ok(Decision::Answered(_)) => S3Outcome::Answered,
            Ok(Decision::Unclear(_)) => S3Outcome::Unclear,
            Err(_) => S3Outcome::Failed,
        });
        decision
    }
}

/// The client's own request, as a question.
fn asking(request: &Parts, question: Question, byte: u64) -> Parts {
    let mut asked = request.clone();
    match question {
        Question::Condition => drop(asked.headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"))),
        Question::OneByte => {
            if let Ok(range) = HeaderValue::try_from(format!("bytes={byte}-{byte}")) {
                asked.headers.insert(header::RANGE, range);
            }
        }
    }
    asked
}

/// What is answered within that time.
///
/// # Errors
/// When nobody answers. Of a question that reads a byte that is no answer to the request: what keeps the byte may hang, and
/// not the gateway.
async fn heard(
    answer: impl Future<Output = Result<Response<Body>>>,
    question: Question,
    had_range: bool,
    patience: Duration,
) -> Result<Decision> {
    let heard = timeout(patience, async { Ok(understood(answer.await?, question, had_range).await) });
    heard.await.unwrap_or_else(|_| match question {
        Question::OneByte => Ok(Decision::Unclear(RelayReason::Failed)),
        Question::Condition => {
            let text = format!("no S3 gateway has decided within s3.decision_timeout, {patience:?}");
            Err(Error::new(Blame::Gateway, StatusCode::GATEWAY_TIMEOUT, text).retry_after(Duration::from_secs(1)))
        }
    })
}

/// What an answer means to a question. `had_range`: the client's own request has a range.
async fn understood(answer: Response<Body>, question: Question, had_range: bool) -> Decision {
    match (question, answer.status()) {
        (Question::Condition, StatusCode::NOT_MODIFIED) => Decision::Allowed(answer.into_parts().0.headers),
        (Question::OneByte, StatusCode::PARTIAL_CONTENT) => {
            let (parts, body) = answer.into_parts();
            // Read to its end, so that the connection can be used again.
            match Limited::new(body, 1).collect().await {
                Ok(_) => Decision::Allowed(parts.headers),
                Err(_) => Decision::Unclear(RelayReason::Failed),
            }
        }
        // An empty object has no byte, and one that was replaced may not have this one.
        (Question::OneByte, StatusCode::RANGE_NOT_SATISFIABLE) => Decision::Unclear(RelayReason::Range),
        // Whoever does not heed one range may heed another.
        (Question::OneByte, status) if had_range && status.is_success() => Decision::Unclear(RelayReason::Range),
        // That byte could not be read, which says nothing of the others. Who has too much to do is not asked twice.
        (Question::OneByte, status) if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE => {
            Decision::Unclear(RelayReason::Failed)
        }
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
        assert_eq!(means(Question::OneByte, 206, true).await, "allowed");
        for status in [200, 206, 301, 403, 404, 412, 416, 500, 503] {
            assert_eq!(means(Question::Condition, status, true).await, "answered", "{status}");
        }
        for status in [304, 403, 404, 412, 429, 503] {
            assert_eq!(means(Question::OneByte, status, true).await, "answered", "{status}");
        }
        assert_eq!(means(Question::OneByte, 200, false).await, "answered");
        assert_eq!(means(Question::OneByte, 200, true).await, "unclear");
        assert_eq!(means(Question::OneByte, 416, false).await, "unclear");
    }

    /// A byte that cannot be read says nothing of those that the client wants, nor of what the gateway would do without it.
    #[tokio::test]
    async fn a_byte_that_cannot_be_read_is_no_answer_to_the_request() {
        for had_range in [false, true] {
            for status in [500, 502, 504] {
                assert_eq!(means(Question::OneByte, status, had_range).await, "unclear", "{status}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_that_does_not_come_in_time_is_no_answer_to_the_request() {
        let never = || std::future::pending::<Result<Response<Body>>>();
        let patience = Duration::from_secs(10);
        let decision = heard(never(), Question::OneByte, true, patience).await;
        assert!(matches!(decision, Ok(Decision::Unclear(RelayReason::Failed))));
        let error = heard(never(), Question::Condition, true, patience).await.err().unwrap();
        assert_eq!(error.status(), StatusCode::GATEWAY_TIMEOUT);
    }

    /// Its head may come, and not the byte.
    #[tokio::test(start_paused = true)]
    async fn a_byte_that_is_announced_is_not_waited_for_without_end() {
        let answer = async {
            let body = Body::from_stream(Some(1), futures_util::stream::pending());
            let mut answer = Response::new(body);
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            Ok(answer)
        };
        let decision = heard(answer, Question::OneByte, true, Duration::from_secs(10)).await;
        assert!(matches!(decision, Ok(Decision::Unclear(RelayReason::Failed))));
    }

    #[test]
    fn a_question_is_the_clients_request_with_one_header_more() {
        let (request, ()) =
            Request::get("/b/k").header("range", "bytes=7-9").header("a", "b").body(()).unwrap().into_parts();
        let asked = asking(&request, Question::OneByte, 5);
        assert_eq!(asked.headers[header::RANGE], "bytes=5-5");
        assert_eq!((&asked.headers["a"], asked.headers.len()), (&HeaderValue::from_static("b"), 2));
        let asked = asking(&request, Question::Condition, 5);
        assert_eq!((&asked.headers[header::RANGE], asked.headers.len()), (&HeaderValue::from_static("bytes=7-9"), 3));
        assert_eq!(asked.headers[header::IF_NONE_MATCH], "*");
    }
}
