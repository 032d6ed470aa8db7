//! What is answered at `/`, `/status.json` and `/status/events` of the admin listener, and to what the page needs.

use http::{
    HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, SERVER as SERVER_HEADER,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};

use super::{Board, page};
use crate::{
    server::Pages,
    wire::{Body, SERVER},
};

/// Nothing from elsewhere, nothing within the page itself, no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

impl Pages for Board {
    async fn answer(&self, method: &Method, path: &str) -> Option<Response<Body>> {
        Some(match path {
            "/" => answer("text/html; charset=utf-8", page::document(&*self.status().await)),
            "/status.json" => match serde_json::to_string(&*self.status().await) {
                Ok(json) => answer("application/json", json + "\n"),
                Err(error) => {
                    tracing::error!(%error, "the status could not be written");
                    let mut failed =
                        answer("text/plain; charset=utf-8", "the status could not be written\n".to_owned());
                    *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                    failed
                }
            },
            "/status/events" if *method == Method::HEAD => answer("text/event-stream", Body::empty()),
            "/status/events" => match self.watchers.watch() {
                Some(events) => answer("text/event-stream", events),
                None => too_many(),
            },
            "/status.css" => answer("text/css; charset=utf-8", page::STYLE.to_owned()),
            "/status.js" => answer("text/javascript; charset=utf-8", page::SCRIPT.to_owned()),
            "/status.svg" => answer("image/svg+xml", page::ICON.to_owned()),
            _ => return None,
        })
    }
}

fn too_many() -> Response<Body> {
    let mut refusal =
        answer("text/plain; charset=utf-8", "too many pages watch; close one, or load /status.json\n".to_owned());
    *refusal.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    refusal.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    refusal
}

fn answer(media_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (RESOURCE_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(SERVER_HEADER, SERVER);
    response
}
