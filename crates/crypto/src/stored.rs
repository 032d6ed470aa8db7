//! What the filer stores of an entry and its chunks, as far as encryption goes.

/// What an entry remembers of its past, as far as it tells who wrote chunks that do not say how they are encrypted.
#[derive(Debug, Clone, Copy, Default)]
pub struct History {
    /// `FuseAttributes.crtime`, in seconds since 1970.
    pub created: i64,
    /// `FuseAttributes.mtime` with `mtime_ns`, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// `FuseAttributes.ctime` with `ctime_ns`, in nanoseconds since 1970.
    pub changed_ns: i64,
    /// `RemoteEntry.last_local_sync_ts_ns`, in nanoseconds since 1970; 0: not in a remote store.
    pub synced_ns: i64,
    /// Whether `FuseAttributes.md5` is there. A single PUT of the S3 gateway leaves it.
    pub has_md5: bool,
}

/// What the filer stores of one chunk, as far as encryption goes.
#[derive(Clone, Copy)]
pub struct StoredChunk<'a> {
    /// First byte of the chunk in the object.
    pub offset: u64,
    /// Plaintext bytes of the chunk.
    pub size: u64,
    /// `FileChunk.sse_type`: 0 none, 1 SSE-C, 2 SSE-KMS, 3 SSE-S3.
    pub sse_type: i32,
    /// `FileChunk.sse_metadata`: JSON, or empty.
    pub sse_metadata: &'a [u8],
    /// `FileChunk.modified_ts_ns`: when the chunk was written, in nanoseconds since 1970, or 0.
    pub modified_ts_ns: i64,
    /// `FileChunk.e_tag`: base64 of an MD5, or 8 hex digits of a CRC.
    pub e_tag: &'a str,
    /// `FileChunk.is_compressed`.
    pub is_compressed: bool,
    /// `FileChunk.is_chunk_manifest`: it stands for chunks that are not among those given.
    pub is_manifest: bool,
}

impl Default for StoredChunk<'_> {
    /// No bytes at the start of the object.
    fn default() -> Self {
        Self {
            offset: 0,
            size: 0,
            sse_type: 0,
            sse_metadata: &[],
            modified_ts_ns: 0,
            e_tag: "",
            is_compressed: false,
            is_manifest: false,
        }
    }
}
