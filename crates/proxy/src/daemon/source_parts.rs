//! Where the bytes of files come from: the engine, and all that it is told by.

use std::{convert::Infallible, sync::Arc, time::Duration};

use prefetch::{ChunkCache, Engine, HttpUpstream, Renewal, Upstream, WindowSetting};

use super::{
    process_state::ProcessState,
    reusable_part::{IdentityKey, ReusablePart},
    start_error::StartError,
};
use crate::{
    access::VolumeMint,
    config::{Config, Verify, Window},
    entries::Entries,
    filer::FilerClient,
    metrics::{self, Cache},
    read::{DerivedFile, Expansions, Source, VolumeLocations},
    tls::{ClientTls, Tls},
};

/// How volume servers are reached: requests at once to one, the time for a connection, and whether over TLS.
type UpstreamSettings = (u32, Duration, bool);

/// A source, and what it was made with.
pub(super) struct SourceParts {
    pub(super) source: Arc<Source>,
    /// Bytes of chunks that are kept in memory.
    kept: u64,
    locations: ReusablePart<(IdentityKey<FilerClient>, Option<String>), Arc<VolumeLocations>>,
    upstream: ReusablePart<UpstreamSettings, Arc<dyn Upstream>>,
    expansions: ReusablePart<(IdentityKey<Entries<DerivedFile>>, u64), Arc<Expansions>>,
}

/// The source of `config`, out of these parts, with what `before` has of it.
///
/// # Errors
/// When TLS to volume servers turns out not to work.
pub(super) fn source(
    config: &Config,
    tls: &Tls,
    filer: &Arc<FilerClient>,
    entries: &Arc<Entries<DerivedFile>>,
    process: &ProcessState,
    before: Option<&SourceParts>,
) -> Result<SourceParts, StartError> {
    let Config { prefetch, cache, .. } = config;
    let caches = &process.metrics.caches;
    let of = (IdentityKey(Arc::clone(filer)), config.filer.data_center.clone());
    let Ok(locations) = ReusablePart::again(before.map(|before| &before.locations), of, |(filer, data_center)| {
        let (filer, mint) = (Arc::clone(&filer.0), VolumeMint::new(process.volume_tokens.clone()));
        let counted = caches.of(Cache::Locations);
        Ok::<_, Infallible>(Arc::new(VolumeLocations::new(filer, counted, mint, data_center.clone())))
    });
    let of = (prefetch.per_server, prefetch.connect_timeout, tls.https.is_some());
    let upstream =
        ReusablePart::again(before.map(|before| &before.upstream), of, |(per_server, connect_timeout, _)| {
            let tls = ClientTls::config_of(tls.https.as_ref())?;
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
        None => Engine::new(settings, Arc::clone(&upstream.part), chunks(), locate, process.fetched.clone()),
        Some(before) => {
            let others = before.kept != kept;
            let renewal = Renewal { upstream: Arc::clone(&upstream.part), cache: others.then(chunks), locate };
            before.source.engine.renewed(settings, renewal)
        }
    };
    // What was expanded is found by the entry, which must be kept as well.
    let expanded = if cache.entries.bytes() == 0 { 0 } else { cache.manifests.bytes() };
    let of = (IdentityKey(Arc::clone(entries)), expanded);
    let Ok(expansions) = ReusablePart::again(before.map(|before| &before.expansions), of, |(_, bytes)| {
        Ok::<_, Infallible>(Arc::new(Expansions::new(*bytes, caches.of(Cache::Manifests))))
    });
    let (expanded, located) = (Arc::clone(&expansions.part), Arc::clone(&locations.part));
    let source = Source { filer: Arc::clone(filer), engine, expansions: expanded, locations: located };
    Ok(SourceParts { source: Arc::new(source), kept, locations, upstream, expansions })
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
