//! What is found out of one file. It holds no secret: ids, lengths and yes or no.

use std::collections::BTreeMap;

use serde::Serialize;

/// One file, explained.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The path at the filer.
    pub path: String,
    /// Which way a GET by S3 would take; nothing if the file was not named as an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<String>,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes that the entry itself holds; 0 where there are chunks.
    pub inline: u64,
    /// `none`, `c`, `kms` or `s3`; nothing if the metadata cannot be understood.
    pub sse: Option<&'static str>,
    /// How the file tells where its keystreams start: `plain`, `self-describing`, `equal runs`, `upload parts`,
    /// `entry stream`, or `unlabelled` with how it is read; nothing if the metadata cannot be understood.
    pub kind: Option<&'static str>,
    /// What is wrong with the file as a whole, or keeps it from all readers, in one sentence each.
    pub faults: Vec<String>,
    /// The data keys, each once.
    pub keys: Vec<Key>,
    /// The chunks, manifests expanded.
    pub chunks: Vec<Chunk>,
    /// Whether nothing was found that keeps the file from being read.
    pub readable: bool,
}

/// One wrapped data key.
#[derive(Debug, Serialize)]
pub struct Key {
    /// The number that chunks name it by.
    pub index: usize,
    /// The id of the key that wraps it, as stored.
    pub key_id: Option<String>,
    /// What the envelope says of the KMS; SSE-KMS only.
    pub envelope: Option<Envelope>,
    /// The encryption context; SSE-KMS only.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, String>,
    /// How many key commitments are stored for it.
    pub commitments: usize,
    /// Whether it opens; nothing where that was not tried.
    pub opens: Option<bool>,
    /// Why it does not open, or was not tried.
    pub why: Option<String>,
}

/// The envelope around a key that a KMS wrapped.
#[derive(Debug, Serialize)]
pub struct Envelope {
    /// `aws`, `openbao`, ...
    pub provider: String,
    /// The key id inside of it.
    pub key_id: String,
    /// Characters of the wrapped key.
    pub ciphertext_length: usize,
    /// The version of the format.
    pub version: u64,
}

/// One chunk.
#[derive(Debug, Serialize)]
pub struct Chunk {
    /// The needle's id, or what stands in its place.
    pub fid: String,
    /// First byte of the chunk in the file.
    pub offset: i64,
    /// Bytes of the file in it.
    pub size: u64,
    /// What must be undone to read it, outermost first: `gcm`, `compressed`, `sse-c`, `sse-kms`, `sse-s3`.
    pub layers: Vec<&'static str>,
    /// Which of the keys decrypts it.
    pub key: Option<usize>,
    /// Whether any byte of the file comes from it: others may lie over it.
    pub visible: bool,
    /// The volume servers that should have it; none, and no `fault`, where there was no time to ask for it.
    pub replicas: Vec<Replica>,
    /// Why there are no replicas to ask.
    pub fault: Option<String>,
    /// Whether what is stored opens (`gcm`) and inflates (`compressed`); nothing where there is nothing to open, or that was
    /// not tried.
    pub opens: Option<bool>,
    /// Why it does not open, or was not tried.
    pub why: Option<String>,
}

impl Chunk {
    /// Whether servers were asked for it.
    pub(super) fn was_asked_for(&self) -> bool {
        self.fault.is_some() || !self.replicas.is_empty()
    }
}

/// One replica of a chunk.
#[derive(Debug, Serialize)]
pub struct Replica {
    /// `host:port`.
    pub server: String,
    /// Whether it gave what was asked for.
    pub answers: bool,
    /// Why not.
    pub why: Option<String>,
}

impl Report {
    /// Something besides the file keeps it from being read.
    pub(crate) fn refuse(&mut self, why: &str) {
        self.faults.push(why.to_owned());
        self.readable = false;
    }

    /// As indented JSON, with a line break at the end.
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("texts, numbers and lists are always JSON");
        json + "\n"
    }
}

/// Why there is no report, in one line.
pub(crate) type ExplainError = Box<dyn std::error::Error + Send + Sync>;
