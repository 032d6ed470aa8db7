//! What requests are answered with, made of one configuration. The next one has the parts that it would make alike.
//!
//! Knows which part is made of what. Must not know what any of them does with it.

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    checked_config::CheckedConfig,
    key_ring::{Fingerprint, key_ring, sse_s3},
    process_state::ProcessState,
    reusable_part::{IdentityKey, ReusablePart},
    source_parts::{SourceParts, source},
    start_error::StartError,
};
use crate::{
    Blame,
    access::{Access, CurrentKey, Demands, FilerConnections, ManagedKeyPolicy},
    config::{self, Config, FilerAddress},
    entries::Entries,
    entry::ContentTypes,
    filer::FilerClient,
    keys::{KeyRing, sse_s3::SseS3},
    layers,
    metrics::{Cache, FrontLabel},
    peers::{Buckets, Networks, Rate},
    read::{AllowedOrigins, DerivedFile, Lookups, Policy, Reader, Source, Stages},
    relay::Relay,
    s3::{Gateways, Policies, S3Front},
    security::{Security, SigningKey, VolumeTokens},
    tls::{ClientTls, Tls},
    wire::Front,
};

/// How long connecting to the filer may take for a relayed request.
const RELAY_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of how long a time the requests may come at once that a client may make in it.
const REQUESTS_AT_ONCE: Duration = Duration::from_secs(1);

/// The filers, by what they are asked over: their authorities, and whether over TLS.
type FilerSettings = (Vec<(String, String)>, bool);
/// The gateways: authorities, domains, the time without progress, and whether over TLS.
type GatewaySettings = (Vec<String>, Vec<String>, Duration, bool);

/// The gateways, and how long one may take to decide.
type GatewayPart = (ReusablePart<GatewaySettings, Arc<Gateways>>, Duration);

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
    pub(super) keys: Arc<KeyRing>,
    filer: ReusablePart<FilerSettings, Arc<FilerClient>>,
    source_parts: SourceParts,
    entries: ReusablePart<(IdentityKey<FilerClient>, u64), Arc<Entries<DerivedFile>>>,
    relay: ReusablePart<(Duration, bool), Arc<Relay>>,
    demands: ReusablePart<(IdentityKey<FilerClient>, IdentityKey<Relay>), Arc<Demands>>,
    sse_s3: ReusablePart<Fingerprint, Arc<SseS3>>,
    key_file: watch::Sender<Arc<Source>>,
    request_rate: ReusablePart<Option<u32>, Option<Arc<Buckets>>>,
    s3: Option<GatewayPart>,
    stages: Arc<Stages>,
    trusted_proxies: Arc<Networks>,
    newer: Option<Activation>,
}

/// What is put in force by [`Parts::take_over`].
struct Activation {
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
    pub(crate) fn new(
        process: &ProcessState,
        loaded: CheckedConfig,
        before: Option<&Self>,
    ) -> Result<Self, StartError> {
        let (files, page) = (loaded.files(), Arc::from(loaded.to_toml()));
        let CheckedConfig { config, security, tls, sources, .. } = loaded;
        let made = Self::of(process, config, security, tls, files, page, before);
        made.map_err(|error| match error.downcast_ref::<crate::Error>() {
            Some(error) if error.blame() == Blame::Config => sources.unusable(error.message()).into(),
            _ => error,
        })
    }

    fn of(
        process: &ProcessState,
        mut config: Config,
        security: Security,
        newer_tls: Tls,
        files: Vec<PathBuf>,
        page: Arc<str>,
        before: Option<&Self>,
    ) -> Result<Self, StartError> {
        let mut waits = waiting(&process.first, &config);
        let mut tls = before.map_or_else(|| newer_tls.clone(), |before| before.tls.continued(&newer_tls));
        let switched = before.filter(|before| before.tls.server.is_some() != newer_tls.server.is_some());
        if let Some(before) = switched {
            // Policies at the gateways may ask for TLS, so all of it changes at once, and not under open connections.
            tls.server.clone_from(&before.tls.server);
            waits.push("server.tls_cert".to_owned());
        }
        let filer = filer(&config.filer, &tls, process, before)?;
        let entries = entries(&config.cache, &filer.part, process, before);
        let made = before.map(|before| &before.source_parts);
        let source_parts = source(&config, &tls, &filer.part, &entries.part, process, made)?;
        let relay = relay(&config.filer, &tls, process, before)?;
        let of = (IdentityKey(Arc::clone(&filer.part)), IdentityKey(Arc::clone(&relay.part)));
        let Ok(demands) = ReusablePart::again(before.map(|before| &before.demands), of, |(filer, relay)| {
            let filers = FilerConnections::new(Arc::clone(&filer.0), Arc::clone(&relay.0));
            Ok::<_, Infallible>(Arc::new(Demands::new(filers, process.read_key.clone())))
        });
        let s3_stays = process.s3.is_none() || config.s3.listen.is_none() || switched.is_some();
        let s3 = match before {
            Some(before) if s3_stays => before.s3.clone(),
            _ => s3(&config, &tls, before)?,
        };
        let providers: Vec<_> = config.kms.providers.keys().cloned().collect();
        let key_file = before
            .map_or_else(|| watch::Sender::new(Arc::clone(&source_parts.source)), |before| before.key_file.clone());
        let sse_s3 = sse_s3(&mut config.sse_s3, process, &key_file, before.map(|before| &before.sse_s3))?;
        let keys = Arc::new(key_ring(&mut config, &tls, Arc::clone(&sse_s3.part), &process.metrics)?);
        let most = config.limits.requests_per_second_per_peer.at();
        let Ok(request_rate) = ReusablePart::again(before.map(|before| &before.request_rate), most, |most| {
            let rate = most.map(|most| Rate::new(most.into(), REQUESTS_AT_ONCE));
            Ok::<_, Infallible>(rate.map(|rate| Arc::new(Buckets::new(rate))))
        });
        let types = ContentTypes::of_this_machine();
        let stages = Stages {
            source: Arc::clone(&source_parts.source),
            entries: Arc::clone(&entries.part),
            keys: Arc::clone(&keys),
            types,
            lookups: Lookups::new(Duration::ZERO),
        };
        Ok(Self {
            files,
            page,
            believed: security.trusted_proxies,
            waits,
            keys,
            filer,
            source_parts,
            entries,
            relay,
            demands,
            sse_s3,
            key_file,
            request_rate,
            s3,
            stages: Arc::new(stages),
            trusted_proxies: Arc::new(config.server.trusted_proxies.iter().copied().collect()),
            newer: Some(Activation {
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
    pub(crate) fn take_over(&mut self, process: &ProcessState, before: Option<&Self>) {
        let Some(Activation { tls, read_key, volume_tokens, providers, is_insecure }) = self.newer.take() else {
            return;
        };
        if is_insecure {
            tracing::warn!(
                "https.client.insecure_skip_verify is set: whoever is in the way can pass for a filer or volume server"
            );
        }
        self.tls.adopt(&tls);
        process.metrics.certificates.in_use(self.tls.ends());
        process.filers.configured(self.config.filer.addresses.iter().map(FilerAddress::http_authority));
        process.metrics.kms.configured(providers.iter().map(String::as_str));
        process.read_key.replace(read_key);
        process.volume_tokens.replace(volume_tokens);
        process.limit(&self.config.limits);
        self.key_file.send_replace(Arc::clone(self.source()));
        if let Some(before) = before {
            self.source().engine.take_over(&before.source().engine);
            self.demands.part.doubt();
        }
    }

    /// What clients of the filer front are answered by.
    pub(super) fn filer_front(
        &self,
        process: &ProcessState,
        access_lines: Option<Arc<layers::AccessLines>>,
    ) -> impl Front + use<> {
        let access = &self.config.access;
        let reader = Reader {
            stages: Arc::clone(&self.stages),
            relay: Arc::clone(&self.relay.part),
            access: self.rules(process.read_key.clone()),
            demands: Arc::clone(&self.demands.part),
            policy: Policy { ssec_over_http: access.ssec_over_http, shared_caches: access.shared_caches },
            origins: AllowedOrigins::new(&self.config.filer.allowed_origins),
        };
        layers::around(reader, FrontLabel::Filer, &self.shared(process, access_lines))
    }

    /// What clients of the S3 front are answered by, if there is one.
    pub(super) fn s3_front(
        &self,
        process: &ProcessState,
        access_lines: Option<Arc<layers::AccessLines>>,
    ) -> Option<impl Front + use<>> {
        let ((gateways, decision_timeout), metrics) = self.s3.as_ref().zip(process.s3.as_ref())?;
        let front = S3Front {
            stages: Arc::clone(&self.stages),
            gateways: Arc::clone(&gateways.part),
            policies: Policies::default(),
            decision_timeout: *decision_timeout,
            metrics: Arc::clone(metrics),
        };
        Some(layers::around(front, FrontLabel::S3, &self.shared(process, access_lines)))
    }

    /// Who may have what at the filer front.
    pub(super) fn rules(&self, read_key: CurrentKey<SigningKey>) -> Access {
        let access = &self.config.access;
        let managed_keys = match access.managed_keys {
            config::ManagedKeys::None => ManagedKeyPolicy::None,
            config::ManagedKeys::Jwt => ManagedKeyPolicy::Jwt,
            config::ManagedKeys::Mtls => ManagedKeyPolicy::Mtls,
            config::ManagedKeys::Any => ManagedKeyPolicy::Any,
        };
        Access { read_key, system_paths: access.system_paths, managed_keys }
    }

    fn shared(&self, process: &ProcessState, access: Option<Arc<layers::AccessLines>>) -> layers::LayerState {
        layers::LayerState {
            requests: Arc::clone(&process.metrics.requests),
            trusted_proxies: Arc::clone(&self.trusted_proxies),
            hit: Arc::clone(&process.metrics.limits),
            access,
            running: process.running.clone(),
            places: process.places.clone(),
            request_rate: self.request_rate.part.clone(),
            bytes_per_second: Arc::clone(&process.rates),
        }
    }

    pub(super) fn source(&self) -> &Arc<Source> {
        &self.source_parts.source
    }

    pub(super) fn filer(&self) -> &Arc<FilerClient> {
        &self.filer.part
    }

    pub(super) fn entries(&self) -> &Arc<Entries<DerivedFile>> {
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

/// A client of the configured filers.
fn filer(
    filer: &config::Filer,
    tls: &Tls,
    process: &ProcessState,
    before: Option<&Parts>,
) -> Result<ReusablePart<FilerSettings, Arc<FilerClient>>, StartError> {
    let filers = filer.addresses.iter();
    let filers = filers.map(|address| (address.grpc_authority(), address.http_authority())).collect();
    let of: FilerSettings = (filers, tls.grpc.is_some());
    ReusablePart::again(before.map(|before| &before.filer), of, |(filers, _)| {
        let client = match ClientTls::config_of(tls.grpc.as_ref())? {
            None => FilerClient::new(filers.clone())?,
            Some(tls) => FilerClient::with_tls(filers.clone(), tls)?,
        };
        Ok(Arc::new(client.counted(Arc::clone(&process.filers))))
    })
}

fn entries(
    cache: &config::Cache,
    filer: &Arc<FilerClient>,
    process: &ProcessState,
    before: Option<&Parts>,
) -> ReusablePart<(IdentityKey<FilerClient>, u64), Arc<Entries<DerivedFile>>> {
    let of = (IdentityKey(Arc::clone(filer)), cache.entries.bytes());
    let Ok(entries) = ReusablePart::again(before.map(|before| &before.entries), of, |(filer, bytes)| {
        let counters = process.metrics.caches.of(Cache::Entries);
        Ok::<_, Infallible>(Entries::new(*bytes, filer.0.buckets().clone(), counters))
    });
    entries
}

fn relay(
    filer: &config::Filer,
    tls: &Tls,
    process: &ProcessState,
    before: Option<&Parts>,
) -> Result<ReusablePart<(Duration, bool), Arc<Relay>>, StartError> {
    let of = (filer.progress_timeout, tls.https.is_some());
    ReusablePart::again(before.map(|before| &before.relay), of, |(progress_timeout, _)| {
        let relay = Relay::new(RELAY_CONNECT_TIMEOUT, *progress_timeout, ClientTls::config_of(tls.https.as_ref())?)?;
        Ok(Arc::new(relay.counted(Arc::clone(&process.filers))))
    })
}

/// The gateways, and how long one may take to decide; `None`: there is no S3 front.
fn s3(config: &Config, tls: &Tls, before: Option<&Parts>) -> Result<Option<GatewayPart>, StartError> {
    let Config { s3, filer, .. } = config;
    if s3.listen.is_none() {
        return Ok(None);
    }
    let authorities = s3.gateway.iter().map(|gateway| gateway.authority.clone()).collect();
    let domains = s3.domains.iter().map(|domain| domain.as_str().to_owned()).collect();
    let of: GatewaySettings = (authorities, domains, filer.progress_timeout, tls.gateway.is_some());
    let before = before.and_then(|before| before.s3.as_ref()).map(|(gateways, _)| gateways);
    let gateways = ReusablePart::again(before, of, |(authorities, domains, progress_timeout, _)| {
        let tls = ClientTls::config_of(tls.gateway.as_ref())?;
        let relay = Relay::to_gateways(RELAY_CONNECT_TIMEOUT, *progress_timeout, tls)?;
        Ok::<_, StartError>(Arc::new(Gateways::new(relay, authorities.clone(), domains.clone())))
    })?;
    Ok(Some((gateways, s3.decision_timeout)))
}
