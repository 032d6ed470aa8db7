//! `[access]`

use crate::config::{Error, declare::section, scope::Scope, values::choice};

choice! {
    /// Who gets objects decrypted whose keys the cluster holds (SSE-KMS, SSE-S3).
    pub enum ManagedKeys {
        /// Nobody: such objects answer 403.
        None = "none",
        /// Who brings a read token that the filer would accept.
        Jwt = "jwt",
        /// Who brings a client certificate.
        Mtls = "mtls",
        /// All who reach the port.
        Any = "any",
    }
    expects "\"none\", \"jwt\", \"mtls\" or \"any\""
}

section! {
    /// Who may read what.
    pub struct Access {
        /// Who gets SSE-KMS and SSE-S3 objects decrypted: nobody (they answer 403), or all who reach the port.
        /// `jwt` and `mtls` are reserved and refused for now.
        managed_keys: ManagedKeys = "none";
        /// Whether SSE-C keys may come over plain HTTP from another host than loopback.
        ssec_over_http: bool = "false";
    }
    check = supported;
}

fn supported(access: Access, scope: &Scope<'_>) -> Result<Access, Error> {
    let missing = match access.managed_keys {
        ManagedKeys::None | ManagedKeys::Any => return Ok(access),
        ManagedKeys::Jwt => "\"jwt\" needs the filer's read signing key",
        ManagedKeys::Mtls => "\"mtls\" needs a certificate authority for clients",
    };
    Err(scope.error("managed_keys", format!("{missing}, which has no setting yet; use \"none\" or \"any\"")))
}
