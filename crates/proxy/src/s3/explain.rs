//! Which way a GET of an object would take, for a person who asks.
//!
//! Knows what the read itself goes by. Asks no gateway, for nobody has signed the question.

use std::sync::Arc;

use http::Request;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    object,
    target::{Host, Target},
    way::{self, Question, RelayReason},
};
use crate::read::Stages;

/// What the slashes of a key or a path stand between.
pub(crate) const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// The way of a plain GET.
pub(crate) struct Explanation {
    /// Where the filer has the object.
    pub(crate) path: String,
    /// One sentence.
    pub(crate) way: String,
}

/// Explains `bucket/key` or `bucket/key?versionId=id`, not encoded.
///
/// # Errors
/// A sentence, where that names no object.
pub(crate) async fn explain(stages: &Arc<Stages>, name: &str) -> Result<Explanation, String> {
    let (name, version) = match name.rsplit_once("?versionId=") {
        Some((name, version)) => (name, Some(version)),
        None => (name, None),
    };
    let raw = format!("/{}", utf8_percent_encode(name, &ENCODED));
    let folder = stages.source.filer.buckets().get();
    let folder = folder.ok_or("no filer says where buckets are, or they do not agree")?;
    let target = Target::of(&folder, &Host::PathStyle, &raw)
        .ok_or_else(|| format!("s3://{name}: {}, so the S3 gateway answers", RelayReason::Target.sentence()))?;
    let query = version.map(|version| format!("?versionId={}", utf8_percent_encode(version, &ENCODED)));
    let uri = raw + query.as_deref().unwrap_or("");
    let request = Request::get(uri).body(()).map_err(|error| error.to_string())?;
    let (request, ()) = request.into_parts();
    let path = target.path();
    match way_of(stages, &request).await {
        Ok((path, question)) => Ok(Explanation { path, way: served(question) }),
        Err(reason) => Ok(Explanation { path, way: format!("relayed to the S3 gateway: {}", reason.sentence()) }),
    }
}

async fn way_of(stages: &Arc<Stages>, request: &http::request::Parts) -> Result<(String, Question), RelayReason> {
    let read = way::read_of(request, false, Some(&Host::PathStyle), stages.source.filer.buckets().get().as_ref())?;
    let bucket = object::bucket(stages, &read.target).await;
    let found = object::find(stages, &read, bucket).await?;
    found.is_worth_it(None)?;
    Ok((found.path.to_string(), read.question(!bucket.has_policy)?))
}

fn served(question: Question) -> String {
    match question {
        Question::Condition => {
            "served here, once the S3 gateway has answered 304 to the client's request with If-None-Match: *"
        }
        Question::OneByte => {
            "served here, once the S3 gateway has answered 206 to the client's request with Range: bytes=0-0, \
             because the bucket has a policy"
        }
    }
    .to_owned()
}
