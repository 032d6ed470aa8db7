//! A view over an entry's Extended attributes.

/// Names of the Extended attributes that say how an object is encrypted.
///
/// Source: `weed/s3api/s3_constants/header.go` @4.48 of SeaweedFS 4.48.
pub mod name {
    /// SSE-C: the algorithm, always `AES256`.
    pub const CUSTOMER_ALGORITHM: &str = "X-Amz-Server-Side-Encryption-Customer-Algorithm";
    /// SSE-C: base64 of the MD5 of the customer's key.
    pub const CUSTOMER_KEY_MD5: &str = "X-Amz-Server-Side-Encryption-Customer-Key-MD5";
    /// SSE-C: the IV, 16 raw bytes (legacy: 24 bytes of base64).
    pub const CUSTOMER_IV: &str = "x-seaweedfs-sse-c-iv";
    /// `aws:kms` or `AES256`.
    pub const ALGORITHM: &str = "X-Amz-Server-Side-Encryption";
    /// SSE-KMS: the key id, for display.
    pub const KMS_KEY_ID: &str = "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id";
    /// SSE-KMS: base64 of the encryption context as JSON. Only answered, never stored.
    pub const KMS_CONTEXT: &str = "X-Amz-Server-Side-Encryption-Context";
    /// SSE-KMS: `true` if a bucket key was used. Only answered, never stored.
    pub const KMS_BUCKET_KEY: &str = "X-Amz-Server-Side-Encryption-Bucket-Key-Enabled";
    /// SSE-KMS: the metadata as JSON.
    pub const KMS_KEY: &str = "x-seaweedfs-sse-kms-key";
    /// SSE-S3: the metadata as JSON.
    pub const S3_KEY: &str = "x-seaweedfs-sse-s3-key";
    /// SSE-S3 multipart: base64 of the upload's base IV.
    pub const S3_BASE_IV: &str = "x-seaweedfs-sse-s3-base-iv";
    /// SSE-S3 multipart: base64 of the upload's metadata as JSON.
    pub const S3_KEY_DATA: &str = "x-seaweedfs-sse-s3-key-data";
    /// Multipart: which part covers which chunks, as JSON (since 4.01).
    pub const PART_BOUNDARIES: &str = "X-Seaweedfs-Multipart-Part-Boundaries";
}

/// A case-insensitive view over an entry's Extended attributes.
#[derive(Clone, Default)]
pub struct Attributes<'a> {
    entries: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Attributes<'a> {
    /// Keeps what has to do with encryption out of an entry's Extended attributes.
    pub fn new(extended: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let entries = extended.into_iter().filter(|(name, _)| is_known(name)).collect();
        Self { entries }
    }

    /// The value of an attribute of [`name`], whatever its case. Where two differ in case only, the exact one wins.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        let exact = self.entries.iter().find(|(stored, _)| *stored == name);
        let any = || self.entries.iter().find(|(stored, _)| stored.eq_ignore_ascii_case(name));
        exact.or_else(any).map(|(_, value)| *value)
    }

    /// Like [`Attributes::get`], but an empty value counts as none.
    pub(crate) fn filled(&self, name: &str) -> Option<&'a [u8]> {
        self.get(name).filter(|value| !value.is_empty())
    }
}

const KNOWN: [&str; 10] = [
    name::CUSTOMER_ALGORITHM,
    name::CUSTOMER_KEY_MD5,
    name::CUSTOMER_IV,
    name::ALGORITHM,
    name::KMS_KEY_ID,
    name::KMS_KEY,
    name::S3_KEY,
    name::S3_BASE_IV,
    name::S3_KEY_DATA,
    name::PART_BOUNDARIES,
];

fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_in_any_case_and_the_exact_one_wins() {
        let attributes = Attributes::new([
            ("x-amz-server-side-encryption", b"AES256".as_slice()),
            ("X-Amz-Server-Side-Encryption", b"aws:kms"),
            ("X-SEAWEEDFS-SSE-S3-KEY", b"{}"),
            ("x-seaweedfs-sse-kms-key", b""),
            ("color", b"red"),
        ]);
        assert_eq!(attributes.get(name::ALGORITHM), Some(b"aws:kms".as_slice()));
        assert_eq!(attributes.get(name::S3_KEY), Some(b"{}".as_slice()));
        assert_eq!(attributes.get(name::KMS_KEY), Some(b"".as_slice()));
        assert_eq!(attributes.filled(name::KMS_KEY), None);
        assert_eq!(attributes.get(name::CUSTOMER_IV), None);
        assert_eq!(attributes.get("color"), None);
    }
}
