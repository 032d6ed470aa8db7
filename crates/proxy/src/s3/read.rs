//! One read of an object: found, decided about by the gateway, and served.
//!
//! Knows the order of these, and that nothing of the object is fetched before it was allowed.

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG},
    request::Parts,
};

use super::{
    S3Front,
    decision::{Decision, DecisionPoint},
    headers::{self, ObjectFacts},
    object::{self, FoundObject, Selection},
    refusal,
    version::BucketFacts,
    way::{ObjectRead, RelayReason},
};
use crate::{
    Blame,
    plan::{parts::Section, range},
    read::label,
    spans,
    wire::{Body, Peer, RequestId},
};

impl S3Front {
    /// Answers a read.
    ///
    /// # Errors
    /// The reason why the gateway shall.
    pub(super) async fn read(
        &self,
        request: &Parts,
        read: &ObjectRead<'_>,
        peer: &Peer,
    ) -> Result<Response<Body>, RelayReason> {
        let bucket = object::bucket(&self.stages, &read.target).await;
        // Where what is known does not fit the request, another version may be there by now. The gateway knows it, and whom
        // it has not allowed anything does not make us look again.
        let found = spans::during("entry", object::find(&self.stages, read, bucket)).await?;
        let selection = found.selection(request)?;
        let point = DecisionPoint {
            stages: &self.stages,
            policies: &self.policies,
            gateways: &self.gateways,
            peer,
            patience: self.decision_timeout,
            metrics: &self.metrics,
        };
        let byte = found.byte_to_ask_for(&selection);
        let decision = match spans::during("access", point.decide(request, read, bucket.has_policy, byte)).await {
            Ok(Decision::Allowed(decision)) => decision,
            Ok(Decision::Answered(answer)) => return Ok(*answer),
            Ok(Decision::Unclear(reason)) => return Err(reason),
            Err(error) => {
                let id = RequestId::of(&request.extensions);
                return Ok(refusal::of(&error, &request.method, request.uri.path(), &id));
            }
        };
        let (found, selection) = self.decided_about((found, selection), &decision, request, read, bucket).await?;
        self.served(request, read, &found, selection, &decision).await
    }

    /// That object, if it is the one that the gateway has decided about, or else the one that is there now.
    async fn decided_about(
        &self,
        (found, selection): (FoundObject, Selection),
        decision: &HeaderMap,
        request: &Parts,
        read: &ObjectRead<'_>,
        bucket: BucketFacts,
    ) -> Result<(FoundObject, Selection), RelayReason> {
        if self.is_of(decision, &found, read) {
            return Ok((found, selection));
        }
        self.stages.entries.forget(found.path.as_str());
        self.stages.entries.forget(&super::version::directory_path(&read.target));
        let found = object::find(&self.stages, read, bucket).await?;
        let selection = found.selection(request)?;
        if self.is_of(decision, &found, read) { Ok((found, selection)) } else { Err(RelayReason::Stale) }
    }

    /// Whether the gateway has decided about that very object, as far as its answer tells: a 304 by the ETag only.
    fn is_of(&self, decision: &HeaderMap, found: &FoundObject, read: &ObjectRead<'_>) -> bool {
        let decided = decision.get(ETAG).and_then(|etag| etag.to_str().ok()).map(|etag| etag.trim_matches('"'));
        let is_whole = decision.contains_key(CONTENT_RANGE);
        let tells = |object| headers::tells_of(decision, &object, &read.query, &self.stages.types);
        decided.is_some() && decided == found.etag.as_deref() && (!is_whole || found.facts().is_ok_and(tells))
    }

    async fn served(
        &self,
        request: &Parts,
        read: &ObjectRead<'_>,
        found: &FoundObject,
        selection: Selection,
        decision: &HeaderMap,
    ) -> Result<Response<Body>, RelayReason> {
        let path = &found.path;
        let object = found.facts()?;
        let ObjectFacts { entry, file, .. } = object;
        let size = file.size;
        let (status, section) = match &selection.range {
            None => (StatusCode::OK, 0..size),
            Some(range) => (StatusCode::PARTIAL_CONTENT, range.clone()),
        };
        let mut headers = headers::of_object(&object, decision, &request.headers, &read.query, &self.stages.types);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(section.end - section.start));
        if selection.range.is_some()
            && let Ok(value) = HeaderValue::try_from(range::content_range(&section, size))
        {
            headers.insert(CONTENT_RANGE, value);
        }
        let sections = [Section::File(section)];
        let body = self.stages.body(path, entry, file, selection.customer, &sections, &request.extensions).await;
        let body = body.map_err(|error| {
            tracing::debug!(path = path.as_str(), blame = error.blame().as_str(), "left to the S3 gateway: {error}");
            if error.blame() == Blame::Volume {
                // It may have been overwritten.
                self.stages.entries.forget(path.as_str());
            }
            RelayReason::Failed
        })?;
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response.extensions_mut().insert(label(file.layout.scheme));
        self.metrics.served();
        Ok(response)
    }
}
