//! Which build runs.

use prometheus::{IntGaugeVec, Opts, Registry};

pub(super) fn register(registry: &Registry) -> prometheus::Result<()> {
    let info = IntGaugeVec::new(
        Opts::new("tidegate_build_info", "Always 1; the labels tell which tidegate runs."),
        &["version", "target"],
    )?;
    registry.register(Box::new(info.clone()))?;
    info.with_label_values(&[env!("CARGO_PKG_VERSION"), &target()]).set(1);
    Ok(())
}

/// What it was built for, such as `x86_64-linux`.
pub(crate) fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}
