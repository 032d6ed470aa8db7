//! Every section with its keys. This is the place to add a key: its doc lines become its documentation.

mod access;
mod admin;
mod cache;
mod filer;
mod kms;
mod limits;
mod log;
mod prefetch;
mod s3;
mod server;
mod sse;
mod sse_s3;
mod tracing;

pub use access::{Access, ManagedKeys};
pub use admin::Admin;
pub use cache::Cache;
pub use filer::Filer;
pub use kms::{Aws, Azure, Bucket, Gcp, Kms, OpenBao, Provider};
pub use limits::Limits;
pub use log::{AccessLog, Log, LogFormat, LogLevel};
pub use prefetch::{Prefetch, Verify};
pub use s3::S3;
pub use server::{ProxyProtocol, Server};
pub use sse::Sse;
pub use sse_s3::SseS3;
pub use tracing::Tracing;

use super::declare::section;

section! {
    /// Everything that can be set, checked. The sections stand in the order in which they are shown.
    pub struct Config {}
    tables {
        /// Where tidegate listens.
        server: Server;
        /// What it tells of itself.
        admin: Admin;
        /// Which filers it stands beside.
        filer: Filer;
        /// The S3 front, if there is to be one.
        s3: S3;
        /// Who may read what.
        access: Access;
        /// How much clients may ask for.
        limits: Limits;
        /// How chunks are fetched ahead.
        prefetch: Prefetch;
        /// What is kept in memory.
        cache: Cache;
        /// What is demanded of encrypted objects.
        sse: Sse;
        /// The key of SSE-S3 objects.
        sse_s3: SseS3;
        /// The key management services of SSE-KMS objects.
        kms: Kms;
        /// What is logged.
        log: Log;
        /// What a collector of traces is told.
        tracing: Tracing;
    }
}
