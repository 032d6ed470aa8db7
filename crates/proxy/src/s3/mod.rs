//! The S3 front: what a signed request for an object may be answered with, once the S3 gateway has allowed it.
//!
//! Knows how S3 names objects, how requests are signed, and what the gateway's answers prove. Verifies no signature and reads
//! no policy: the gateway decides anew about every request, before a byte is fetched, and no decision is kept. Must not know
//! how a body is made: `read` does that for every front.

mod decision;
pub(crate) mod explain;
mod forwarding;
pub(crate) mod gateways;
mod headers;
mod object;
mod policy;
mod probe;
mod query;
mod read;
mod refusal;
mod signed;
mod target;
mod version;
pub(crate) mod way;
mod writes;

use std::{sync::Arc, time::Duration};

use http::{Method, Request, Response};
use http_body::Body as _;

pub(crate) use self::{gateways::Gateways, policy::Policies};
use self::{target::Host, way::RelayReason, writes::WriteScope};
use crate::{
    Error,
    filer::BucketsFolder,
    metrics,
    read::Stages,
    wire::{Body, Front, Peer, RequestBody, RequestId},
};

/// The front that S3 clients ask in the gateway's place.
pub(crate) struct S3Front {
    pub(crate) stages: Arc<Stages>,
    pub(crate) gateways: Arc<Gateways>,
    pub(crate) policies: Policies,
    /// How long a decision may take.
    pub(crate) decision_timeout: Duration,
    pub(crate) metrics: Arc<metrics::S3>,
}

impl Front for S3Front {
    type Body = Body;

    async fn handle(&self, request: Request<RequestBody>, peer: Peer) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        if let Err(error) = forwarding::prepare(&mut parts, &peer) {
            return refusal::of(&error, &parts.method, parts.uri.path(), &RequestId::of(&parts.extensions));
        }
        let host = match way::host(&parts) {
            Some(host) => self.gateways.reading(host).await,
            None => None,
        };
        let folder = self.stages.source.filer.buckets().get();
        let answer = match way::read_of(&parts, !body.is_end_stream(), host.as_ref(), folder.as_ref()) {
            Ok(read) => Box::pin(self.read(&parts, &read, &peer)).await,
            Err(reason) => Err(reason),
        };
        match answer {
            Ok(answer) => answer,
            Err(reason) => {
                let reading = host.as_ref().zip(folder.as_ref());
                self.relayed(Request::from_parts(parts, body), reading, reason, &peer).await
            }
        }
    }

    fn refusal(&self, error: &Error, method: &Method, path: &str, id: &RequestId) -> Response<Body> {
        refusal::of(error, method, path, id)
    }
}

impl S3Front {
    /// The gateway's own answer.
    async fn relayed(
        &self,
        request: Request<RequestBody>,
        reading: Option<(&Host, &BucketsFolder)>,
        reason: RelayReason,
        peer: &Peer,
    ) -> Response<Body> {
        self.metrics.relayed(reason.as_str());
        let (parts, body) = request.into_parts();
        let (method, resource) = (parts.method.clone(), parts.uri.path().to_owned());
        let id = RequestId::of(&parts.extensions);
        let written = WriteScope::by(&parts, reading);
        match Box::pin(self.gateways.relay(Request::from_parts(parts, body), peer)).await {
            Ok(answer) => {
                // Whoever reads after this answer reads what was written.
                if answer.status().is_success() {
                    written.forget(&self.stages.entries);
                }
                answer
            }
            Err(error) => refusal::of(&error, &method, &resource, &id),
        }
    }
}
