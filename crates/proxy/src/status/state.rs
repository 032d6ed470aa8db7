//! What `/status.json` says, member by member; docs/status.md tells what each means.
//!
//! Numbers are bytes, seconds and bytes a second. What is not known is `null`. Members may come; none changes its meaning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All of it, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// When it was taken: RFC 3339, UTC.
    pub at: String,
    /// What runs.
    pub build: Build,
    /// Seconds since the process started.
    pub uptime: f64,
    /// Whether all is well, and what is not.
    pub health: Health,
    /// What goes on, in a few numbers.
    pub traffic: Traffic,
    /// Connections of clients.
    pub connections: Connections,
    /// Requests whose answer is not out, those that run longest first.
    pub downloads: Excerpt<Download>,
    /// The filers, in the order of the configuration.
    pub filers: Vec<Filer>,
    /// The volume servers that were met: first those that are set aside, then those that have most to do.
    pub volume_servers: Excerpt<VolumeServer>,
    /// The key management services.
    pub kms: Vec<Kms>,
    /// What is kept in memory.
    pub caches: Vec<Cache>,
    /// The memory of downloads.
    pub memory: Memory,
    /// What is in force of `[limits]` and of the connections' limits, and how often clients came to it.
    pub limits: Vec<Limit>,
    /// The certificates that are in use.
    pub certificates: Vec<Certificate>,
    /// The effective configuration, as `tidegate check` prints it.
    pub config: String,
}

/// Some of many.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Excerpt<T> {
    /// Those.
    pub listed: Vec<T>,
    /// How many there are beside them.
    pub more: usize,
}

/// What runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// Its version.
    pub version: String,
    /// Architecture and system.
    pub target: String,
    /// What it was built with.
    pub features: Vec<String>,
}

/// Whether all is well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Whether `/readyz` answers 200.
    pub ready: bool,
    /// What is wrong, the worst first.
    pub problems: Vec<Problem>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is, in one sentence.
    pub what: String,
    /// Where to look, or what to do.
    pub advice: String,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Reads fail.
    Failing,
    /// Reads go on, and somebody should look.
    Warning,
}

/// What goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Requests whose answer is not out.
    pub requests_in_flight: u64,
    /// Bytes of answers a second, over the last seconds.
    pub bytes_per_second: f64,
    /// Requests that ended, a second, over the last seconds.
    pub requests_per_second: f64,
    /// Answers of 5xx in the last five minutes.
    pub failed_lately: u64,
    /// Answers that broke off on our side or the filer's in the last five minutes.
    pub cut_lately: u64,
    /// Answers since the start that were tidegate's.
    pub served: u64,
    /// Answers since the start that were passed on.
    pub relayed: u64,
    /// Fetches from volume servers that run.
    pub fetches: u64,
}

/// Connections of clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Connections {
    /// Open ones by front.
    pub open: BTreeMap<String, u64>,
    /// At most so many of all fronts.
    pub most: u64,
    /// Since the start.
    pub accepted: u64,
    /// Since the start, by the reason.
    pub refused: BTreeMap<String, u64>,
    /// Since the start.
    pub accept_errors: u64,
    /// TLS handshakes that failed, since the start.
    pub tls_errors: u64,
    /// Open files of the process, and how many there may be.
    pub open_files: u64,
    /// The most.
    pub most_files: u64,
}

/// A request whose answer is not out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Download {
    /// As in the log, and in `X-Request-Id` of the answer.
    pub id: String,
    /// `filer` or `s3`.
    pub front: String,
    /// The client's address.
    pub peer: String,
    /// Of the request.
    pub method: String,
    /// Of the request, with `admin.show_paths`.
    pub path: Option<String>,
    /// Of the answer; `null`: there is none yet.
    pub status: Option<u16>,
    /// How the object is encrypted: `none`, `c`, `kms`, `s3`; `null`: not known yet.
    pub sse: Option<String>,
    /// Whether the answer is passed on.
    pub relayed: bool,
    /// Bytes of the answer that are out.
    pub sent: u64,
    /// Bytes of the answer; `null`: not known.
    pub total: Option<u64>,
    /// Bytes a second, of late.
    pub rate: u64,
    /// Seconds since the request came.
    pub age: f64,
}

/// A filer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Filer {
    /// Its address for HTTP.
    pub address: String,
    /// Whether it answered when it was last asked.
    pub up: bool,
    /// Whether it is the one that is asked.
    pub used: bool,
    /// The median of its latest answers, seconds.
    pub latency: Option<f64>,
}

/// A volume server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VolumeServer {
    /// As the filer gives it.
    pub address: String,
    /// `good`, `aside` (asked only for what nobody else has) or `probed` (one request finds out whether it is back).
    pub state: String,
    /// Whether it is in another data center than `filer.data_center`.
    pub far: bool,
    /// The time to the first byte that is usual of late, seconds; 0 where it was not asked for long.
    pub latency: f64,
    /// Requests that it has.
    pub requests: usize,
    /// Requests that wait for a place at it.
    pub waiting: usize,
    /// Requests that it may have at once.
    pub places: usize,
    /// Seconds since which every request to it has failed.
    pub failing_for: Option<f64>,
}

/// A key management service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kms {
    /// Its name in `kms.providers`.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Whether it answers, as far as is known.
    pub up: bool,
    /// How it last failed: its kind.
    pub last_failure: Option<String>,
    /// Seconds since then.
    pub last_failure_age: Option<f64>,
    /// Requests since the start that gave a key.
    pub ok: u64,
    /// Requests since the start that did not.
    pub failed: u64,
}

/// A cache.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cache {
    /// As in metrics.
    pub name: String,
    /// How many it keeps.
    pub entries: u64,
    /// What they take; `null`: it is bounded by their number.
    pub bytes: Option<u64>,
    /// Lookups since the start that found something.
    pub hits: u64,
    /// Lookups since the start that did not.
    pub misses: u64,
}

/// The memory of downloads, `prefetch.memory`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// All of it.
    pub limit: u64,
    /// Taken by downloads, filled or not.
    pub taken: u64,
    /// Filled with bytes on their way.
    pub filled: u64,
    /// Downloads that have a part.
    pub downloads: usize,
    /// Downloads that may have one.
    pub most_downloads: usize,
    /// Downloads that wait for one.
    pub waiting: usize,
    /// Who has most.
    pub peers: Excerpt<Holder>,
    /// Resident memory of the process.
    pub resident: u64,
}

/// Who has memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// The client's address, or the first of its IPv6 /64; `null`: tidegate itself.
    pub peer: Option<String>,
    /// How much.
    pub bytes: u64,
    /// For so many downloads.
    pub downloads: usize,
}

/// A limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// Its key in the configuration.
    pub key: String,
    /// Its value as it is written there.
    pub value: String,
    /// How often somebody came to it since the start.
    pub hits: u64,
}

/// A certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Where it is in use.
    pub name: String,
    /// When it expires, seconds since 1970.
    pub expires: f64,
}
