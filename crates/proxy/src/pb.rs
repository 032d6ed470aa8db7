//! The messages of `filer_pb`, cut down to the fields that a reader needs. Tags are those of `weed/pb/filer.proto` @4.48.
//!
//! Written by hand so that a build needs no protoc. Unknown fields are skipped while decoding, as protobuf wants it.
//! Messages that carry keys, wrapped keys, IVs or file content print a summary for `Debug`: an entry in a log line must
//! not become a leak.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;

/// The gRPC service that every path below belongs to.
pub const SERVICE: &str = "filer_pb.SeaweedFiler";

/// A file or directory, as the filer stores it.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct Entry {
    /// The last component of the path.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Whether the entry is a directory.
    #[prost(bool, tag = "2")]
    pub is_directory: bool,
    /// Where the bytes are; may overlap, may have holes, may name manifests.
    #[prost(message, repeated, tag = "3")]
    pub chunks: Vec<FileChunk>,
    /// Size, times, mode and the rest of what a file system knows.
    #[prost(message, optional, tag = "4")]
    pub attributes: Option<FuseAttributes>,
    /// Headers, tags, encryption metadata: anything that was attached to the entry.
    #[prost(btree_map = "string, bytes", tag = "5")]
    pub extended: BTreeMap<String, Bytes>,
    /// Not empty: the entry is one of several names of one file. The filer has already merged in the shared part.
    #[prost(bytes = "bytes", tag = "7")]
    pub hard_link_id: Bytes,
    /// Not empty: the whole file, stored inline.
    #[prost(bytes = "bytes", tag = "9")]
    pub content: Bytes,
    /// The object in a remote store that the entry mirrors.
    #[prost(message, optional, tag = "10")]
    pub remote_entry: Option<RemoteEntry>,
}

/// What the filer remembers of an object in a remote store.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RemoteEntry {
    /// Name of the remote storage configuration.
    #[prost(string, tag = "1")]
    pub storage_name: String,
    /// When the bytes were last fetched from there or sent there, in nanoseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub last_local_sync_ts_ns: i64,
    /// The remote's own ETag.
    #[prost(string, tag = "3")]
    pub remote_e_tag: String,
    /// Last change at the remote, in seconds since the epoch.
    #[prost(int64, tag = "4")]
    pub remote_mtime: i64,
    /// Size at the remote, in bytes.
    #[prost(int64, tag = "5")]
    pub remote_size: i64,
}

/// A run of a file's bytes, kept as one needle on a volume.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct FileChunk {
    /// The needle's id as text; empty where [`FileChunk::fid`] is set instead. Both occur.
    #[prost(string, tag = "1")]
    pub file_id: String,
    /// Where in the file the chunk begins, in bytes.
    #[prost(int64, tag = "2")]
    pub offset: i64,
    /// Bytes of the file that the chunk covers, before compression and encryption.
    #[prost(uint64, tag = "3")]
    pub size: u64,
    /// Nanoseconds since the epoch; of overlapping chunks the greatest wins.
    #[prost(int64, tag = "4")]
    pub modified_ts_ns: i64,
    /// Base64 of the MD5 of the chunk's bytes; of a chunk fetched from a remote store the needle's CRC in hex.
    #[prost(string, tag = "5")]
    pub e_tag: String,
    /// The needle's id as a message; inside manifests mostly this one.
    #[prost(message, optional, tag = "7")]
    pub fid: Option<FileId>,
    /// Not empty: the AES-256-GCM key of this chunk, in the clear.
    #[prost(bytes = "bytes", tag = "9")]
    pub cipher_key: Bytes,
    /// Whether the stored bytes are compressed.
    #[prost(bool, tag = "10")]
    pub is_compressed: bool,
    /// Whether the content is a [`FileChunkManifest`].
    #[prost(bool, tag = "11")]
    pub is_chunk_manifest: bool,
    /// 0 none, 1 SSE-C, 2 SSE-KMS, 3 SSE-S3.
    #[prost(int32, tag = "12")]
    pub sse_type: i32,
    /// JSON: IV, wrapped data key and what else the SSE type needs.
    #[prost(bytes = "bytes", tag = "13")]
    pub sse_metadata: Bytes,
}

/// The content of a manifest chunk.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FileChunkManifest {
    /// The chunks that the manifest stands for; may be manifests themselves.
    #[prost(message, repeated, tag = "1")]
    pub chunks: Vec<FileChunk>,
}

/// A needle's id, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct FileId {
    /// The volume.
    #[prost(uint32, tag = "1")]
    pub volume_id: u32,
    /// The needle's key within the volume.
    #[prost(uint64, tag = "2")]
    pub file_key: u64,
    /// The random number that makes ids hard to guess.
    #[prost(fixed32, tag = "3")]
    pub cookie: u32,
}

/// What a file system knows of a file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FuseAttributes {
    /// Size in bytes; the chunks may reach further.
    #[prost(uint64, tag = "1")]
    pub file_size: u64,
    /// Last change, in seconds since the epoch.
    #[prost(int64, tag = "2")]
    pub mtime: i64,
    /// Go's `os.FileMode`: type bits at the top, permissions at the bottom.
    #[prost(uint32, tag = "3")]
    pub file_mode: u32,
    /// Creation, in seconds since the epoch.
    #[prost(int64, tag = "6")]
    pub crtime: i64,
    /// The media type that was stored with the file; empty: derive it from the name.
    #[prost(string, tag = "7")]
    pub mime: String,
    /// Seconds after creation when the file ends; 0: never.
    #[prost(int32, tag = "10")]
    pub ttl_sec: i32,
    /// Not empty: the entry is a symbolic link.
    #[prost(string, tag = "13")]
    pub symlink_target: String,
    /// MD5 of the whole file; empty where it was never computed.
    #[prost(bytes = "bytes", tag = "14")]
    pub md5: Bytes,
    /// Last change of the file or its attributes, in seconds since the epoch.
    #[prost(int64, tag = "18")]
    pub ctime: i64,
    /// The nanoseconds that belong to [`FuseAttributes::mtime`].
    #[prost(int32, tag = "19")]
    pub mtime_ns: i32,
    /// The nanoseconds that belong to [`FuseAttributes::ctime`].
    #[prost(int32, tag = "20")]
    pub ctime_ns: i32,
}

/// Asks for one entry.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LookupDirectoryEntryRequest {
    /// The directory, without a trailing slash; `/` for the root.
    #[prost(string, tag = "1")]
    pub directory: String,
    /// The name in that directory.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// The entry, and how new it is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LookupDirectoryEntryResponse {
    /// The entry itself.
    #[prost(message, optional, tag = "1")]
    pub entry: Option<Entry>,
    /// Every event of the filer's log at or below this position is in the entry already.
    #[prost(int64, tag = "2")]
    pub log_ts_ns: i64,
    /// The filer whose clock stamped the position.
    #[prost(int32, tag = "3")]
    pub log_signature: i32,
}

/// Asks where volumes are.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LookupVolumeRequest {
    /// Volume ids in decimal.
    #[prost(string, repeated, tag = "1")]
    pub volume_ids: Vec<String>,
}

/// Where volumes are.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LookupVolumeResponse {
    /// By volume id in decimal.
    #[prost(btree_map = "string, message", tag = "1")]
    pub locations_map: BTreeMap<String, Locations>,
}

/// The servers that hold one volume.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Locations {
    /// One per replica.
    #[prost(message, repeated, tag = "1")]
    pub locations: Vec<Location>,
}

/// A volume server.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Location {
    /// `host:port` for HTTP inside the cluster.
    #[prost(string, tag = "1")]
    pub url: String,
    /// `host:port` for HTTP from outside.
    #[prost(string, tag = "2")]
    pub public_url: String,
    /// The gRPC port.
    #[prost(uint32, tag = "3")]
    pub grpc_port: u32,
    /// The data center that the server says it is in; may be empty.
    #[prost(string, tag = "4")]
    pub data_center: String,
}

/// Asks for every change of the namespace from a position on.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SubscribeMetadataRequest {
    /// What the filer calls the subscriber in its log.
    #[prost(string, tag = "1")]
    pub client_name: String,
    /// Only changes below this directory.
    #[prost(string, tag = "2")]
    pub path_prefix: String,
    /// Only changes after this position, in nanoseconds since the epoch.
    #[prost(int64, tag = "3")]
    pub since_ns: i64,
    /// Tells subscribers apart; of two with the same id, the filer serves the one with the greater epoch.
    #[prost(int32, tag = "7")]
    pub client_id: i32,
    /// Grows with every subscription of one client.
    #[prost(int32, tag = "9")]
    pub client_epoch: i32,
    /// Whether several changes may come in one message.
    #[prost(bool, tag = "11")]
    pub client_supports_batching: bool,
    /// Whether the filer may send its time while there is nothing to tell.
    #[prost(bool, tag = "13")]
    pub client_supports_idle_heartbeat: bool,
}

/// A change, a batch of them, or a heartbeat (no notification).
#[derive(Clone, PartialEq, prost::Message)]
pub struct SubscribeMetadataResponse {
    /// The directory of the old entry; of the new one if there is no old one.
    #[prost(string, tag = "1")]
    pub directory: String,
    /// What changed.
    #[prost(message, optional, tag = "2")]
    pub event_notification: Option<EventNotification>,
    /// The position, in nanoseconds of the clock of the filer that logged the change.
    #[prost(int64, tag = "3")]
    pub ts_ns: i64,
    /// More changes, after this one.
    #[prost(message, repeated, tag = "4")]
    pub events: Vec<SubscribeMetadataResponse>,
}

/// A change of one entry. Neither entry: nothing changed, only the position moved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EventNotification {
    /// As it was; none if it was created.
    #[prost(message, optional, tag = "1")]
    pub old_entry: Option<NamedEntry>,
    /// As it is; none if it was deleted.
    #[prost(message, optional, tag = "2")]
    pub new_entry: Option<NamedEntry>,
    /// The directory of the new entry.
    #[prost(string, tag = "4")]
    pub new_parent_path: String,
    /// The filers that the change went through.
    #[prost(int32, repeated, tag = "6")]
    pub signatures: Vec<i32>,
}

/// An [`Entry`] of which only the name is read: a subscriber that knows what changed need not decode its chunks.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NamedEntry {
    /// The last component of the path.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Asks the filer for a sign of life (both fields empty), or to ping another server.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PingRequest {
    /// The server to ping; empty: the filer itself.
    #[prost(string, tag = "1")]
    pub target: String,
    /// What kind of server that is.
    #[prost(string, tag = "2")]
    pub target_type: String,
}

/// A sign of life.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PingResponse {
    /// The filer's clock when it began, in nanoseconds since the epoch.
    #[prost(int64, tag = "1")]
    pub start_time_ns: i64,
}

/// Asks how the filer is configured.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetFilerConfigurationRequest {}

/// How the filer is configured.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetFilerConfigurationResponse {
    /// The directory that S3 buckets live in, `/buckets` by default.
    #[prost(string, tag = "5")]
    pub dir_buckets: String,
    /// The filer's signature, as in [`LookupDirectoryEntryResponse::log_signature`].
    #[prost(int32, tag = "8")]
    pub signature: i32,
    /// The version with its build, e.g. `8000GB 4.48 abc`.
    #[prost(string, tag = "11")]
    pub version: String,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("name", &self.name)
            .field("is_directory", &self.is_directory)
            .field("chunks", &self.chunks.len())
            .field("content", &format_args!("{} bytes", self.content.len()))
            .field("extended", &format_args!("{} attributes", self.extended.len()))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for FileChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileChunk")
            .field("offset", &self.offset)
            .field("size", &self.size)
            .field("modified_ts_ns", &self.modified_ts_ns)
            .field("is_chunk_manifest", &self.is_chunk_manifest)
            .field("sse_type", &self.sse_type)
            .finish_non_exhaustive()
    }
}
