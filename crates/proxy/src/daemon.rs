//! From a configuration to a running daemon: who gets what from whom.
//!
//! Knows every part and its settings. Must not know what any of them does with them.

mod access_lines;
mod addresses;
mod board;
mod caches;
mod checked_config;
mod explanation;
mod files;
mod in_force;
mod key_ring;
mod parts;
mod process_state;
mod providers;
mod reload;
mod replaceable;
mod reusable_part;
mod source_parts;
mod start_error;
mod strangers;
mod tasks;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::sync::watch;

use self::{
    access_lines::{AccessOutput, ReopenableFile},
    files::Files,
    in_force::PartsInForce,
    parts::Parts,
    process_state::ProcessState,
    reload::Reload,
    replaceable::Replaceable,
    tasks::Tasks,
};
#[cfg(feature = "otlp")]
use crate::spans;
use crate::{
    config::{self, ProxyProtocol},
    logging,
    metrics::{FrontLabel, LostLines},
    open_files,
    server::{
        Admin, CachedReadiness, DrainOutcome, HeaderNames, InheritedSockets, Limits, ListenSource, Server, Terms,
        TlsConfig, reloads, reopens, signals,
    },
    settings,
    tls::Tls,
};

pub use self::{checked_config::CheckedConfig, explanation::explain, start_error::StartError};

/// How long writing the last lines of the access log may take.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Whether a daemon could start with this configuration: makes what [`run`] makes, without asking anybody or listening.
/// Must be called within a Tokio runtime.
///
/// # Errors
/// When a setting turns out not to work.
pub fn check(loaded: CheckedConfig) -> Result<(), StartError> {
    Parts::new(&ProcessState::new(&loaded.config)?, loaded, None).map(|_| ())
}

/// Runs the daemon until it is told to stop. `lost`: the lines that its log lost; `log` has the log go by other settings.
///
/// # Errors
/// When an address cannot be listened on, or a setting turns out not to work. The latter is a
/// [`settings::Error`].
pub async fn run(
    loaded: CheckedConfig,
    lost: Arc<LostLines>,
    log: logging::Change,
) -> Result<DrainOutcome, StartError> {
    let process = Arc::new(ProcessState::new(&loaded.config)?);
    lost.register(&process.metrics.registry)?;
    let (reopened, again) = (ReopenableFile::default(), loaded.again());
    let access = AccessOutput::of(&loaded.config.log, &lost, None).map_err(|sentence| loaded.unusable(&sentence))?;
    reopened.take(&access);
    tokio::spawn(reopened.clone().run(reopens()?));
    #[cfg(feature = "otlp")]
    if let Some(endpoint) = &loaded.config.tracing.endpoint {
        let started = spans::start(endpoint, loaded.config.tracing.sample);
        started.map_err(|error| loaded.unusable(&format!("tracing.endpoint: {error}")))?;
    }
    let mut files = Files::new(loaded.files());
    let mut parts = Parts::new(&process, loaded, None)?;
    files.watch(parts.files.iter().cloned());
    parts.take_over(&process, None);
    let (stop, reloads) = (signals()?, reloads()?);

    let (config, mut inherited) = (&parts.config, InheritedSockets::take()?);
    let mut server = Server::new(limits(&config.server), Arc::clone(&process.metrics.connections));
    let front = Arc::new(Replaceable::new(parts.filer_front(&process, access.lines.clone())));
    let filer_terms = watch::Sender::new(filer_terms(&parts));
    let listen = ListenSource::on_or_at(inherited.named("front"), config.server.listen);
    let listening = server.listen_on(listen, filer_terms.subscribe(), Arc::clone(&front)).await?;
    let s3 = parts.s3_front(&process, access.lines.clone()).map(|front| Arc::new(Replaceable::new(front)));
    let s3_terms = watch::Sender::new(s3_terms(&parts));
    if let (Some(s3), Some(listen)) = (&s3, config.s3.listen) {
        let listen = ListenSource::on_or_at(inherited.named("s3"), listen);
        let listening = server.listen_on(listen, s3_terms.subscribe(), Arc::clone(s3)).await?;
        tracing::info!(%listening, "serving S3");
    }
    if !inherited.named("s3").is_empty() {
        let said = "a socket is called \"s3\", but there is no S3 front; set s3.listen, or stop the socket's unit";
        return Err(settings::Error::at("LISTEN_FDNAMES", said).into());
    }
    let in_force = watch::Sender::new(PartsInForce::of(&parts, access.lines.clone()));
    caches::count(&process.metrics.registry, &in_force.subscribe())?;
    let ready = CachedReadiness::new(readiness(in_force.subscribe()), server.draining());
    let (registry, running) = (process.metrics.registry.clone(), process.running.clone());
    let board = board::new(board::sources(registry.clone(), running, in_force.subscribe()), &ready);
    let (shown, over) = (Arc::clone(&board), server.draining().is_over());
    tokio::spawn(async move { shown.run(over).await });
    let names = in_force.subscribe();
    let names = Box::new(move || Arc::clone(&names.borrow().admin_names));
    let admin = Admin::new(registry, ready, board, names);
    let listen = ListenSource::on_or_at(inherited.named("admin"), config.server.admin);
    let admin = server.listen_admin(listen, Arc::new(admin)).await?;
    tracing::info!(%listening, %admin, version = env!("CARGO_PKG_VERSION"), "serving");
    let mut tasks = Tasks::default();
    tasks.renew(&parts, &process).await;

    let draining = server.draining();
    let (control, now, shared) = (server.control(), in_force.subscribe(), Arc::clone(&process));
    let put = move |parts: &Parts, access: &AccessOutput| {
        front.replace(parts.filer_front(&shared, access.lines.clone()));
        filer_terms.send_replace(self::filer_terms(parts));
        if let (Some(s3), Some(front)) = (&s3, parts.s3_front(&shared, access.lines.clone())) {
            s3.replace(front);
            if parts.config.s3.listen.is_some() {
                s3_terms.send_replace(self::s3_terms(parts));
            }
        }
        control.limit(limits(&parts.config.server));
        in_force.send_replace(PartsInForce::of(parts, access.lines.clone()));
        reopened.take(access);
        log(&parts.config.log);
    };
    let reload = Reload { again, process, parts, access, lost, tasks, files, put, requests: reloads, draining };
    tokio::spawn(reload.run());
    let drained = server.run(stop, || now.borrow().ending).await;
    let lines = now.borrow().access_lines.clone();
    if let Some(lines) = lines {
        lines.flush(LAST_LINES);
    }
    #[cfg(feature = "otlp")]
    spans::stop(LAST_LINES).await;
    Ok(drained)
}

fn filer_terms(parts: &Parts) -> Terms {
    terms(parts, parts.config.server.proxy_protocol, HeaderNames::LikeGo, FrontLabel::Filer)
}

fn s3_terms(parts: &Parts) -> Terms {
    terms(parts, parts.config.s3.proxy_protocol, HeaderNames::LowerCase, FrontLabel::S3)
}

fn terms(parts: &Parts, proxied: ProxyProtocol, names: HeaderNames, label: FrontLabel) -> Terms {
    let proxies = (proxied == ProxyProtocol::Required).then(|| Arc::clone(parts.trusted_proxies()));
    Terms { tls: listener_tls(&parts.tls), names, label, proxies }
}

/// How a listener for clients makes its connections; `None`: without TLS.
fn listener_tls(tls: &Tls) -> Option<TlsConfig> {
    tls.server.clone().map(|tls| Arc::new(move || tls.config()) as TlsConfig)
}

/// What clients may take of the listeners. There are no more connections than there may be files for.
fn limits(server: &config::Server) -> Limits {
    let asked = server.max_connections as usize;
    let max_connections = asked.min(open_files::connections());
    if max_connections < asked {
        tracing::warn!(
            max_connections,
            "no more connections than this, because no more files may be open; raise LimitNOFILE= of the unit (ulimit -n)"
        );
    }
    Limits {
        max_connections,
        max_connections_per_peer: server.max_connections_per_peer as usize,
        header_read_timeout: server.header_timeout,
        idle_timeout: server.idle_timeout,
        max_age: server.max_connection_age,
        header_memory: usize::try_from(server.header_memory.bytes()).unwrap_or(usize::MAX),
        write_timeout: server.write_timeout,
        ..Limits::default()
    }
}

/// Ready is for whom a filer looks entries up, who has what it demands of readers, and of whose S3 gateways one answers.
fn readiness(
    in_force: watch::Receiver<PartsInForce>,
) -> impl Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync + 'static {
    move || {
        let PartsInForce { filer, demands, gateways, .. } = in_force.borrow().clone();
        Box::pin(async move {
            let ready = async {
                filer.check_lookup().await?;
                demands.check().await?;
                let Some(gateways) = &gateways else { return Ok(()) };
                // Before that, S3 would be relayed.
                filer.learn().await;
                gateways.check().await
            };
            ready.await.map_err(|error: crate::Error| error.message().to_owned())
        })
    }
}
