//! Who may have an object decrypted.
//!
//! SSE-C needs no rule: who has the key may read. SSE-KMS and SSE-S3 are decrypted with keys of the operator's, who says in
//! `access.managed_keys` for whom.

use crypto::Scheme;
use http::StatusCode;

use crate::{Blame, Error, Result};

/// Who gets SSE-KMS and SSE-S3 objects decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagedKeys {
    /// Nobody.
    None,
    /// Everybody who reaches the port.
    Any,
}

impl ManagedKeys {
    /// Whether an object of that scheme may be decrypted for a caller without credentials.
    ///
    /// # Errors
    /// 403 that names the setting.
    pub(super) fn check(self, scheme: Scheme) -> Result<()> {
        let named = match scheme {
            Scheme::None | Scheme::C => return Ok(()),
            Scheme::Kms => "SSE-KMS",
            Scheme::S3 => "SSE-S3",
        };
        match self {
            Self::Any => Ok(()),
            Self::None => {
                let message = format!(
                    "the object is encrypted with {named}, and access.managed_keys = \"none\" keeps tidegate from decrypting \
                     it; whoever operates tidegate can change that setting"
                );
                Err(Error::new(Blame::Config, StatusCode::FORBIDDEN, message).code("AccessDenied"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_unless_opened() {
        for scheme in [Scheme::Kms, Scheme::S3] {
            let error = ManagedKeys::None.check(scheme).unwrap_err();
            assert_eq!(error.status(), StatusCode::FORBIDDEN);
            assert!(error.message().contains("access.managed_keys"));
            assert!(ManagedKeys::Any.check(scheme).is_ok());
        }
        for scheme in [Scheme::None, Scheme::C] {
            assert!(ManagedKeys::None.check(scheme).is_ok());
        }
    }
}
