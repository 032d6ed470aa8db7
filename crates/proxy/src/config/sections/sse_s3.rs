//! `[sse_s3]`

use crate::{
    config::{Secret, declare::section, scope::Scope},
    settings::Error,
};

section! {
    /// The key encryption key of SSE-S3 objects, under the names of the S3 gateway's `s3.sse.*` settings. Set at most
    /// one of `key` and `kek`. With neither, the filer's `/etc/s3/sse_kek` is read.
    pub struct SseS3 {
        /// Any text; the key is derived from it (`s3.sse.key`).
        key: Option<Secret>;
        /// The key itself, 64 hex digits (`s3.sse.kek`).
        kek: Option<Secret>;
        /// Opens a wrapped `/etc/s3/sse_kek` (`s3.sse.kek.passphrase`). It has no use beside `key` or `kek`.
        kek_passphrase: Option<Secret>;
    }
    check = one_key;
}

fn one_key(section: SseS3, scope: &Scope<'_>) -> Result<SseS3, Error> {
    if section.key.is_some() && section.kek.is_some() {
        return Err(scope.error("kek", "sse_s3.key is set too; keep only the one that the S3 gateway uses"));
    }
    if let Some(kek) = &section.kek {
        let digits = kek.expose();
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(scope.error("kek", "expected 64 hex digits; for any other text use sse_s3.key"));
        }
    }
    if section.kek_passphrase.is_some() && (section.key.is_some() || section.kek.is_some()) {
        let unused = "has no use beside sse_s3.key or sse_s3.kek: it opens the filer's /etc/s3/sse_kek, which is not read then; remove it";
        return Err(scope.error("kek_passphrase", unused));
    }
    Ok(section)
}
