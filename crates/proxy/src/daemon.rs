//! From a configuration to a running daemon: who gets what from whom.
//!
//! Knows every part and its settings. Must not know what any of them does with them.

mod access_lines;
mod loaded;
mod providers;
mod reload;
mod strangers;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use prefetch::{ChunkCache, Engine, HttpUpstream, WindowSetting};
use zeroize::Zeroizing;

use crate::{
    Blame,
    access::{Access, CurrentKey, Demands, FilerConnections, ManagedKeyPolicy, VolumeMint},
    config::{self, Config, ProxyProtocol, Secret, Size, Verify, Window},
    entries::{Entries, Follower},
    entry::ContentTypes,
    explain::{self, Report},
    filer::FilerClient,
    keys::{
        self, KeyRing,
        hooks::{self, Hooks},
        kms::{self, LimitedProvider, Providers},
        sse_s3::{self, SseS3},
    },
    layers,
    metrics::{self, Cache, LostLines, Metrics},
    open_files,
    peers::{Buckets, Networks, Rate, Slots},
    read::{AllowedOrigins, Expansions, FilerKek, Policy, Reader, Source, Stages, VolumeLocations},
    relay::Relay,
    s3::{
        self, Gateways, Policies, S3Front,
        way::{Question, Relayed},
    },
    security::{Security, SigningKey, VolumeTokens},
    server::{Admin, Drained, HeaderNames, Limits, Server, Terms, TlsConfig, reloads, reopens, signals},
    settings,
    tls::{ClientTls, Tls},
};

pub use self::loaded::Loaded;
use self::reload::Reload;

/// How long connecting to the filer may take for a relayed request.
const RELAY_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of how long a time the requests may come at once that a client may make in it.
const REQUESTS_AT_ONCE: Duration = Duration::from_secs(1);
/// How long writing the last lines of the access log may take.
const LAST_LINES: Duration = Duration::from_secs(1);
/// How often keys that are over their time are wiped.
const SWEEP: Duration = Duration::from_secs(60);

/// Why the daemon could not start, in one line.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// What a file is read with, made of a configuration. Nobody has been asked for anything yet.
pub(crate) struct Parts {
    pub(crate) metrics: Metrics,
    pub(crate) filer: Arc<FilerClient>,
    pub(crate) source: Arc<Source>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) volume_tokens: CurrentKey<VolumeTokens>,
}

impl Parts {
    /// Takes the secrets out of `loaded`. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When a setting turns out not to work: a [`settings::Error`] that says where it is set.
    pub(crate) fn new(loaded: &mut Loaded) -> Result<Self, StartError> {
        Self::of(&mut loaded.config, &mut loaded.security, &loaded.tls).map_err(|error| {
            match error.downcast_ref::<crate::Error>() {
                Some(error) if error.blame() == Blame::Config => loaded.unusable(error.message()).into(),
                _ => error,
            }
        })
    }

    fn of(config: &mut Config, security: &mut Security, tls: &Tls) -> Result<Self, StartError> {
        let metrics = Metrics::new(config.kms.providers.keys().map(String::as_str))?;
        let filer = Arc::new(filer(&config.filer, tls.grpc.as_ref())?);
        let volume_tokens = CurrentKey::new(security.volume_read.take());
        let mint = VolumeMint::new(volume_tokens.clone());
        let source = source(config, &filer, config.filer.data_center.as_deref(), tls.https.as_ref(), mint, &metrics)?;
        let source = Arc::new(source);
        let keys = Arc::new(key_ring(&mut config.sse_s3, &config.sse, &mut config.kms, tls, &source, &metrics)?);
        Ok(Self { metrics, filer, source, keys, volume_tokens })
    }
}

/// Whether a daemon could start with this configuration: makes what [`run`] makes, without asking anybody or listening.
/// Must be called within a Tokio runtime.
///
/// # Errors
/// When a setting turns out not to work.
pub fn check(mut loaded: Loaded) -> Result<(), StartError> {
    Parts::new(&mut loaded)?;
    relay(&loaded.config.filer, &loaded.tls)?;
    gateways(&loaded.config.s3, &loaded.config.filer, &loaded.tls)?;
    Ok(())
}

/// Explains the file at `path`, or the object `s3://bucket/key`, with the filer, the keys and the limits of this
/// configuration. Nothing is listened on.
///
/// # Errors
/// When there is no such file, or the filer cannot be asked; a [`settings::Error`] when a setting turns out not to work.
pub async fn explain(mut loaded: Loaded, path: &str) -> Result<Report, StartError> {
    let Parts { source, keys, metrics, .. } = Parts::new(&mut loaded)?;
    let Some(object) = path.strip_prefix("s3://") else { return explain::report(&source, &keys, path).await };
    let entries = Entries::new(0, metrics.caches.of(Cache::Entries));
    let types = ContentTypes::of_this_machine();
    let stages = Stages { source: Arc::clone(&source), entries, keys: Arc::clone(&keys), types };
    let explained = s3::explain::explain(&stages, object).await?;
    let report = explain::report(&source, &keys, &explained.path).await?;
    Ok(Report { s3: Some(explained.way), ..report })
}

/// Runs the daemon until it is told to stop. `lost`: the lines that its log lost.
///
/// # Errors
/// When an address cannot be listened on, or a setting turns out not to work. The latter is a [`settings::Error`].
pub async fn run(mut loaded: Loaded, lost: &LostLines) -> Result<Drained, StartError> {
    let Parts { metrics, filer, source, keys, volume_tokens } = Parts::new(&mut loaded)?;
    lost.register(&metrics.registry)?;
    let access_lines = access_lines::of(&loaded.config.log, lost, reopens()?);
    let access_lines = access_lines.map_err(|sentence| loaded.unusable(&sentence))?;
    let Loaded { config, security, tls, security_file, .. } = loaded;
    reload::warn_of_unchecked(&security);
    let read_key = CurrentKey::new(security.filer_read);
    let entries = Entries::new(config.cache.entries.bytes(), metrics.caches.of(Cache::Entries));
    if config.cache.entries.bytes() > 0 {
        tokio::spawn(Follower::new(Arc::clone(&entries), Arc::clone(&filer), metrics.followed.clone()).run());
    }
    let relay = Arc::new(relay(&config.filer, &tls)?);
    let demands =
        Arc::new(Demands::new(FilerConnections::new(Arc::clone(&filer), Arc::clone(&relay)), read_key.clone()));
    let types = ContentTypes::of_this_machine();
    let stages = Arc::new(Stages { source, entries, keys: Arc::clone(&keys), types });
    let reader = Reader {
        stages: Arc::clone(&stages),
        relay,
        access: access(&config.access, read_key.clone()),
        demands: Arc::clone(&demands),
        policy: Policy { ssec_over_http: config.access.ssec_over_http, shared_caches: config.access.shared_caches },
        origins: AllowedOrigins::new(&config.filer.allowed_origins),
    };
    let (stop, reloads) = (signals()?, reloads()?);
    let mut server = Server::new(limits(&config.server), Arc::clone(&metrics.connections));
    let trusted_proxies: Arc<Networks> = Arc::new(config.server.trusted_proxies.iter().copied().collect());
    let terms = |proxied, names| Terms {
        tls: listener_tls(&tls),
        names,
        proxies: (proxied == ProxyProtocol::Required).then(|| Arc::clone(&trusted_proxies)),
    };
    let shared = shared(&config.limits, &metrics, Arc::clone(&trusted_proxies), access_lines.clone());
    let front = layers::around(reader, &shared);
    let filer_terms = terms(config.server.proxy_protocol, HeaderNames::LikeGo);
    let listening = server.listen_on(config.server.listen, filer_terms, Arc::new(front)).await?;
    let s3 = s3_front(&config.s3, &config.filer, &tls, &stages, &metrics.registry)?;
    let gateways = s3.as_ref().map(|s3| Arc::clone(&s3.gateways));
    if let (Some(s3), Some(listen)) = (s3, config.s3.listen) {
        let front = Arc::new(layers::around(s3, &shared));
        let terms = terms(config.s3.proxy_protocol, HeaderNames::LowerCase);
        let listening = server.listen_on(listen, terms, front).await?;
        tracing::info!(%listening, "serving S3");
    }
    if let Some(gateways) = gateways.clone() {
        tokio::spawn(async move { gateways.watch().await });
    }
    let ready = readiness(Arc::clone(&filer), Arc::clone(&demands), gateways);
    let admin = Admin::new(metrics.registry, ready, server.draining());
    let admin = server.listen_admin(config.server.admin, Arc::new(admin)).await?;
    tracing::info!(%listening, %admin, version = env!("CARGO_PKG_VERSION"), "serving");
    let watched = Arc::clone(&filer);
    tokio::spawn(async move { watched.watch().await });
    tokio::spawn(sweep(Arc::clone(&keys)));
    let reread = Reload {
        tls,
        keys,
        security: security_file,
        demands: Arc::clone(&demands),
        read_key,
        volume_tokens,
        gateways: config.s3.gateway,
        needs_read_key: config.access.managed_keys == config::ManagedKeys::Jwt,
    };
    tokio::spawn(reload::run(reloads, reread, security.trusted_proxies));
    tokio::spawn(async move { demands.run().await });
    let drained = server.run(stop, config.server.lame_duck, config.server.drain_timeout).await;
    if let Some(lines) = access_lines {
        lines.flush(LAST_LINES);
    }
    Ok(drained)
}

/// What all fronts have around them.
fn shared(
    limits: &config::Limits,
    metrics: &Metrics,
    trusted_proxies: Arc<Networks>,
    access: Option<Arc<layers::AccessLines>>,
) -> layers::Shared {
    let request_rate = limits.requests_per_second_per_peer.at().map(|rate| Rate::new(rate.into(), REQUESTS_AT_ONCE));
    layers::Shared {
        requests: Arc::clone(&metrics.requests),
        trusted_proxies,
        hit: Arc::clone(&metrics.limits),
        access,
        places: Slots::new(limits.requests as usize, limits.requests_per_peer as usize),
        request_rate: request_rate.map(|rate| Arc::new(Buckets::new(rate))),
        bytes_per_second: layers::BytesPerSecond::new(
            limits.bytes_per_second.at().map(Size::bytes),
            limits.bytes_per_second_per_peer.at().map(Size::bytes),
            limits.bytes_per_second_per_download.at().map(Size::bytes),
        ),
    }
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

/// A client of the configured filers.
fn filer(filer: &config::Filer, tls: Option<&ClientTls>) -> Result<FilerClient, StartError> {
    let filers = filer.addresses.iter();
    let filers = filers.map(|address| (address.grpc_authority(), address.http_authority())).collect();
    Ok(match config_of(tls)? {
        None => FilerClient::new(filers)?,
        Some(tls) => FilerClient::with_tls(filers, tls)?,
    })
}

fn source(
    config: &Config,
    filer: &Arc<FilerClient>,
    data_center: Option<&str>,
    tls: Option<&ClientTls>,
    mint: VolumeMint,
    metrics: &Metrics,
) -> Result<Source, StartError> {
    let Config { prefetch, cache, server, .. } = config;
    let settings = prefetch::Settings {
        window: match prefetch.window {
            Window::Auto => WindowSetting::Auto,
            Window::Fixed(requests) => WindowSetting::Fixed(requests.into()),
        },
        memory: prefetch.memory.bytes(),
        min_rate: server.min_rate.bytes(),
        per_server: prefetch.per_server as usize,
        verify: match prefetch.verify {
            Verify::Off => prefetch::Verify::Off,
            Verify::Whole => prefetch::Verify::Whole,
            Verify::Always => prefetch::Verify::Always,
        },
        connect_timeout: prefetch.connect_timeout,
        first_byte_timeout: prefetch.first_byte_timeout,
        idle_timeout: prefetch.idle_timeout,
    };
    let upstream = HttpUpstream::new(settings.per_server, settings.connect_timeout, config_of(tls)?);
    let locate = Arc::new(VolumeLocations::new(
        Arc::clone(filer),
        metrics.caches.of(Cache::Locations),
        mint,
        data_center.map(str::to_owned),
    ));
    let counted = prefetch::Metrics::register(&metrics.registry)?;
    let lookups = metrics.caches.of(Cache::Chunks);
    let count = move |hit| lookups.record(if hit { metrics::CacheOutcome::Hit } else { metrics::CacheOutcome::Miss });
    let kept = cache.chunks.bytes();
    let kept = (kept > 0).then(|| ChunkCache::new(kept, Box::new(count)));
    let engine = Engine::new(settings, upstream, kept, locate, counted);
    // What was expanded is found by the entry, which must be kept as well.
    let expanded = if cache.entries.bytes() == 0 { 0 } else { cache.manifests.bytes() };
    let expansions = Expansions::new(expanded, metrics.caches.of(Cache::Manifests));
    Ok(Source { filer: Arc::clone(filer), engine, expansions })
}

fn relay(filer: &config::Filer, tls: &Tls) -> Result<Relay, StartError> {
    Ok(Relay::new(RELAY_CONNECT_TIMEOUT, filer.progress_timeout, config_of(tls.https.as_ref())?)?)
}

/// How a listener for clients makes its connections; `None`: without TLS.
fn listener_tls(tls: &Tls) -> Option<TlsConfig> {
    tls.server.clone().map(|tls| Arc::new(move || tls.config()) as TlsConfig)
}

/// The S3 front, if one is configured.
fn s3_front(
    s3: &config::S3,
    filer: &config::Filer,
    tls: &Tls,
    stages: &Arc<Stages>,
    registry: &metrics::Registry,
) -> Result<Option<S3Front>, StartError> {
    if s3.listen.is_none() {
        return Ok(None);
    }
    let (ways, reasons) = (Question::ALL.map(Question::as_str), Relayed::ALL.map(Relayed::as_str));
    Ok(Some(S3Front {
        stages: Arc::clone(stages),
        gateways: Arc::new(gateways(s3, filer, tls)?),
        policies: Policies::default(),
        decision_timeout: s3.decision_timeout,
        metrics: Arc::new(metrics::S3::register(registry, ways, reasons)?),
    }))
}

fn gateways(s3: &config::S3, filer: &config::Filer, tls: &Tls) -> Result<Gateways, StartError> {
    let relay = Relay::to_gateways(RELAY_CONNECT_TIMEOUT, filer.progress_timeout, config_of(tls.gateway.as_ref())?)?;
    let authorities = s3.gateway.iter().map(|gateway| gateway.authority.clone()).collect();
    let domains = s3.domains.iter().map(|domain| domain.as_str().to_owned()).collect();
    Ok(Gateways::new(relay, authorities, domains))
}

fn config_of(tls: Option<&ClientTls>) -> Result<Option<rustls::ClientConfig>, settings::Error> {
    tls.map(ClientTls::config).transpose()
}

fn access(access: &config::Access, read_key: CurrentKey<SigningKey>) -> Access {
    let managed_keys = match access.managed_keys {
        config::ManagedKeys::None => ManagedKeyPolicy::None,
        config::ManagedKeys::Jwt => ManagedKeyPolicy::Jwt,
        config::ManagedKeys::Mtls => ManagedKeyPolicy::Mtls,
        config::ManagedKeys::Any => ManagedKeyPolicy::Any,
    };
    Access { read_key, system_paths: access.system_paths, managed_keys }
}

/// The key ring, with the secrets that it needs taken out of the settings.
fn key_ring(
    sse_s3: &mut config::SseS3,
    sse: &config::Sse,
    kms: &mut config::Kms,
    tls: &Tls,
    source: &Arc<Source>,
    metrics: &Metrics,
) -> Result<KeyRing, StartError> {
    let text = |secret: &mut Option<Secret>| secret.take().map(|secret| Zeroizing::new(secret.expose().to_owned()));
    let sse_s3 = sse_s3::Settings {
        key: text(&mut sse_s3.key),
        kek: text(&mut sse_s3.kek),
        kek_passphrase: text(&mut sse_s3.kek_passphrase),
    };
    let sse_s3 = SseS3::new(sse_s3, Arc::new(FilerKek(Arc::clone(source))))?;
    let settings = keys::Settings {
        cache_entries: kms.cache_entries.into(),
        cache_ttl: kms.cache_ttl,
        require_commitment: sse.require_commitment,
    };
    let buckets =
        std::mem::take(&mut kms.buckets).into_iter().map(|(bucket, settings)| (bucket, settings.provider)).collect();
    let at_once = kms.max_concurrent as usize;
    let providers = std::mem::take(&mut kms.providers).into_iter().map(|(name, provider)| {
        let provider = providers::make(&name, provider, tls.kms.get(&name))?;
        Ok(Arc::new(LimitedProvider::new(provider, at_once)) as Arc<dyn kms::Provider>)
    });
    let providers = providers.collect::<crate::Result<_>>()?;
    let providers = Providers::new(providers, kms.default_provider.as_deref(), buckets)?;
    Ok(KeyRing::new(settings, providers, sse_s3, Arc::new(KeyMetrics(metrics.clone()))))
}

/// Ready is for whom a filer looks entries up, who has what it demands of readers, and of whose S3 gateways one answers.
fn readiness(
    filer: Arc<FilerClient>,
    demands: Arc<Demands>,
    gateways: Option<Arc<Gateways>>,
) -> impl Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync + 'static {
    move || {
        let (filer, demands, gateways) = (Arc::clone(&filer), Arc::clone(&demands), gateways.clone());
        Box::pin(async move {
            let ready = async {
                filer.check_lookup().await?;
                demands.check().await?;
                match &gateways {
                    Some(gateways) => gateways.check().await,
                    None => Ok(()),
                }
            };
            ready.await.map_err(|error: crate::Error| error.message().to_owned())
        })
    }
}

async fn sweep(keys: Arc<KeyRing>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        keys.sweep().await;
    }
}

/// Counts what the key ring does.
struct KeyMetrics(Metrics);

impl Hooks for KeyMetrics {
    fn on_kms_request(&self, provider: &str, outcome: hooks::KmsOutcome) {
        if let Some(counters) = self.0.kms.provider(provider) {
            counters.record(match outcome {
                hooks::KmsOutcome::Ok => metrics::KmsOutcome::Ok,
                hooks::KmsOutcome::Denied | hooks::KmsOutcome::NotFound => metrics::KmsOutcome::Refused,
                hooks::KmsOutcome::Throttled | hooks::KmsOutcome::Unreachable => metrics::KmsOutcome::Unavailable,
                hooks::KmsOutcome::Invalid => metrics::KmsOutcome::Invalid,
            });
        }
    }

    fn on_cache(&self, cache: &'static str, outcome: hooks::CacheOutcome) {
        debug_assert_eq!(cache, hooks::DATA_KEYS, "the key ring has one cache");
        self.0.caches.of(Cache::DataKeys).record(match outcome {
            hooks::CacheOutcome::Hit => metrics::CacheOutcome::Hit,
            hooks::CacheOutcome::Miss => metrics::CacheOutcome::Miss,
            // A remembered failure was answered without asking anybody.
            hooks::CacheOutcome::Failure => metrics::CacheOutcome::Hit,
        });
    }
}
