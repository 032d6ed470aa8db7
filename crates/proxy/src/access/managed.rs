//! Who may have an object decrypted.
//!
//! SSE-C needs no rule: who has the key may read. SSE-KMS and SSE-S3 are decrypted with keys of the operator's, who says in
//! `access.managed_keys` for whom.

use crypto::Scheme;
use http::StatusCode;

use super::Caller;
use crate::{Blame, Error, Result};

/// Who gets SSE-KMS and SSE-S3 objects decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagedKeyPolicy {
    /// Nobody.
    None,
    /// Who brings a read token of the filer's.
    Jwt,
    /// Who brings a client certificate.
    Mtls,
    /// Everybody who reaches the port.
    Any,
}

impl ManagedKeyPolicy {
    /// Whether an object of that scheme may be decrypted for `caller`.
    ///
    /// # Errors
    /// 403 that names the setting, or what the caller has to bring.
    pub(crate) fn check(self, scheme: Scheme, caller: Caller) -> Result<()> {
        let named = match scheme {
            Scheme::None | Scheme::C => return Ok(()),
            Scheme::Kms => "SSE-KMS",
            Scheme::S3 => "SSE-S3",
        };
        let (blame, why) = match self {
            Self::Any => return Ok(()),
            Self::Jwt if caller.token => return Ok(()),
            Self::Mtls if caller.certificate => return Ok(()),
            Self::None => (
                Blame::Config,
                "access.managed_keys = \"none\" keeps tidegate from decrypting it; whoever operates tidegate can change \
                 that setting",
            ),
            Self::Jwt => (
                Blame::Client,
                "access.managed_keys = \"jwt\" has it decrypted only for who brings a read token of the filer's",
            ),
            Self::Mtls => (
                Blame::Client,
                "access.managed_keys = \"mtls\" has it decrypted only for who brings a client certificate of the authority \
                 in server.tls_client_ca",
            ),
        };
        let message = format!("the object is encrypted with {named}, and {why}");
        Err(Error::new(blame, StatusCode::FORBIDDEN, message).code("AccessDenied"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_unless_opened() {
        let nobody = Caller::default();
        let with_token = Caller { token: true, certificate: false };
        let with_certificate = Caller { token: false, certificate: true };
        for scheme in [Scheme::Kms, Scheme::S3] {
            for (setting, admitted) in [
                (ManagedKeyPolicy::None, [false, false, false]),
                (ManagedKeyPolicy::Jwt, [false, true, false]),
                (ManagedKeyPolicy::Mtls, [false, false, true]),
                (ManagedKeyPolicy::Any, [true, true, true]),
            ] {
                for (caller, admitted) in [nobody, with_token, with_certificate].into_iter().zip(admitted) {
                    let outcome = setting.check(scheme, caller);
                    assert_eq!(outcome.is_ok(), admitted, "{setting:?} {caller:?}");
                    if let Err(error) = outcome {
                        assert_eq!(error.status(), StatusCode::FORBIDDEN);
                        assert!(error.message().contains("access.managed_keys"));
                    }
                }
            }
        }
        for scheme in [Scheme::None, Scheme::C] {
            assert!(ManagedKeyPolicy::None.check(scheme, nobody).is_ok());
        }
    }
}
