//! What requests are answered with, made of one configuration. The next one has the parts that it would make alike.
//!
//! Knows which part is made of what. Must not know what any of them does with it.

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use prefetch::{ChunkCache, Engine, HttpUpstream, Renewal, Upstream, WindowSetting};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::{
    loaded::Loaded,
    made::{Made, Same},
    providers,
    start_error::StartError,
};
use crate::{
    Blame,
    access::{Access, CurrentKey, Demands, FilerConnections, ManagedKeyPolicy, VolumeMint},
    config::{self, Config, FilerAddress, Secret, Size, Verify, Window},
    entries::Entries,
    entry::ContentTypes,
    filer::FilerClient,
    keys::{
        self, KeyRing,
        hooks::{self, Hooks},
        kms::{self, LimitedProvider, Providers},
        sse_s3::{self, SseS3},
    },
    layers,
    metrics::{self, Cache, FrontLabel, Metrics},
    peers::{Buckets, Networks, Rate, Slots},
    read::{AllowedOrigins, Derived, Expansions, FilerKek, Policy, Reader, Source, Stages, VolumeLocations},
    relay::Relay,
    s3::{
        Gateways, Policies, S3Front,
        way::{Question, Relayed},
    },
    security::{Security, SigningKey, VolumeTokens},
    settings,
    tls::{ClientTls, Tls},
    wire::Front,
};

/// How long connecting to the filer may take for a relayed request.
const RELAY_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of how long a time the requests may come at once that a client may make in it.
const REQUESTS_AT_ONCE: Duration = Duration::from_secs(1);

/// What the parts of every configuration share, for as long as the daemon runs.
pub(crate) struct Lasting {
    pub(crate) metrics: Metrics,
    fetched: prefetch::Metrics,
    filers: Arc<metrics::Filers>,
    /// `None`: there was no S3 front at the start, and there is none until the next.
    s3: Option<Arc<metrics::S3>>,
    read_key: CurrentKey<SigningKey>,
    volume_tokens: CurrentKey<VolumeTokens>,
    places: Slots,
    pub(super) running: layers::Running,
    rates: layers::Rates,
    /// At the start: what a restart only changes.
    first: Vec<(String, Option<String>)>,
    /// Mixed into what is kept of secrets to tell whether they are others.
    salt: [u8; 32],
}

impl Lasting {
    /// For a daemon that starts with this configuration.
    ///
    /// # Errors
    /// When a metric is registered twice, which is a bug.
    pub(crate) fn new(config: &Config) -> Result<Self, StartError> {
        let metrics = Metrics::new([])?;
        let fetched = prefetch::Metrics::register(&metrics.registry)?;
        let s3 = match config.s3.listen {
            None => None,
            Some(_) => {
                let (ways, reasons) = (Question::ALL.map(Question::as_str), Relayed::ALL.map(Relayed::as_str));
                Some(Arc::new(metrics::S3::register(&metrics.registry, ways, reasons)?))
            }
        };
        let limits = &config.limits;
        let filers = Arc::new(metrics::Filers::register(&metrics.registry)?);
        Ok(Self {
            fetched,
            filers,
            s3,
            read_key: CurrentKey::new(None),
            volume_tokens: CurrentKey::new(None),
            running: layers::Running::default(),
            places: Slots::new(limits.requests as usize, limits.requests_per_peer as usize),
            rates: Arc::new(watch::Sender::new(bytes_per_second(limits))),
            first: config.fixed_by_a_start(),
            salt: rand::random(),
            metrics,
        })
    }
}

/// The filers, by what they are asked over: their authorities, and whether over TLS.
type FilerSettings = (Vec<(String, String)>, bool);
/// How volume servers are reached: requests at once to one, the time for a connection, and whether over TLS.
type UpstreamSettings = (u32, Duration, bool);
/// The gateways: authorities, domains, the time without progress, and whether over TLS.
type GatewaySettings = (Vec<String>, Vec<String>, Duration, bool);

/// The gateways, and how long one may take to decide.
type Deciding = (Made<GatewaySettings, Arc<Gateways>>, Duration);

/// The parts. Nobody has been asked for anything yet, and nothing is in force, until [`Parts::take_over`].
pub(crate) struct Parts {
    /// What they were made of, without its secrets.
    pub(super) config: Config,
    pub(super) tls: Tls,
    pub(super) files: Vec<PathBuf>,
    /// The page of `tidegate check`.
    pub(super) page: Arc<str>,
    /// Whom the S3 gateways believe.
    pub(super) believed: Networks,
    /// What the configuration says and only a restart puts in force, by key.
    pub(super) waits: Vec<String>,
    pub(crate) source: Arc<Source>,
    pub(crate) keys: Arc<KeyRing>,
    filer: Made<FilerSettings, Arc<FilerClient>>,
    locations: Made<(Same<FilerClient>, Option<String>), Arc<VolumeLocations>>,
    upstream: Made<UpstreamSettings, Arc<dyn Upstream>>,
    entries: Made<(Same<FilerClient>, u64), Arc<Entries<Derived>>>,
    expansions: Made<(Same<Entries<Derived>>, u64), Arc<Expansions>>,
    relay: Made<(Duration, bool), Arc<Relay>>,
    demands: Made<(Same<FilerClient>, Same<Relay>), Arc<Demands>>,
    sse_s3: Made<Fingerprint, Arc<SseS3>>,
    key_file: watch::Sender<Arc<Source>>,
    request_rate: Made<Option<u32>, Option<Arc<Buckets>>>,
    s3: Option<Deciding>,
    stages: Arc<Stages>,
    trusted_proxies: Arc<Networks>,
    newer: Option<Newer>,
}

/// What is put in force by [`Parts::take_over`].
struct Newer {
    tls: Tls,
    read_key: Option<SigningKey>,
    volume_tokens: Option<VolumeTokens>,
    providers: Vec<String>,
    is_insecure: bool,
}

impl Parts {
    /// Takes the secrets out of `loaded`, and has of `before` what would be made alike. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When a setting turns out not to work: a [`settings::Error`] that says where it is set.
    pub(crate) fn new(lasting: &Lasting, loaded: Loaded, before: Option<&Self>) -> Result<Self, StartError> {
        let (files, page) = (loaded.files(), Arc::from(loaded.to_toml()));
        let Loaded { config, security, tls, sources, .. } = loaded;
        let made = Self::of(lasting, config, security, tls, files, page, before);
        made.map_err(|error| match error.downcast_ref::<crate::Error>() {
            Some(error) if error.blame() == Blame::Config => sources.unusable(error.message()).into(),
            _ => error,
        })
    }

    fn of(
        lasting: &Lasting,
        mut config: Config,
        security: Security,
        newer_tls: Tls,
        files: Vec<PathBuf>,
        page: Arc<str>,
        before: Option<&Self>,
    ) -> Result<Self, StartError> {
        let mut waits = waiting(&lasting.first, &config);
        let mut tls = before.map_or_else(|| newer_tls.clone(), |before| before.tls.continued(&newer_tls));
        let switched = before.filter(|before| before.tls.server.is_some() != newer_tls.server.is_some());
        if let Some(before) = switched {
            // Policies at the gateways may ask for TLS, so all of it changes at once, and not under open connections.
            tls.server.clone_from(&before.tls.server);
            waits.push("server.tls_cert".to_owned());
        }
        let filer = filer(&config.filer, &tls, lasting, before)?;
        let entries = entries(&config.cache, &filer.part, lasting, before);
        let source = source(&config, &tls, &filer.part, &entries.part, lasting, before)?;
        let relay = relay(&config.filer, &tls, lasting, before)?;
        let of = (Same(Arc::clone(&filer.part)), Same(Arc::clone(&relay.part)));
        let Ok(demands) = Made::again(before.map(|before| &before.demands), of, |(filer, relay)| {
            let filers = FilerConnections::new(Arc::clone(&filer.0), Arc::clone(&relay.0));
            Ok::<_, Infallible>(Arc::new(Demands::new(filers, lasting.read_key.clone())))
        });
        let s3_stays = lasting.s3.is_none() || config.s3.listen.is_none() || switched.is_some();
        let s3 = match before {
            Some(before) if s3_stays => before.s3.clone(),
            _ => s3(&config, &tls, before)?,
        };
        let providers: Vec<_> = config.kms.providers.keys().cloned().collect();
        let key_file =
            before.map_or_else(|| watch::Sender::new(Arc::clone(&source.source)), |before| before.key_file.clone());
        let sse_s3 = sse_s3(&mut config.sse_s3, lasting, &key_file, before)?;
        let keys = Arc::new(key_ring(&mut config, &tls, Arc::clone(&sse_s3.part), &lasting.metrics)?);
        let most = config.limits.requests_per_second_per_peer.at();
        let Ok(request_rate) = Made::again(before.map(|before| &before.request_rate), most, |most| {
            let rate = most.map(|most| Rate::new(most.into(), REQUESTS_AT_ONCE));
            Ok::<_, Infallible>(rate.map(|rate| Arc::new(Buckets::new(rate))))
        });
        let types = ContentTypes::of_this_machine();
        let stages = Stages {
            source: Arc::clone(&source.source),
            entries: Arc::clone(&entries.part),
            keys: Arc::clone(&keys),
            types,
        };
        Ok(Self {
            files,
            page,
            believed: security.trusted_proxies,
            waits,
            source: source.source,
            keys,
            filer,
            locations: source.locations,
            upstream: source.upstream,
            expansions: source.expansions,
            entries,
            relay,
            demands,
            sse_s3,
            key_file,
            request_rate,
            s3,
            stages: Arc::new(stages),
            trusted_proxies: Arc::new(config.server.trusted_proxies.iter().copied().collect()),
            newer: Some(Newer {
                is_insecure: security.https.as_ref().is_some_and(|https| https.insecure_skip_verify),
                tls: newer_tls,
                read_key: security.filer_read,
                volume_tokens: security.volume_read,
                providers,
            }),
            tls,
            config,
        })
    }

    /// Puts in force what is shared with `before`: keys, certificates, memory, limits. Answers what is to be warned of.
    pub(crate) fn take_over(&mut self, lasting: &Lasting, before: Option<&Self>) {
        let Some(Newer { tls, read_key, volume_tokens, providers, is_insecure }) = self.newer.take() else { return };
        if is_insecure {
            tracing::warn!(
                "https.client.insecure_skip_verify is set: whoever is in the way can pass for a filer or volume server"
            );
        }
        self.tls.adopt(&tls);
        lasting.metrics.certificates.in_use(self.tls.ends());
        lasting.filers.configured(self.config.filer.addresses.iter().map(FilerAddress::http_authority));
        lasting.metrics.kms.configured(providers.iter().map(String::as_str));
        lasting.read_key.replace(read_key);
        lasting.volume_tokens.replace(volume_tokens);
        let limits = &self.config.limits;
        lasting.places.resize(limits.requests as usize, limits.requests_per_peer as usize);
        let rates = bytes_per_second(limits);
        lasting.rates.send_if_modified(|now| {
            let others = !now.is_as(&rates);
            if others {
                *now = rates;
            }
            others
        });
        self.key_file.send_replace(Arc::clone(&self.source));
        if let Some(before) = before {
            self.source.engine.take_over(&before.source.engine);
            self.demands.part.doubt();
        }
    }

    /// What clients of the filer front are answered by.
    pub(super) fn filer_front(
        &self,
        lasting: &Lasting,
        access_lines: Option<Arc<layers::AccessLines>>,
    ) -> impl Front + use<> {
        let access = &self.config.access;
        let reader = Reader {
            stages: Arc::clone(&self.stages),
            relay: Arc::clone(&self.relay.part),
            access: rules(access, lasting.read_key.clone()),
            demands: Arc::clone(&self.demands.part),
            policy: Policy { ssec_over_http: access.ssec_over_http, shared_caches: access.shared_caches },
            origins: AllowedOrigins::new(&self.config.filer.allowed_origins),
        };
        layers::around(reader, FrontLabel::Filer, &self.shared(lasting, access_lines))
    }

    /// What clients of the S3 front are answered by, if there is one.
    pub(super) fn s3_front(
        &self,
        lasting: &Lasting,
        access_lines: Option<Arc<layers::AccessLines>>,
    ) -> Option<impl Front + use<>> {
        let ((gateways, decision_timeout), metrics) = self.s3.as_ref().zip(lasting.s3.as_ref())?;
        let front = S3Front {
            stages: Arc::clone(&self.stages),
            gateways: Arc::clone(&gateways.part),
            policies: Policies::default(),
            decision_timeout: *decision_timeout,
            metrics: Arc::clone(metrics),
        };
        Some(layers::around(front, FrontLabel::S3, &self.shared(lasting, access_lines)))
    }

    fn shared(&self, lasting: &Lasting, access: Option<Arc<layers::AccessLines>>) -> layers::Shared {
        layers::Shared {
            requests: Arc::clone(&lasting.metrics.requests),
            trusted_proxies: Arc::clone(&self.trusted_proxies),
            hit: Arc::clone(&lasting.metrics.limits),
            access,
            running: lasting.running.clone(),
            places: lasting.places.clone(),
            request_rate: self.request_rate.part.clone(),
            bytes_per_second: Arc::clone(&lasting.rates),
        }
    }

    pub(super) fn filer(&self) -> &Arc<FilerClient> {
        &self.filer.part
    }

    pub(super) fn entries(&self) -> &Arc<Entries<Derived>> {
        &self.entries.part
    }

    pub(super) fn demands(&self) -> &Arc<Demands> {
        &self.demands.part
    }

    pub(super) fn gateways(&self) -> Option<&Arc<Gateways>> {
        self.s3.as_ref().map(|(gateways, _)| &gateways.part)
    }

    pub(super) fn trusted_proxies(&self) -> &Arc<Networks> {
        &self.trusted_proxies
    }

    /// The stages without a cache of entries, for one read.
    pub(super) fn stages(&self) -> &Arc<Stages> {
        &self.stages
    }
}

/// The keys that have another value than at the start, of those that a restart only changes.
fn waiting(first: &[(String, Option<String>)], config: &Config) -> Vec<String> {
    let now = config.fixed_by_a_start();
    let pairs = first.iter().zip(now);
    pairs.filter(|(then, now)| *then != now).map(|(_, (key, _))| key).collect()
}

fn bytes_per_second(limits: &config::Limits) -> layers::BytesPerSecond {
    layers::BytesPerSecond::new(
        limits.bytes_per_second.at().map(Size::bytes),
        limits.bytes_per_second_per_peer.at().map(Size::bytes),
        limits.bytes_per_second_per_download.at().map(Size::bytes),
    )
}

/// A client of the configured filers.
fn filer(
    filer: &config::Filer,
    tls: &Tls,
    lasting: &Lasting,
    before: Option<&Parts>,
) -> Result<Made<FilerSettings, Arc<FilerClient>>, StartError> {
    let filers = filer.addresses.iter();
    let filers = filers.map(|address| (address.grpc_authority(), address.http_authority())).collect();
    let of: FilerSettings = (filers, tls.grpc.is_some());
    Made::again(before.map(|before| &before.filer), of, |(filers, _)| {
        let client = match config_of(tls.grpc.as_ref())? {
            None => FilerClient::new(filers.clone())?,
            Some(tls) => FilerClient::with_tls(filers.clone(), tls)?,
        };
        Ok(Arc::new(client.counted(Arc::clone(&lasting.filers))))
    })
}

fn entries(
    cache: &config::Cache,
    filer: &Arc<FilerClient>,
    lasting: &Lasting,
    before: Option<&Parts>,
) -> Made<(Same<FilerClient>, u64), Arc<Entries<Derived>>> {
    let of = (Same(Arc::clone(filer)), cache.entries.bytes());
    let Ok(entries) = Made::again(before.map(|before| &before.entries), of, |(_, bytes)| {
        Ok::<_, Infallible>(Entries::new(*bytes, lasting.metrics.caches.of(Cache::Entries)))
    });
    entries
}

/// A source, and what it was made with.
struct Sourced {
    source: Arc<Source>,
    locations: Made<(Same<FilerClient>, Option<String>), Arc<VolumeLocations>>,
    upstream: Made<UpstreamSettings, Arc<dyn Upstream>>,
    expansions: Made<(Same<Entries<Derived>>, u64), Arc<Expansions>>,
}

fn source(
    config: &Config,
    tls: &Tls,
    filer: &Arc<FilerClient>,
    entries: &Arc<Entries<Derived>>,
    lasting: &Lasting,
    before: Option<&Parts>,
) -> Result<Sourced, StartError> {
    let Config { prefetch, cache, .. } = config;
    let caches = &lasting.metrics.caches;
    let of = (Same(Arc::clone(filer)), config.filer.data_center.clone());
    let Ok(locations) = Made::again(before.map(|before| &before.locations), of, |(filer, data_center)| {
        let (filer, mint) = (Arc::clone(&filer.0), VolumeMint::new(lasting.volume_tokens.clone()));
        let counted = caches.of(Cache::Locations);
        Ok::<_, Infallible>(Arc::new(VolumeLocations::new(filer, counted, mint, data_center.clone())))
    });
    let of = (prefetch.per_server, prefetch.connect_timeout, tls.https.is_some());
    let upstream = Made::again(before.map(|before| &before.upstream), of, |(per_server, connect_timeout, _)| {
        let tls = config_of(tls.https.as_ref())?;
        Ok::<_, StartError>(
            Arc::new(HttpUpstream::new(*per_server as usize, *connect_timeout, tls)) as Arc<dyn Upstream>
        )
    })?;
    let kept = cache.chunks.bytes();
    let chunks = || {
        let lookups = caches.of(Cache::Chunks);
        let count =
            move |hit| lookups.record(if hit { metrics::CacheOutcome::Hit } else { metrics::CacheOutcome::Miss });
        (kept > 0).then(|| ChunkCache::new(kept, Box::new(count)))
    };
    let (settings, locate) = (fetching(config), Arc::clone(&locations.part));
    let engine = match before {
        None => Engine::new(settings, Arc::clone(&upstream.part), chunks(), locate, lasting.fetched.clone()),
        Some(before) => {
            let others = before.config.cache.chunks.bytes() != kept;
            let renewal = Renewal { upstream: Arc::clone(&upstream.part), cache: others.then(chunks), locate };
            before.source.engine.renewed(settings, renewal)
        }
    };
    // What was expanded is found by the entry, which must be kept as well.
    let expanded = if cache.entries.bytes() == 0 { 0 } else { cache.manifests.bytes() };
    let of = (Same(Arc::clone(entries)), expanded);
    let Ok(expansions) = Made::again(before.map(|before| &before.expansions), of, |(_, bytes)| {
        Ok::<_, Infallible>(Arc::new(Expansions::new(*bytes, caches.of(Cache::Manifests))))
    });
    let (expanded, located) = (Arc::clone(&expansions.part), Arc::clone(&locations.part));
    let source = Source { filer: Arc::clone(filer), engine, expansions: expanded, locations: located };
    Ok(Sourced { source: Arc::new(source), locations, upstream, expansions })
}

/// How chunks are fetched.
fn fetching(config: &Config) -> prefetch::Settings {
    let Config { prefetch, server, .. } = config;
    prefetch::Settings {
        window: match prefetch.window {
            Window::Auto => WindowSetting::Auto,
            Window::Fixed(requests) => WindowSetting::Fixed(requests.into()),
        },
        memory: prefetch.memory.bytes(),
        min_rate: server.min_rate.bytes(),
        per_server: prefetch.per_server as usize,
        named_servers: config.admin.named_servers as usize,
        verify: match prefetch.verify {
            Verify::Off => prefetch::Verify::Off,
            Verify::Whole => prefetch::Verify::Whole,
            Verify::Always => prefetch::Verify::Always,
        },
        connect_timeout: prefetch.connect_timeout,
        first_byte_timeout: prefetch.first_byte_timeout,
        idle_timeout: prefetch.idle_timeout,
    }
}

fn relay(
    filer: &config::Filer,
    tls: &Tls,
    lasting: &Lasting,
    before: Option<&Parts>,
) -> Result<Made<(Duration, bool), Arc<Relay>>, StartError> {
    let of = (filer.progress_timeout, tls.https.is_some());
    Made::again(before.map(|before| &before.relay), of, |(progress_timeout, _)| {
        let relay = Relay::new(RELAY_CONNECT_TIMEOUT, *progress_timeout, config_of(tls.https.as_ref())?)?;
        Ok(Arc::new(relay.counted(Arc::clone(&lasting.filers))))
    })
}

/// The gateways, and how long one may take to decide; `None`: there is no S3 front.
fn s3(config: &Config, tls: &Tls, before: Option<&Parts>) -> Result<Option<Deciding>, StartError> {
    let Config { s3, filer, .. } = config;
    if s3.listen.is_none() {
        return Ok(None);
    }
    let authorities = s3.gateway.iter().map(|gateway| gateway.authority.clone()).collect();
    let domains = s3.domains.iter().map(|domain| domain.as_str().to_owned()).collect();
    let of: GatewaySettings = (authorities, domains, filer.progress_timeout, tls.gateway.is_some());
    let before = before.and_then(|before| before.s3.as_ref()).map(|(gateways, _)| gateways);
    let gateways = Made::again(before, of, |(authorities, domains, progress_timeout, _)| {
        let tls = config_of(tls.gateway.as_ref())?;
        let relay = Relay::to_gateways(RELAY_CONNECT_TIMEOUT, *progress_timeout, tls)?;
        Ok::<_, StartError>(Arc::new(Gateways::new(relay, authorities.clone(), domains.clone())))
    })?;
    Ok(Some((gateways, s3.decision_timeout)))
}

fn config_of(tls: Option<&ClientTls>) -> Result<Option<rustls::ClientConfig>, settings::Error> {
    tls.map(ClientTls::config).transpose()
}

fn rules(access: &config::Access, read_key: CurrentKey<SigningKey>) -> Access {
    let managed_keys = match access.managed_keys {
        config::ManagedKeys::None => ManagedKeyPolicy::None,
        config::ManagedKeys::Jwt => ManagedKeyPolicy::Jwt,
        config::ManagedKeys::Mtls => ManagedKeyPolicy::Mtls,
        config::ManagedKeys::Any => ManagedKeyPolicy::Any,
    };
    Access { read_key, system_paths: access.system_paths, managed_keys }
}

/// What tells whether secrets are others, and nothing else of them.
type Fingerprint = [u8; 32];

fn text(secret: &mut Option<Secret>) -> Option<Zeroizing<String>> {
    secret.take().map(|secret| Zeroizing::new(secret.expose().to_owned()))
}

/// The SSE-S3 key, which outlives configurations that say the same of it: one that was read from the filer stays in use when the
/// file cannot be read.
fn sse_s3(
    section: &mut config::SseS3,
    lasting: &Lasting,
    key_file: &watch::Sender<Arc<Source>>,
    before: Option<&Parts>,
) -> Result<Made<Fingerprint, Arc<SseS3>>, StartError> {
    let settings = sse_s3::Settings {
        key: text(&mut section.key),
        kek: text(&mut section.kek),
        kek_passphrase: text(&mut section.kek_passphrase),
    };
    let mut fingerprint = Sha256::new_with_prefix(lasting.salt);
    for secret in [&settings.key, &settings.kek, &settings.kek_passphrase] {
        let text = secret.as_deref().map(String::as_str).unwrap_or_default();
        fingerprint.update([u8::from(secret.is_some())]);
        fingerprint.update((text.len() as u64).to_le_bytes());
        fingerprint.update(text);
    }
    let made = before.map(|before| &before.sse_s3);
    Made::again(made, fingerprint.finalize().into(), |_| {
        Ok(Arc::new(SseS3::new(settings, Arc::new(FilerKek(key_file.subscribe())))?))
    })
}

/// The key ring, with the secrets that it needs taken out of the settings. Each configuration has one of its own, so that after
/// a reload every data key is asked for again.
fn key_ring(config: &mut Config, tls: &Tls, sse_s3: Arc<SseS3>, metrics: &Metrics) -> Result<KeyRing, StartError> {
    let kms = &mut config.kms;
    let settings = keys::Settings {
        cache_entries: kms.cache_entries.into(),
        cache_ttl: kms.cache_ttl,
        require_commitment: config.sse.require_commitment,
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
