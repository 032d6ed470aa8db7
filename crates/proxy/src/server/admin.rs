//! The admin listener: metrics, liveness, readiness, and pages of somebody else's.
//!
//! Knows the registry, a question to ask about readiness, and by which names it may be asked itself. Must not know what makes
//! the daemon ready, or what pages tell.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, SERVER as SERVER_HEADER, VARY},
};
use prometheus::Registry;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{names, shutdown::Draining};
use crate::{
    config::Domain,
    metrics,
    wire::{Body, Front, Peer, RequestBody, SERVER},
};

/// Answers whether requests can be served now: `Err` says in one sentence why not.
pub trait Readiness: Send + Sync + 'static {
    /// Asks, at most once a second and for two seconds at most.
    fn check(&self) -> impl Future<Output = Result<(), String>> + Send;
}

impl<C> Readiness for C
where
    C: Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync + 'static,
{
    async fn check(&self) -> Result<(), String> {
        self().await
    }
}

/// What else there is to see at the admin listener.
pub trait Pages: Send + Sync + 'static {
    /// Answers a GET or HEAD; `None`: there is no such page.
    fn answer(&self, method: &Method, path: &str) -> impl Future<Output = Option<Response<Body>>> + Send;
}

/// There are none.
impl Pages for () {
    async fn answer(&self, _: &Method, _: &str) -> Option<Response<Body>> {
        None
    }
}

/// Answers what names there are for it now, besides `localhost` and addresses.
pub type AdminNames = Box<dyn Fn() -> Arc<[Domain]> + Send + Sync>;

/// `GET /metrics`, `/healthz` (the process answers), `/readyz` (requests can be served), and pages.
pub struct Admin<R, P> {
    registry: Registry,
    ready: Arc<CachedReadiness<R>>,
    pages: Arc<P>,
    names: AdminNames,
}

/// Whether requests can be served, found out once a second at most however many ask.
pub struct CachedReadiness<R> {
    readiness: R,
    draining: Draining,
    /// The last answer and when it came. Held while asking, so that many probes ask once.
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

/// How long an answer about readiness is used.
const FRESH: Duration = Duration::from_secs(1);
/// How long the question about readiness may take.
const PATIENCE: Duration = Duration::from_secs(2);

impl<R: Readiness, P: Pages> Admin<R, P> {
    /// Serves what is in `registry`, what `ready` says, and `pages`, to those who ask by one of `names`.
    pub fn new(registry: Registry, ready: Arc<CachedReadiness<R>>, pages: Arc<P>, names: AdminNames) -> Self {
        Self { registry, ready, pages, names }
    }

    async fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response<Body> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        // Balancers and Kubernetes ask by names of their own, and what these two say is worth nothing to anybody else.
        match uri.path() {
            "/healthz" => return text(StatusCode::OK, "ok\n"),
            "/readyz" => {
                return match self.ready.check().await {
                    Ok(()) => text(StatusCode::OK, "ok\n"),
                    Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
                };
            }
            _ => {}
        }
        if let Some(name) = names::stranger(uri, headers, &(self.names)()) {
            tracing::warn!(%name, "the admin listener was asked by a name that admin.hosts does not have");
            let told =
                format!("ask by address, or add the name that you ask by to admin.hosts: {name:?} is not in it\n");
            return text(StatusCode::MISDIRECTED_REQUEST, told);
        }
        match uri.path() {
            "/metrics" => self.metrics(headers),
            path => match self.pages.answer(method, path).await {
                Some(page) => page,
                None => text(StatusCode::NOT_FOUND, "here are /, /status.json, /metrics, /healthz and /readyz\n"),
            },
        }
    }

    fn metrics(&self, headers: &HeaderMap) -> Response<Body> {
        let accept: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        match metrics::exposition(&self.registry, &accept.join(",")) {
            Ok((format, metrics)) => {
                let mut response = text(StatusCode::OK, metrics);
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(format));
                headers.insert(VARY, HeaderValue::from_static("Accept"));
                response
            }
            Err(error) => {
                tracing::error!(%error, "the metrics could not be written");
                text(StatusCode::INTERNAL_SERVER_ERROR, format!("the metrics could not be written: {error}\n"))
            }
        }
    }
}

impl<R: Readiness> CachedReadiness<R> {
    /// What `readiness` answers, until `draining` says otherwise.
    pub fn new(readiness: R, draining: Draining) -> Arc<Self> {
        Arc::new(Self { readiness, draining, last: Mutex::new(None) })
    }

    /// Asks, where nobody has in the last second. Takes two seconds at most.
    ///
    /// # Errors
    /// In one sentence, why requests cannot be served.
    pub async fn check(&self) -> Result<(), String> {
        if self.draining.is_draining() {
            return Err("shutting down".into());
        }
        let mut last = self.last.lock().await;
        if let Some((when, answer)) = &*last
            && when.elapsed() < FRESH
        {
            return answer.clone();
        }
        let answer = timeout(PATIENCE, self.readiness.check())
            .await
            .unwrap_or_else(|_| Err(format!("the check took longer than {} s", PATIENCE.as_secs())));
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

impl<R: Readiness, P: Pages> Front for Admin<R, P> {
    type Body = Body;

    async fn handle(&self, request: Request<RequestBody>, _peer: Peer) -> Response<Body> {
        self.answer(request.method(), request.uri(), request.headers()).await
    }
}

fn text(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(SERVER_HEADER, SERVER);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use http::header::HOST;
    use http_body_util::BodyExt as _;
    use prometheus::IntCounter;

    use super::{
        super::shutdown::{Stage, Stages},
        *,
    };

    /// Says in turn what it was given, then hangs.
    struct Script(Vec<Result<(), String>>, Arc<AtomicUsize>);

    impl Readiness for Script {
        async fn check(&self) -> Result<(), String> {
            match self.0.get(self.1.fetch_add(1, Ordering::Relaxed)) {
                Some(answer) => answer.clone(),
                None => std::future::pending().await,
            }
        }
    }

    fn admin(
        script: Vec<Result<(), String>>,
    ) -> (Admin<Script, ()>, Arc<AtomicUsize>, tokio::sync::watch::Sender<Stage>) {
        let (stage, stages) = Stages::new();
        let asked = Arc::new(AtomicUsize::new(0));
        let ready = CachedReadiness::new(Script(script, asked.clone()), Draining(stages));
        let names: AdminNames = Box::new(|| ["gate.example".parse().unwrap()].into());
        let admin = Admin::new(Registry::new(), ready, Arc::new(()), names);
        (admin, asked, stage)
    }

    async fn get(admin: &Admin<Script, ()>, path: &'static str) -> (u16, String) {
        get_by(admin, "127.0.0.1:8881", path).await
    }

    async fn get_by(admin: &Admin<Script, ()>, name: &'static str, path: &'static str) -> (u16, String) {
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(name))]);
        let response = admin.answer(&Method::GET, &Uri::from_static(path), &headers).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_is_asked_once_a_second() {
        let (admin, asked, _stage) = admin(vec![Ok(()), Err("no filer answers".into())]);
        assert_eq!(get(&admin, "/readyz").await, (200, "ok\n".into()));
        assert_eq!(get(&admin, "/readyz").await, (200, "ok\n".into()));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::advance(FRESH).await;
        assert_eq!(get(&admin, "/readyz").await, (503, "no filer answers\n".into()));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_filer_is_not_waited_for() {
        let (admin, ..) = admin(vec![]);
        let started = Instant::now();
        assert_eq!(get(&admin, "/readyz").await, (503, "the check took longer than 2 s\n".into()));
        assert_eq!(started.elapsed(), PATIENCE);
    }

    #[tokio::test]
    async fn a_draining_daemon_is_alive_but_not_ready() {
        let (admin, asked, stage) = admin(vec![Ok(())]);
        stage.send_replace(Stage::Leaving);
        assert_eq!(get(&admin, "/readyz").await, (503, "shutting down\n".into()));
        assert_eq!(get(&admin, "/healthz").await, (200, "ok\n".into()));
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn metrics_come_with_help_and_type() {
        let (admin, ..) = admin(vec![]);
        let counter = IntCounter::new("drops_total", "Drops.").unwrap();
        admin.registry.register(Box::new(counter.clone())).unwrap();
        counter.inc();
        let asked = |accept| {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            let admin = &admin;
            async move {
                admin.answer(&Method::GET, &Uri::from_static("/metrics"), &headers).await.headers()[CONTENT_TYPE]
                    .clone()
            }
        };
        assert_eq!(asked("*/*").await, "text/plain; version=0.0.4");
        let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(asked("text/plain;q=0.5, application/openmetrics-text").await, open_metrics);
        let (_, body) = get(&admin, "/metrics").await;
        assert_eq!(body, "# HELP drops_total Drops.\n# TYPE drops_total counter\ndrops_total 1\n");
    }

    #[tokio::test]
    async fn only_probes_are_answered_by_any_name() {
        let (admin, ..) = admin(vec![Ok(())]);
        for (name, status) in [("gate.example:8881", 200), ("localhost", 200), ("evil.example:8881", 421)] {
            assert_eq!(get_by(&admin, name, "/metrics").await.0, status, "{name}");
            assert_eq!(get_by(&admin, name, "/healthz").await, (200, "ok\n".into()), "{name}");
            assert_eq!(get_by(&admin, name, "/readyz").await, (200, "ok\n".into()), "{name}");
        }
        let (status, told) = get_by(&admin, "evil.example", "/").await;
        assert!(status == 421 && told.contains("admin.hosts") && told.contains("\"evil.example\""), "{told}");
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        let (admin, ..) = admin(vec![]);
        assert_eq!(get(&admin, "/").await.0, 404);
        assert_eq!(get(&admin, "/metrics/").await.0, 404);
        let response = admin.answer(&Method::POST, &Uri::from_static("/metrics"), &HeaderMap::new()).await;
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "GET, HEAD");
    }
}
