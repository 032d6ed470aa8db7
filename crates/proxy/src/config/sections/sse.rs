//! `[sse]`

use crate::config::declare::section;

section! {
    /// What is demanded of encrypted objects.
    pub struct Sse {
        /// Whether SSE-KMS and SSE-S3 objects must carry a key commitment, which shows that a data key and its
        /// initialization vector belong together. Objects without one are then refused with 403, which includes the parts of
        /// SSE-KMS multipart uploads: SeaweedFS 4.48 stores none with them. Commitments that are there are always verified.
        require_commitment: bool = "false";
    }
}
