//! What the filers are asked for.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use http::StatusCode;
use rustls::ClientConfig;
use tokio::sync::watch;
use tonic::{
    Streaming,
    transport::{Channel, Endpoint},
};

use super::{
    buckets::FolderAgreement,
    dialling,
    hedging::{Latencies, Savings},
    line::{Filer, question},
    signature::Signature,
    standing::Standings,
    status,
    tenure::Tenure,
};
use crate::{
    Blame, Error, Result,
    entry::{EntryPath, sealed},
    metrics::Filers,
    pb,
};

/// Asks the filers for entries and volumes. Cheap to share by reference or `Arc`.
#[derive(Debug)]
pub struct FilerClient {
    filers: Vec<Filer>,
    pub(super) standings: watch::Sender<Standings>,
    latencies: Vec<Latencies>,
    signatures: Vec<Signature>,
    buckets: FolderAgreement,
    pub(super) savings: Savings,
    /// `None`: nobody counts.
    pub(super) counted: Option<Arc<Filers>>,
}

/// An entry as it was found, and how new it is.
#[derive(Clone, Debug, PartialEq)]
pub struct EntrySnapshot {
    /// The entry.
    pub entry: pb::Entry,
    /// Every event of the filer's log at or below this position (nanoseconds) is in the entry already.
    pub log_ts_ns: i64,
    /// The filer whose clock stamped the position; positions of different filers don't compare.
    pub log_signature: i32,
}

impl FilerClient {
    /// A client of the filers at `(gRPC authority, HTTP authority)`, each `host:port`, in order of preference. Connects
    /// at the first call. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Blames the configuration if there is no address, or one is not an authority.
    pub fn new(addresses: Vec<(String, String)>) -> Result<Self> {
        Self::reached_by(addresses, "http", dialling::plain)
    }

    /// As [`new`](Self::new), with `tls` on every connection.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_tls(addresses: Vec<(String, String)>, tls: ClientConfig) -> Result<Self> {
        Self::reached_by(addresses, "https", move |endpoint, begun| dialling::with_tls(endpoint, begun, tls.clone()))
    }

    /// A client over channels that somebody else makes: what makes them, gRPC authority, HTTP authority.
    #[cfg(test)]
    pub(super) fn with_channels(channels: Vec<(super::tests::Dial, String, String)>) -> Result<Self> {
        let filers = channels.into_iter().map(|(channel, grpc_authority, http_authority)| {
            Filer::new(grpc_authority, http_authority, move || (channel(), Arc::default()))
        });
        Self::of(filers.collect())
    }

    /// A client of filers whose channels `dial` makes, and counts the connections of.
    fn reached_by(
        addresses: Vec<(String, String)>,
        scheme: &str,
        dial: impl Fn(&Endpoint, Arc<AtomicU64>) -> Channel + Clone + Send + Sync + 'static,
    ) -> Result<Self> {
        let filers = addresses.into_iter().map(|(grpc_authority, http_authority)| {
            let endpoint = Endpoint::from_shared(format!("{scheme}://{grpc_authority}")).map_err(|_| {
                config_error(format!("filer.addresses: `{grpc_authority}` is not host:port; write it as weed does"))
            })?;
            let (endpoint, dial) = (dialling::settings(endpoint), dial.clone());
            Ok(Filer::new(grpc_authority, http_authority, move || {
                let begun = Arc::default();
                (dial(&endpoint, Arc::clone(&begun)), begun)
            }))
        });
        Self::of(filers.collect::<Result<_>>()?)
    }

    fn of(filers: Vec<Filer>) -> Result<Self> {
        if filers.is_empty() {
            return Err(config_error("filer.addresses is empty; name at least one filer".to_owned()));
        }
        let count = filers.len();
        Ok(Self {
            filers,
            standings: watch::Sender::new(Standings::new(count)),
            latencies: (0..count).map(|_| Latencies::default()).collect(),
            signatures: (0..count).map(|_| Signature::default()).collect(),
            buckets: FolderAgreement::default(),
            savings: Savings::new(),
            counted: None,
        })
    }

    /// The same, and `filers` are told how they answer.
    #[must_use]
    pub(crate) fn counted(self, filers: Arc<Filers>) -> Self {
        Self { counted: Some(filers), ..self }
    }

    /// The HTTP authority (`host:port`) of the filer that is asked first.
    pub fn http_authority(&self) -> &str {
        &self.filers[self.preferred()].http_authority
    }

    /// Looks an entry up. `None`: there is none.
    ///
    /// # Errors
    /// Blames the filer: 503 when none could be reached in time, 502 when one answered with an error.
    pub async fn lookup(&self, path: &EntryPath) -> Result<Option<EntrySnapshot>> {
        let request =
            pb::LookupDirectoryEntryRequest { directory: path.directory().to_owned(), name: path.name().to_owned() };
        let answer: Option<pb::LookupDirectoryEntryResponse> = match self.call("LookupDirectoryEntry", request).await {
            Ok(answer) => Some(answer),
            Err((_, status)) if status::is_not_found(&status) => None,
            Err((filer, status)) => return Err(status::to_error("LookupDirectoryEntry", filer, &status)),
        };
        Ok(answer.and_then(|answer| {
            let (log_ts_ns, log_signature) = (answer.log_ts_ns, answer.log_signature);
            answer.entry.map(|mut entry| {
                sealed::as_plain(&mut entry);
                EntrySnapshot { entry, log_ts_ns, log_signature }
            })
        }))
    }

    /// The servers that hold a volume, one per replica. Empty: nobody holds it now.
    ///
    /// # Errors
    /// As [`FilerClient::lookup`].
    pub async fn lookup_volume(&self, volume_id: u32) -> Result<Vec<pb::Location>> {
        let id = volume_id.to_string();
        let request = pb::LookupVolumeRequest { volume_ids: vec![id.clone()] };
        let mut answer: pb::LookupVolumeResponse = match self.call("LookupVolume", request).await {
            Ok(answer) => answer,
            Err((_, status)) if status::is_unknown_volume(&status, &id) => return Ok(Vec::new()),
            Err((filer, status)) => return Err(status::to_error("LookupVolume", filer, &status)),
        };
        Ok(answer.locations_map.remove(&id).map(|found| found.locations).unwrap_or_default())
    }

    /// The index of the filer that is asked first.
    pub(crate) fn preferred(&self) -> usize {
        self.standings.borrow().preferred()
    }

    pub(super) fn filer(&self, index: usize) -> &Filer {
        &self.filers[index]
    }

    pub(super) fn latencies(&self, index: usize) -> &Latencies {
        &self.latencies[index]
    }

    pub(super) fn signature(&self, index: usize) -> &Signature {
        &self.signatures[index]
    }

    /// Where the filers keep buckets, as far as they have told.
    pub(crate) fn buckets(&self) -> &FolderAgreement {
        &self.buckets
    }

    /// Filer `index` as it is asked now; to be taken before it is asked, by whom it matters that it goes on.
    pub(crate) fn tenure(&self, index: usize) -> Tenure {
        Tenure { index, standings: self.standings.subscribe(), lines: self.filers[index].lines() }
    }

    /// Each filer in the order of the configuration: its HTTP authority, whether it answers, whether it is asked first, and what
    /// its latest answers took.
    pub(crate) fn insight(&self) -> Vec<(&str, bool, bool, Option<Duration>)> {
        let standings = self.standings.borrow().clone();
        let of = |(index, filer)| {
            let Filer { http_authority, .. }: &Filer = filer;
            let is_first = index == standings.preferred();
            (&**http_authority, !standings.is_away(index), is_first, self.latencies[index].median())
        };
        self.filers.iter().enumerate().map(of).collect()
    }

    /// How many filers there are.
    pub(crate) fn count(&self) -> usize {
        self.filers.len()
    }

    /// How many connections were begun to the gRPC of filer `index`. All that it has answered came over one of them.
    pub(crate) fn connections(&self, index: usize) -> u64 {
        self.filers[index].connections()
    }

    /// The HTTP authority of filer `index`.
    pub(crate) fn http_name(&self, index: usize) -> &str {
        &self.filers[index].http_authority
    }

    /// The gRPC authority of filer `index`.
    pub(crate) fn name(&self, index: usize) -> &str {
        &self.filers[index].grpc_authority
    }

    /// The HTTP authorities of all filers in the order in which they are asked: those that did not answer last.
    pub(crate) fn http_authorities(&self) -> impl Iterator<Item = &str> {
        self.standings.borrow().order().into_iter().map(|index| &*self.filers[index].http_authority)
    }

    /// The signature of filer `index`, and the time on its clock in nanoseconds since the epoch.
    ///
    /// # Errors
    /// As [`FilerClient::lookup`].
    pub(crate) async fn position(&self, index: usize) -> Result<(i32, i64)> {
        let filer = &self.filers[index];
        let failed = |method, status| status::to_error(method, &filer.grpc_authority, &status);
        let method = "GetFilerConfiguration";
        let configuration: pb::GetFilerConfigurationResponse =
            filer.call(method, pb::GetFilerConfigurationRequest {}).await.map_err(|status| failed(method, status))?;
        let pong: pb::PingResponse =
            filer.call("Ping", pb::PingRequest::default()).await.map_err(|status| failed("Ping", status))?;
        Ok((configuration.signature, pong.start_time_ns))
    }

    /// Subscribes to the changes at filer `index`. Comes back with the filer's first message at the earliest.
    ///
    /// # Errors
    /// As [`FilerClient::lookup`]. There is no deadline: who waits sets one.
    pub(crate) async fn subscribe(
        &self,
        index: usize,
        request: pb::SubscribeMetadataRequest,
    ) -> Result<Streaming<pb::SubscribeMetadataResponse>> {
        let filer = &self.filers[index];
        let method = "SubscribeMetadata";
        let failed = |status| status::to_error(method, &filer.grpc_authority, &status);
        filer.stream(method, request).await.map_err(failed)
    }

    /// Whether some filer looks entries up: it is asked for one that is not there, which its store has to say.
    ///
    /// # Errors
    /// As [`FilerClient::lookup`].
    pub async fn check_lookup(&self) -> Result<()> {
        let method = "LookupDirectoryEntry";
        let found: Result<pb::LookupDirectoryEntryResponse, _> = self.call(method, question()).await;
        match found {
            Err((filer, status)) if !status::is_not_found(&status) => Err(status::to_error(method, filer, &status)),
            _ => Ok(()),
        }
    }

    /// Filer `index` has answered, or has failed.
    pub(super) fn stands(&self, index: usize, answers: bool) {
        if self.standings.borrow().is_away(index) != answers {
            return;
        }
        let mut is_news = false;
        self.standings.send_if_modified(|standings| {
            let before = standings.clone();
            is_news = if answers { standings.answered(index) } else { standings.failed(index) };
            *standings != before
        });
        if let Some(counted) = &self.counted {
            counted.stands(&self.filers[index].http_authority, answers);
        }
        let filer = &*self.filers[index].grpc_authority;
        match (is_news, answers) {
            (true, true) => tracing::info!(filer, "the filer answers again"),
            (true, false) => tracing::warn!(filer, "the filer does not answer; others are asked first"),
            (false, _) => {}
        }
    }
}

fn config_error(message: String) -> Error {
    Error::new(Blame::Config, StatusCode::INTERNAL_SERVER_ERROR, message)
}
