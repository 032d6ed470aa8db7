//! `[access]`

use crate::config::{declare::section, values::choice};

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
        /// Who gets SSE-KMS and SSE-S3 objects decrypted: nobody (they answer 403), who brings a read token of the filer's
        /// (`jwt`, needs `jwt.filer_signing.read.key`), who brings a client certificate (`mtls`, needs
        /// `server.tls_client_ca`), or all who reach the port.
        managed_keys: ManagedKeys = "none";
        /// Whether SSE-C keys may come over plain HTTP from another host than loopback.
        ssec_over_http: bool = "false";
        /// Whether the cluster's own files are served: `/etc/**` (keys, identities) and `/topics/.system/**` (logs of every
        /// change).
        system_paths: bool = "false";
        /// Whether shared caches may keep what was decrypted with a customer's key, or given for a token, a cookie or a client
        /// certificate. `false` adds `Cache-Control: private` (`no-store` for SSE-C). `true` leaves the object's own
        /// `Cache-Control` alone: then only `Vary`, which always names what decided, keeps one caller's answer from another.
        shared_caches: bool = "false";
    }
}
