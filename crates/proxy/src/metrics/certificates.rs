//! Until when certificates hold.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use prometheus::{IntGaugeVec, Opts, Registry};

/// `tidegate_certificate_expiry_timestamp_seconds`, by what a certificate is for.
pub struct Certificates {
    expiry: IntGaugeVec,
    roles: Mutex<BTreeMap<String, i64>>,
}

impl Certificates {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let expiry = IntGaugeVec::new(
            Opts::new(
                "tidegate_certificate_expiry_timestamp_seconds",
                "When the certificates of a file end, seconds since 1970: the first of a chain, the last of authorities.",
            ),
            &["role"],
        )?;
        registry.register(Box::new(expiry.clone()))?;
        Ok(Self { expiry, roles: Mutex::default() })
    }

    /// These are in use now: until when (seconds since 1970), by role. Others are not any more.
    pub fn in_use(&self, roles: BTreeMap<String, i64>) {
        let mut known = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in known.keys().filter(|role| !roles.contains_key(*role)) {
            // It fails where it is gone already.
            let _ = self.expiry.remove_label_values(&[gone.as_str()]);
        }
        for (role, expiry) in &roles {
            self.expiry.with_label_values(&[role.as_str()]).set(*expiry);
        }
        *known = roles;
    }
}
