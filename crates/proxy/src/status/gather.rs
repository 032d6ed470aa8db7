//! From what the parts of the daemon tell of themselves to one status.

use std::{
    cmp::Reverse,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prefetch::{HolderInsight, ServerInsight, StandingInsight};
use prometheus::Registry;

use super::{
    health,
    readings::Readings,
    recent::{RecentActivity, RecentCounters},
    state::{
        Build, Cache, Certificate, Connections, Download, Excerpt, Filer, Holder, Kms, Limit, Memory, Status, Traffic,
        VolumeServer,
    },
};
use crate::{
    filer::FilerClient,
    keys::KeyRing,
    layers::{Exchange, RunningRequests},
    metrics,
    read::Source,
};

/// The most downloads that are listed.
const DOWNLOADS: usize = 50;
/// The most volume servers.
const SERVERS: usize = 100;
/// The most peers that have memory.
const HOLDERS: usize = 10;

/// Where everything is found.
pub(crate) struct Sources {
    /// The metrics.
    pub(crate) registry: Registry,
    /// The requests that run.
    pub(crate) running: RunningRequests,
    /// What is in force now.
    pub(crate) parts: Box<dyn Fn() -> StatusParts + Send + Sync>,
    /// The limits that are told.
    pub(crate) limits: &'static [LimitSetting],
}

/// What is in force, and tells of itself.
pub(crate) struct StatusParts {
    /// The filers.
    pub(crate) filer: Arc<FilerClient>,
    /// The volume servers, and the memory.
    pub(crate) source: Arc<Source>,
    /// The key management services.
    pub(crate) keys: Arc<KeyRing>,
    /// What of the configuration is told.
    pub(crate) settings: Settings,
}

/// What of the configuration is told.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Whether paths are told: `admin.show_paths`.
    pub(crate) show_paths: bool,
    /// Requests that there may be at one volume server.
    pub(crate) per_server: usize,
    /// Whether entries are to be kept, for which the filer's changes are followed.
    pub(crate) keeps_entries: bool,
    /// The page of `tidegate check`.
    pub(crate) page: Arc<str>,
    /// The values in it.
    pub(crate) values: Arc<toml::Table>,
}

/// A limit, whose value stands in the page.
pub(crate) struct LimitSetting {
    /// Its key.
    pub(crate) key: &'static str,
    /// The counter of those who came to it: metric, label, value of the label.
    pub(crate) counter: (&'static str, &'static str, &'static str),
}

/// All there is to tell now. `ready`: what `/readyz` says.
pub(super) fn status(sources: &Sources, recent: &RecentCounters, ready: &Result<(), String>) -> Status {
    let readings = Readings::of(&sources.registry);
    let lately = recent.lately(&readings);
    let StatusParts { filer, source, keys, settings } = (sources.parts)();
    let since_start = readings.sum("process_start_time_seconds", &[]);
    let mut status = Status {
        at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        build: build(),
        uptime: (now() - since_start).max(0.0),
        traffic: traffic(&readings, &lately),
        connections: connections(&readings, &settings.values),
        downloads: downloads(sources.running.all(), settings.show_paths),
        filers: filers(&filer),
        volume_servers: volume_servers(source.engine.servers(), settings.per_server),
        kms: kms(&keys, &readings),
        caches: caches(&readings),
        memory: memory(&source, &readings),
        limits: sources.limits.iter().map(|limit| limit.read(&readings, &settings.values)).collect(),
        certificates: certificates(&readings),
        config: settings.page.to_string(),
        ..Status::default()
    };
    status.health = health::of(&status, &readings, &lately.gone, ready, settings.keeps_entries, now());
    status
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn build() -> Build {
    let features = [
        ("aws", cfg!(feature = "aws")),
        ("openbao", cfg!(feature = "openbao")),
        ("gcp", cfg!(feature = "gcp")),
        ("azure", cfg!(feature = "azure")),
        ("otlp", cfg!(feature = "otlp")),
    ];
    Build {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        target: metrics::target(),
        features: features.into_iter().filter(|(_, is_in)| *is_in).map(|(name, _)| name.to_owned()).collect(),
    }
}

fn traffic(readings: &Readings, lately: &RecentActivity) -> Traffic {
    Traffic {
        requests_in_flight: readings.count("tidegate_requests_in_flight", &[]),
        bytes_per_second: lately.bytes_per_second,
        requests_per_second: lately.requests_per_second,
        failed_lately: lately.gone.failed,
        cut_lately: lately.gone.cut,
        served: readings.count("tidegate_answers_total", &[("by", "served")]),
        relayed: readings.count("tidegate_answers_total", &[("by", "relayed")]),
        fetches: readings.count("tidegate_fetches_in_flight", &[]),
    }
}

fn connections(readings: &Readings, values: &toml::Table) -> Connections {
    let whole = |(name, count): (String, f64)| (name, count.max(0.0) as u64);
    Connections {
        open: readings.by("tidegate_connections", "front").into_iter().map(whole).collect(),
        most: value(values, "server.max_connections").and_then(|most| most.parse().ok()).unwrap_or_default(),
        accepted: readings.count("tidegate_connections_accepted_total", &[]),
        refused: readings.by("tidegate_connections_refused_total", "reason").into_iter().map(whole).collect(),
        accept_errors: readings.count("tidegate_accept_errors_total", &[]),
        tls_errors: readings.count("tidegate_tls_handshake_errors_total", &[]),
        open_files: readings.count("process_open_fds", &[]),
        most_files: readings.count("process_max_fds", &[]),
    }
}

fn downloads(mut running: Vec<Arc<Exchange>>, show_paths: bool) -> Excerpt<Download> {
    running.sort_by_key(|exchange| exchange.started);
    // Before the list is cut: a rate is since somebody looked last.
    let more = running.len().saturating_sub(DOWNLOADS);
    let listed = running.iter().take(DOWNLOADS).map(|exchange| download(exchange, show_paths)).collect();
    Excerpt { listed, more }
}

fn download(exchange: &Exchange, show_paths: bool) -> Download {
    let answer = exchange.answer();
    Download {
        id: exchange.id.to_string(),
        front: exchange.front.as_str().to_owned(),
        peer: exchange.peer.to_string(),
        method: exchange.method.to_string(),
        path: show_paths.then(|| exchange.path().to_owned()),
        status: answer.map(|answer| answer.status),
        sse: answer.map(|answer| answer.sse.as_str().to_owned()),
        relayed: answer.is_some_and(|answer| answer.is_relayed),
        sent: exchange.sent(),
        total: answer.and_then(|answer| answer.total),
        rate: exchange.rate(),
        age: exchange.started.elapsed().as_secs_f64(),
    }
}

fn filers(client: &FilerClient) -> Vec<Filer> {
    let filers = client.insight().into_iter();
    let filer = |(address, up, used, latency): (&str, bool, bool, Option<Duration>)| Filer {
        address: address.to_owned(),
        up,
        used,
        latency: latency.map(|latency| latency.as_secs_f64()),
    };
    filers.map(filer).collect()
}

fn volume_servers(mut servers: Vec<ServerInsight>, places: usize) -> Excerpt<VolumeServer> {
    let load = |server: &ServerInsight| server.requests + server.waiting;
    servers.sort_by(|one, other| {
        let rank = |server: &ServerInsight| (server.standing == StandingInsight::Good, Reverse(load(server)));
        rank(one).cmp(&rank(other)).then_with(|| one.authority.cmp(&other.authority))
    });
    let more = servers.len().saturating_sub(SERVERS);
    let server = |server: ServerInsight| VolumeServer {
        address: server.authority.to_string(),
        state: match server.standing {
            StandingInsight::Good => "good",
            StandingInsight::Aside => "aside",
            StandingInsight::Probed => "probed",
        }
        .to_owned(),
        far: server.is_far,
        latency: server.latency.as_secs_f64(),
        requests: server.requests,
        waiting: server.waiting,
        places,
        failing_for: server.failing_for.map(|time| time.as_secs_f64()),
    };
    Excerpt { listed: servers.into_iter().take(SERVERS).map(server).collect(), more }
}

fn kms(keys: &KeyRing, readings: &Readings) -> Vec<Kms> {
    let services = keys.services().into_iter();
    let requests = |name: &str, outcomes: &[&str]| {
        outcomes
            .iter()
            .map(|outcome| readings.count("tidegate_kms_requests_total", &[("provider", name), ("outcome", outcome)]))
            .sum()
    };
    services
        .map(|service| Kms {
            ok: requests(&service.name, &["ok"]),
            failed: requests(&service.name, &["refused", "unavailable", "invalid"]),
            name: service.name,
            kind: service.kind.to_owned(),
            up: !service.is_down,
            last_failure: service.last_failure.map(|(failure, _)| failure.to_owned()),
            last_failure_age: service.last_failure.map(|(_, age)| age.as_secs_f64()),
        })
        .collect()
}

fn caches(readings: &Readings) -> Vec<Cache> {
    let bytes = readings.by("tidegate_cache_bytes", "cache");
    let entries = readings.by("tidegate_cache_entries", "cache").into_iter();
    let lookups =
        |name: &str, outcome| readings.count("tidegate_cache_requests_total", &[("cache", name), ("outcome", outcome)]);
    entries
        .map(|(name, entries)| Cache {
            entries: entries as u64,
            bytes: bytes.get(&name).map(|bytes| *bytes as u64),
            hits: lookups(&name, "hit"),
            misses: lookups(&name, "miss"),
            name,
        })
        .collect()
}

fn memory(source: &Source, readings: &Readings) -> Memory {
    let mut insight = source.engine.memory();
    insight.holders.sort_by_key(|holder| Reverse((holder.bytes, holder.downloads)));
    let more = insight.holders.len().saturating_sub(HOLDERS);
    let holder = |holder: &HolderInsight| Holder {
        peer: holder.peer.map(|peer| peer.to_string()),
        bytes: holder.bytes,
        downloads: holder.downloads,
    };
    Memory {
        limit: insight.limit,
        taken: insight.holders.iter().map(|holder| holder.bytes).sum(),
        filled: readings.count("tidegate_prefetch_buffer_bytes", &[]),
        downloads: insight.holders.iter().map(|holder| holder.downloads).sum(),
        most_downloads: insight.most_downloads,
        waiting: insight.waiting,
        peers: Excerpt { listed: insight.holders.iter().take(HOLDERS).map(holder).collect(), more },
        resident: readings.count("process_resident_memory_bytes", &[]),
    }
}

impl LimitSetting {
    fn read(&self, readings: &Readings, values: &toml::Table) -> Limit {
        let (metric, label, of) = self.counter;
        Limit {
            key: self.key.to_owned(),
            value: value(values, self.key).unwrap_or_default(),
            hits: readings.count(metric, &[(label, of)]),
        }
    }
}

/// The value of a key, `table.key`, as people write it.
fn value(values: &toml::Table, key: &str) -> Option<String> {
    let (table, key) = key.split_once('.')?;
    match values.get(table)?.get(key)? {
        toml::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Those that the metrics tell of.
fn certificates(readings: &Readings) -> Vec<Certificate> {
    let expiry = readings.by("tidegate_certificate_expiry_timestamp_seconds", "role").into_iter();
    expiry.map(|(name, expires)| Certificate { name, expires }).collect()
}
