//! The filer front: one request through all the stages, or on to the filer.
//!
//! Knows the order of the stages, and that everything that can be refused is refused before the first header goes out.
//! Must not know the inside of any stage: how an entry is found, what metadata means, how bytes are fetched or decrypted.

mod answer;
mod customer;
mod decode;
pub(crate) mod expansion;
mod failure;
mod kek;
mod left;
mod locations;
mod lookup;
mod manifest;
mod moved;
pub(crate) mod object;
mod opening;
mod origins;
mod route;
mod sealed_sizes;
mod sharing;
mod source;
mod stages;
pub(crate) mod unlock;

use std::sync::Arc;

use crypto::Scheme;
use http::{Method, Request, Response, StatusCode, header, request::Parts};

pub use self::origins::AllowedOrigins;
pub(crate) use self::{
    expansion::Expansions,
    kek::FilerKek,
    locations::VolumeLocations,
    lookup::{CachedEntry, DerivedFile, File, add_echo},
    source::Source,
    stages::{Lookups, Stages},
};
use self::{left::Left, sharing::Credentials};
use crate::{
    Blame, Error, Result,
    access::{Access, Caller, Demands, ManagedKeyPolicy},
    entries::WriteInvalidation,
    entry::{EntryPath, Kind},
    metrics::SseLabel,
    pb,
    plan::{
        conditional::{self, Outcome, Validators},
        parts::Extent,
        range::{self, Ranges},
    },
    redact,
    relay::Relay,
    spans,
    wire::{Body, Front, Peer, RequestBody, RequestId, Subject, error_response},
};

/// What the operator allows.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Whether SSE-C keys may come over plain HTTP from another host.
    pub ssec_over_http: bool,
    /// Whether shared caches may keep what is not for all.
    pub shared_caches: bool,
}

/// The front that clients ask in the filer's place.
pub struct Reader {
    pub(crate) stages: Arc<Stages>,
    pub(crate) relay: Arc<Relay>,
    pub(crate) access: Access,
    pub(crate) demands: Arc<Demands>,
    pub(crate) policy: Policy,
    pub(crate) origins: AllowedOrigins,
}

impl Front for Reader {
    type Body = Body;

    async fn handle(&self, request: Request<RequestBody>, peer: Peer) -> Response<Body> {
        let (parts, mut body) = request.into_parts();
        let id = RequestId::of(&parts.extensions);
        let mut sse = SseLabel::None;
        let mut subject = None;
        let mut read = self.read(&parts, &peer, &mut sse, &mut subject).await;
        if let Ok(Answer::Filers(Left::NotOurs(path))) = &read {
            let body = std::mem::replace(&mut body, RequestBody::none());
            let answered = Box::pin(self.not_ours(&parts, body, &peer, path, &mut sse, &mut subject)).await;
            read = answered.map(Answer::Ours);
        }
        let given = self.given(&parts, sse);
        let mut response = match read {
            Ok(Answer::Ours(response)) => response,
            Ok(Answer::Filers(left)) => {
                let method = parts.method.clone();
                let relayed = Box::pin(self.relayed(Request::from_parts(parts, body), &peer)).await;
                let relayed = match left {
                    Left::NoFile => relayed.and_then(left::of_no_file),
                    Left::Anything | Left::NotOurs(_) => relayed,
                };
                relayed.unwrap_or_else(|error| error_response(&error, &method, &id))
            }
            Err(error) => {
                let mut refusal = error_response(&error, &parts.method, &id);
                self.origins.add(refusal.headers_mut(), &parts.headers);
                refusal
            }
        };
        given.tell(response.headers_mut(), self.policy.shared_caches);
        response.extensions_mut().insert(sse);
        if let Some(subject) = subject {
            response.extensions_mut().insert(subject);
        }
        response
    }
}

impl Reader {
    /// What an answer to that request about an object so encrypted was given or refused for.
    fn given(&self, request: &Parts, sse: SseLabel) -> Credentials {
        Credentials {
            for_key: sse == SseLabel::C,
            for_token: self.access.wants_token(request),
            for_certificate: matches!(sse, SseLabel::Kms | SseLabel::S3)
                && self.access.managed_keys == ManagedKeyPolicy::Mtls,
        }
    }

    /// What the filer answers, without the keys that it may show.
    async fn relayed(&self, request: Request<RequestBody>, peer: &Peer) -> Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let shown = redact::Disclosure::to(&parts);
        let written = WriteInvalidation::by(&parts, &self.stages.entries);
        let request = Request::from_parts(parts, body);
        let answer = self.relay.forward_to_any(request, || self.stages.source.filer.http_authorities(), peer).await?;
        // Whoever reads after this answer reads what was written.
        written.answered(&answer);
        redact::redacted(shown, answer)
    }

    /// What the filer answers to a read of what was not to be served here. An encrypted file may be there when it answers: so
    /// where it answers with a file, what is there now is looked up, and served if it is a file of ours.
    async fn not_ours(
        &self,
        request: &Parts,
        mut body: RequestBody,
        peer: &Peer,
        path: &EntryPath,
        sse: &mut SseLabel,
        subject: &mut Option<Subject>,
    ) -> Result<Response<Body>> {
        for _ in 0..ROUNDS {
            let body = std::mem::replace(&mut body, RequestBody::none());
            let answer = self.relayed(Request::from_parts(request.clone(), body), peer).await?;
            if !left::is_of_file(&answer) {
                return Ok(answer);
            }
            self.stages.entries.forget(path.as_str());
            match self.lookup(path).await? {
                Some(now) if !is_ours(&now) && left::may_be_of(&answer, &now.entry) => return Ok(answer),
                _ => drop(answer),
            }
            if let Answer::Ours(response) = self.read(request, peer, sse, subject).await? {
                return Ok(response);
            }
        }
        Err(left::restless())
    }

    /// Answers a read. Says in `sse` how the object is encrypted and in `subject` who asks, as soon as either is known.
    async fn read(
        &self,
        request: &Parts,
        peer: &Peer,
        sse: &mut SseLabel,
        subject: &mut Option<Subject>,
    ) -> Result<Answer> {
        route::check_query(request)?;
        customer::check_transport(&request.headers, peer, self.policy.ssec_over_http)?;
        let caller = self.access.admit(request, peer, subject)?;
        let path = match route::read_of(request) {
            Ok(path) => path,
            Err(left) => {
                route::check_chunk(request)?;
                return Ok(Answer::Filers(left));
            }
        };
        self.origins.check(&request.headers)?;
        let Some(known) = spans::during("entry", self.lookup(&path)).await? else {
            return Ok(self.absent(request, path));
        };
        match self.entry(request, caller, &path, &known, sse).await {
            // A file that was overwritten meanwhile has lost its chunks. Nothing was sent yet, so it is the new one's turn.
            Err(error) if error.blame() == Blame::Volume => {
                self.stages.entries.forget(path.as_str());
                match self.lookup(&path).await? {
                    Some(again) if again.entry == known.entry => Err(error),
                    Some(again) => Box::pin(self.entry(request, caller, &path, &again, sse)).await,
                    None => Ok(self.absent(request, path)),
                }
            }
            answered => answered,
        }
    }

    /// 404 for a path where there is nothing.
    fn absent(&self, request: &Parts, path: EntryPath) -> Answer {
        if route::may_be_upload(request) {
            return Answer::Filers(Left::NotOurs(path));
        }
        Answer::Ours(answer::not_found(request, &self.origins))
    }

    /// The entry at `path`, if readers may know of it: what the filers demand of them is asked when one has answered.
    async fn lookup(&self, path: &EntryPath) -> Result<Option<Arc<CachedEntry>>> {
        match self.stages.entry(path).await {
            Err(unreachable) if unreachable.delay().is_some() => Err(unreachable),
            found => {
                self.demands.check().await?;
                found
            }
        }
    }

    /// Answers with what is at the path.
    async fn entry(
        &self,
        request: &Parts,
        caller: Caller,
        path: &EntryPath,
        known: &CachedEntry,
        sse: &mut SseLabel,
    ) -> Result<Answer> {
        match (known.entry.kind(), &known.derived) {
            (Kind::File, Some(file)) => {
                self.file(request, caller, path, &known.entry, file, sse).await.map(Answer::Ours)
            }
            (Kind::RemoteOnly, Some(file)) if file.layout.scheme != Scheme::None => {
                if known.entry.content.is_empty() {
                    return Err(remote_and_encrypted(file.layout.scheme));
                }
                // A remote store has it too.
                self.file(request, caller, path, &known.entry, file, sse).await.map(Answer::Ours)
            }
            // A link has no bytes; a directory is listed. The filer does both, and fetches what is in a remote store, where
            // nothing is encrypted by SeaweedFS.
            _ => Ok(Answer::Filers(Left::NotOurs(path.clone()))),
        }
    }

    async fn file(
        &self,
        request: &Parts,
        caller: Caller,
        path: &EntryPath,
        entry: &pb::Entry,
        file: &File,
        sse: &mut SseLabel,
    ) -> Result<Response<Body>> {
        // How it is encrypted.
        let layout = &file.layout;
        *sse = label(layout.scheme);

        // Whether this caller may have it. What one may not read, a 304, 412 or 416 does not describe either.
        self.access.managed_keys.check(layout.scheme, caller)?;
        let customer = unlock::customer_key(layout, &request.headers)?;

        // What is asked for, and whether it exists.
        let validators = Validators { etag: file.etag.as_deref(), modified: entry.modified() };
        let ranged = match conditional::evaluate(&request.headers, validators) {
            Outcome::NotModified => {
                return Ok(answer::bare(StatusCode::NOT_MODIFIED, entry, &request.headers, &self.origins));
            }
            Outcome::PreconditionFailed => {
                return Ok(answer::bare(StatusCode::PRECONDITION_FAILED, entry, &request.headers, &self.origins));
            }
            Outcome::Proceed { range } => range && request.method == Method::GET,
        };
        let size = file.size;
        let mut headers = answer::of_file(file, entry, request, &self.stages.types, &self.origins);
        let asked = request.headers.get(header::RANGE).filter(|_| ranged);
        let extent = match range::parse(asked, size) {
            Ranges::Whole => Extent::Whole,
            Ranges::Some(ranges) => Extent::of(ranges, size),
            Ranges::Unsatisfiable => return Ok(answer::unsatisfiable(headers, Some(size))),
            Ranges::Malformed => return Ok(answer::unsatisfiable(headers, None)),
        };

        if request.method == Method::HEAD {
            return Ok(answer::head(headers, size));
        }

        // The bytes: planned, keys opened, the first of them here.
        let (status, sections) = answer::add_extent(&mut headers, entry, &extent, size, &self.stages.types);
        let body = self.stages.body(path, entry, file, customer, &sections, &request.extensions).await?;
        Ok(answer::with_body(status, headers, body))
    }
}

/// Who answers a read.
enum Answer {
    /// It was answered here.
    Ours(Response<Body>),
    /// The filer shall, for that reason.
    Filers(Left),
}

/// How often is looked anew at what changes while the filer answers.
const ROUNDS: usize = 3;

/// Whether what is at a path is served here, or refused.
fn is_ours(known: &CachedEntry) -> bool {
    match known.entry.kind() {
        Kind::File => true,
        Kind::RemoteOnly => known.derived.as_ref().is_some_and(|file| file.layout.scheme != Scheme::None),
        Kind::Directory | Kind::Symlink | Kind::Special => false,
    }
}

/// The label of the metrics for a scheme.
pub(crate) fn label(scheme: Scheme) -> SseLabel {
    match scheme {
        Scheme::None => SseLabel::None,
        Scheme::C => SseLabel::C,
        Scheme::Kms => SseLabel::Kms,
        Scheme::S3 => SseLabel::S3,
    }
}

fn remote_and_encrypted(scheme: Scheme) -> Error {
    let message = format!(
        "the object is in a remote store only, and recorded as encrypted (sse {}); cache it in the cluster first",
        scheme.as_str()
    );
    Error::new(Blame::Filer, StatusCode::NOT_IMPLEMENTED, message)
}
