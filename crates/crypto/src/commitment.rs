//! Key commitments: what binds a data key to the IV and the algorithm it was used with.
//!
//! They are all the integrity that SSE has. AES-CTR itself notices nothing: a changed stored byte changes the same
//! plaintext byte, and a changed `partOffset`, or an IV that no commitment was stored beside, gives noise. The gateway
//! stores one with every SSE-S3 chunk, and for SSE-KMS with the entry and with copied chunks, but not with the chunks of
//! an upload.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::datakey::DataKey;

/// HMAC-SHA256 under the data key over the IV as stored and the name of the algorithm.
///
/// Source: `ComputeKeyCommitment` in `weed/s3api/s3_validation_utils.go` @4.48. It belongs to the IV beside which it was
/// stored, so that an object can have one for each chunk.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Commitment {
    pub(crate) mac: [u8; 32],
    pub(crate) iv: [u8; 16],
    pub(crate) algorithm: String,
}

impl Commitment {
    /// Whether this key, with the IV and algorithm stored beside the commitment, gives the stored value. Takes the same
    /// time whatever the answer.
    #[must_use]
    pub fn verify(&self, key: &DataKey) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes()).expect("HMAC takes keys of any length");
        mac.update(&self.iv);
        mac.update(self.algorithm.as_bytes());
        mac.verify_slice(&self.mac).is_ok()
    }
}
