//! What of the configuration in force those ask for who are not told of another.

use std::sync::Arc;

use super::parts::Parts;
use crate::{
    access::Demands, config::Domain, filer::FilerClient, layers::AccessLines, open_files, read::Stages, s3::Gateways,
    server::DrainTimes, status,
};

/// The parts in force that they ask for.
#[derive(Clone)]
pub(super) struct PartsInForce {
    pub(super) filer: Arc<FilerClient>,
    pub(super) demands: Arc<Demands>,
    pub(super) gateways: Option<Arc<Gateways>>,
    pub(super) ending: DrainTimes,
    pub(super) access_lines: Option<Arc<AccessLines>>,
    /// By which the admin listener may be asked.
    pub(super) admin_names: Arc<[Domain]>,
    pub(super) stages: Arc<Stages>,
    /// What of it the status tells.
    pub(super) settings: status::Settings,
}

impl PartsInForce {
    /// With these parts, and these lines of the access log.
    pub(super) fn of(parts: &Parts, access_lines: Option<Arc<AccessLines>>) -> Self {
        let server = &parts.config.server;
        Self {
            filer: Arc::clone(parts.filer()),
            demands: Arc::clone(parts.demands()),
            gateways: parts.gateways().cloned(),
            ending: DrainTimes { lame_duck: server.lame_duck, drain_timeout: server.drain_timeout },
            access_lines,
            admin_names: parts.config.admin.hosts.as_slice().into(),
            stages: Arc::clone(parts.stages()),
            settings: status_settings(parts),
        }
    }
}

fn status_settings(parts: &Parts) -> status::Settings {
    let config = &parts.config;
    status::Settings {
        show_paths: config.admin.show_paths,
        per_server: config.prefetch.per_server as usize,
        keeps_entries: config.cache.entries.bytes() > 0,
        page: Arc::clone(&parts.page),
        // It is TOML that was written here.
        values: Arc::new(with_files(parts.page.parse().unwrap_or_default())),
    }
}

/// Connections are as many as are set, or as there may be files for.
fn with_files(mut values: toml::Table) -> toml::Table {
    let most = i64::try_from(open_files::connections()).unwrap_or(i64::MAX);
    let server = values.get_mut("server").and_then(toml::Value::as_table_mut);
    if let Some(toml::Value::Integer(set)) = server.and_then(|server| server.get_mut("max_connections")) {
        *set = most.min(*set);
    }
    values
}
