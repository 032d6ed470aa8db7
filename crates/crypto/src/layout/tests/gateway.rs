//! What the S3 gateway of SeaweedFS 4.48 wrote (chunks of 1 MiB, KMS by moto), as `?metadata=true` of the filer shows it.
//! Of long objects only some chunks are kept, of each chunk the first bytes as the volume server has them.
//!
//! Byte n of every object is (n mod 251)·31 mod 251. The customer keys are SHA-256 of "fixture" and of "fixture2", the
//! SSE-S3 key is "a secret of this cluster"; the data keys that the KMS opened are in the file.
//!
//! What older gateways wrote stands beside it in the same form, by `tests/fixtures/older_gateways.py`.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};
use serde::Deserialize;
use sha2::Sha256;

use crate::{Attributes, DataKey, History, Kek, Layout, Scheme, StoredChunk, VerifyError, WrappedKey};

#[derive(Deserialize)]
struct File {
    /// By ciphertext of the envelope.
    data_keys: BTreeMap<String, String>,
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    name: String,
    /// Values in base64.
    extended: BTreeMap<String, String>,
    chunks: Vec<Chunk>,
    /// What the gateway answered to a HEAD.
    echo: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Chunk {
    offset: u64,
    size: u64,
    sse_type: i32,
    sse_metadata: String,
    /// In hex.
    stored: String,
}

impl File {
    fn read() -> Self {
        serde_json::from_str(include_str!("gateway-4.48.json")).unwrap()
    }

    /// Of each version, the oldest first.
    fn of_all_versions() -> Vec<(&'static str, Self)> {
        let older = [
            ("4.30", include_str!("gateway-4.30.json")),
            ("4.38", include_str!("gateway-4.38.json")),
            ("4.44", include_str!("gateway-4.44.json")),
        ];
        let older = older.map(|(version, json)| (version, serde_json::from_str(json).unwrap()));
        older.into_iter().chain([("4.48", Self::read())]).collect()
    }

    fn unwrap_key(&self, key: &WrappedKey) -> DataKey {
        match key {
            WrappedKey::Customer(key) => {
                let secrets = ["fixture", "fixture2"].map(Sha256::digest);
                let secret = secrets.iter().find(|secret| *Md5::digest(secret) == key.md5).unwrap();
                DataKey::from_slice(secret).unwrap()
            }
            WrappedKey::Kms(key) => {
                assert_eq!(key.key_id, key.envelope.key_id);
                DataKey::from_slice(&hex::decode(&self.data_keys[&key.envelope.ciphertext]).unwrap()).unwrap()
            }
            WrappedKey::S3(key) => Kek::derive("a secret of this cluster").open(key).unwrap(),
        }
    }
}

impl Object {
    fn layout(&self) -> Layout {
        let values: Vec<_> =
            self.extended.iter().map(|(name, value)| (name, STANDARD.decode(value).unwrap())).collect();
        let attributes = Attributes::new(values.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        let chunks: Vec<_> = self.chunks.iter().map(Chunk::stored).collect();
        Layout::read(&attributes, &History { created: 1, ..History::default() }, &chunks, 0)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The first letters of an object's name say what it must be, unless it was copied to a plain one.
    fn scheme(&self) -> Scheme {
        match self.name.split('-').next() {
            _ if self.name.ends_with("-copy-none") => Scheme::None,
            _ if self.name.ends_with("-copy-c") => Scheme::C,
            _ if self.name.ends_with("-copy-kms") => Scheme::Kms,
            _ if self.name.ends_with("-copy-s3") => Scheme::S3,
            Some("c") => Scheme::C,
            Some("kms") => Scheme::Kms,
            Some("s3") => Scheme::S3,
            _ => Scheme::None,
        }
    }

    fn plain(&self, offset: u64, len: usize) -> Vec<u8> {
        match self.name.contains("-one") {
            true => vec![b'x'],
            false => (offset..).take(len).map(|index| (index % 251 * 31 % 251) as u8).collect(),
        }
    }
}

impl Chunk {
    fn stored(&self) -> StoredChunk<'_> {
        let Self { offset, size, sse_type, ref sse_metadata, .. } = *self;
        StoredChunk {
            offset,
            size,
            sse_type,
            sse_metadata: sse_metadata.as_bytes(),
            modified_ts_ns: 1,
            ..StoredChunk::default()
        }
    }
}

#[test]
fn every_chunk_of_every_version_decrypts_from_any_byte() {
    for (version, file) in File::of_all_versions() {
        for object in &file.objects {
            decrypts_from_any_byte(&file, object, &format!("{} of {version}", object.name));
        }
        assert!(file.objects.len() >= 18, "{version}");
    }
}

fn decrypts_from_any_byte(file: &File, object: &Object, name: &str) {
    let layout = object.layout();
    let keys: Vec<_> = layout.keys.iter().map(|key| Arc::new(file.unwrap_key(key))).collect();
    let accept = |(wrapped, key): (&WrappedKey, &Arc<DataKey>)| wrapped.accept(Arc::clone(key)).ok().unwrap();
    let verified: Vec<_> = layout.keys.iter().zip(&keys).map(accept).collect();
    for (wrapped, key) in layout.keys.iter().zip(&keys) {
        assert!(wrapped.verify(key).is_ok(), "{name}");
        assert!(wrapped.verify(&DataKey::from_slice(&[0; 32]).unwrap()).is_err() || wrapped.commitments().is_empty());
    }
    for (chunk, start) in object.chunks.iter().zip(&layout.chunks) {
        let stored = hex::decode(&chunk.stored).unwrap();
        for from in [0, 1, 16, 21].into_iter().filter(|from| *from < stored.len()) {
            let mut bytes = stored[from..].to_vec();
            if let Some(start) = start {
                let decryption = layout.decryption(*start, &verified[start.key]).unwrap();
                decryption.keystream(from as u64).apply_to(&stored[from..], &mut bytes);
            }
            let expected = object.plain(chunk.offset + from as u64, bytes.len());
            assert_eq!(bytes, expected, "{name} at {} + {from}", chunk.offset);
        }
    }
}

#[test]
fn the_scheme_is_that_of_the_object() {
    for (version, file) in File::of_all_versions() {
        for object in file.objects {
            assert_eq!(object.layout().scheme, object.scheme(), "{} of {version}", object.name);
        }
    }
}

#[test]
fn the_echo_is_the_gateways() {
    for (version, file) in File::of_all_versions() {
        for object in file.objects {
            // Older gateways send some headers twice, in two spellings.
            let pairs = object.layout().echo.pairs();
            let echo: BTreeMap<_, _> =
                pairs.into_iter().map(|(name, said)| (name.to_ascii_lowercase(), said)).collect();
            let expected = object.echo.iter().map(|(name, said)| (name.to_ascii_lowercase(), said.clone())).collect();
            assert_eq!(echo, expected, "{} of {version}", object.name);
        }
    }
}

#[test]
fn keys_are_asked_for_once() {
    let expected = BTreeMap::from([
        ("c-put", 1),
        ("c-multipart", 1),
        ("c-multipart-copy-c", 1),
        ("kms-put", 1),
        // One data key for each part.
        ("kms-multipart", 2),
        ("kms-empty", 0),
        ("s3-empty", 0),
        // Wrapped anew for each chunk.
        ("s3-put", 3),
    ]);
    let mut seen = 0;
    for object in File::read().objects {
        if let Some(keys) = expected.get(object.name.as_str()) {
            assert_eq!(object.layout().keys.len(), *keys, "{}", object.name);
            seen += 1;
        }
    }
    assert_eq!(seen, expected.len());
}

#[test]
fn the_commitment_of_the_entry_counts_for_the_chunks_of_its_key() {
    let commitments = |name: &str| {
        let object = File::read().objects.into_iter().find(|object| object.name == name).unwrap();
        object.layout().keys.iter().map(|key| key.commitments().len()).collect::<Vec<_>>()
    };
    assert_eq!(commitments("kms-put"), [1]);
    // The entry has that of the first part, the second has none.
    assert_eq!(commitments("kms-multipart"), [1, 0]);
    assert_eq!(commitments("s3-put"), [1, 1, 1]);
}

#[test]
fn a_changed_iv_is_refused_where_a_commitment_was_stored_beside_it() {
    let file = File::read();
    for (name, index) in [("s3-put", 1), ("s3-multipart-copy-s3", 1), ("kms-put-copy-kms", 1)] {
        let object = file.objects.iter().find(|object| object.name == name).unwrap();
        for bit in 0..128 {
            let chunk = &object.chunks[index];
            let mut json: serde_json::Value = serde_json::from_str(&chunk.sse_metadata).unwrap();
            let mut iv = STANDARD.decode(json["iv"].as_str().unwrap()).unwrap();
            iv[bit / 8] ^= 1 << (bit % 8);
            json["iv"] = STANDARD.encode(iv).into();
            let json = json.to_string();
            let stored = StoredChunk { sse_metadata: json.as_bytes(), ..chunk.stored() };
            let layout = Layout::read(&Attributes::default(), &History::default(), &[stored], 0).unwrap();
            let verified = layout.keys[0].verify(&file.unwrap_key(&layout.keys[0]));
            assert_eq!(verified, Err(VerifyError::Commitment), "{name}, bit {bit}");
        }
    }
}
