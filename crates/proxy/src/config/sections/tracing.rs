//! `[tracing]`

use http::Uri;

use crate::{
    config::{declare::section, scope::Scope},
    settings::Error,
};

section! {
    /// Spans of requests for an OpenTelemetry collector; see [logging](logging.md#traces). Only where tidegate was built with
    /// the feature `otlp`.
    pub struct Tracing {
        /// The collector, which takes OTLP over gRPC there: `http://host:port`. Without one there are no spans.
        endpoint: Option<String>, restart;
        /// One of so many requests is recorded. Where a trusted proxy tells in `traceparent` whether it is, that counts.
        sample: u32 = "100", min "1", max "1000000", restart;
    }
    check = whole;
}

fn whole(tracing: Tracing, scope: &Scope<'_>) -> Result<Tracing, Error> {
    let Some(endpoint) = &tracing.endpoint else { return Ok(tracing) };
    if !cfg!(feature = "otlp") {
        return Err(scope.error("endpoint", "cannot be used: this tidegate was built without the feature otlp"));
    }
    // No password and no token: the endpoint is shown.
    let is_address = |uri: &Uri| {
        let is_bare = uri.path_and_query().is_none_or(|path| path == "/") && !endpoint.contains('@');
        uri.scheme_str() == Some("http") && uri.port().is_some() && is_bare
    };
    match endpoint.parse().ok().filter(is_address) {
        Some(_) => Ok(tracing),
        None => Err(scope.error("endpoint", "is not http://host:port; name a collector on this network")),
    }
}
