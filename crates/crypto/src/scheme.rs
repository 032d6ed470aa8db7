//! Which kind of server-side encryption an object has.

/// The kind of server-side encryption of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Not encrypted.
    None,
    /// SSE-C: the client brings the key with each request.
    C,
    /// SSE-KMS: the data key is wrapped by a key management service.
    Kms,
    /// SSE-S3: the data key is wrapped by the installation's own key-encryption key.
    S3,
}

impl Scheme {
    /// The name used in metrics, logs and configuration: `none`, `c`, `kms` or `s3`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::C => "c",
            Self::Kms => "kms",
            Self::S3 => "s3",
        }
    }

    /// The scheme of a stored `FileChunk.sse_type`; nothing for a number that SeaweedFS does not define.
    pub(crate) fn of_sse_type(sse_type: i32) -> Option<Self> {
        match sse_type {
            0 => Some(Self::None),
            1 => Some(Self::C),
            2 => Some(Self::Kms),
            3 => Some(Self::S3),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Scheme;

    /// Metrics, logs and the configuration name it so.
    #[test]
    fn each_has_its_name() {
        let names = [Scheme::None, Scheme::C, Scheme::Kms, Scheme::S3].map(Scheme::as_str);
        assert_eq!(names, ["none", "c", "kms", "s3"]);
    }
}
