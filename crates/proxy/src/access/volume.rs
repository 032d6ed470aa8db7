//! The token that a volume server wants for one read (`GenJwtForVolumeServer` in `weed/security/jwt.go` @4.48).

use http::HeaderValue;

use super::{current_key::CurrentKey, token};
use crate::security::VolumeTokens;

/// Mints read tokens, while there is a key for them.
pub(crate) struct VolumeMint(CurrentKey<VolumeTokens>);

impl VolumeMint {
    /// A mint that signs as `tokens` says at the time.
    pub(crate) fn new(tokens: CurrentKey<VolumeTokens>) -> Self {
        Self(tokens)
    }

    /// The `Authorization` value of one request for `fid` (`3,01637037d6`, or with a delta `_1`, which a token leaves out);
    /// `None`: no key.
    pub(crate) fn mint(&self, fid: &str) -> Option<HeaderValue> {
        self.mint_at(fid, token::now())
    }

    fn mint_at(&self, fid: &str, now: i64) -> Option<HeaderValue> {
        let tokens = self.0.get()?;
        let fid = fid.rsplit_once('_').map_or(fid, |(fid, _)| fid);
        let claims = match tokens.lifetime {
            Some(lifetime) => {
                let exp = now.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
                serde_json::json!({ "fid": fid, "exp": exp })
            }
            None => serde_json::json!({ "fid": fid }),
        };
        token::bearer(&tokens.key, &claims)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;
    use crate::security::SigningKey;

    fn claims(lifetime: Option<Duration>, fid: &str) -> serde_json::Value {
        let mint = VolumeMint::new(CurrentKey::new(Some(VolumeTokens { key: SigningKey::new(b"v"), lifetime })));
        let value = mint.mint_at(fid, 100).unwrap();
        assert!(value.is_sensitive());
        let token = value.to_str().unwrap().strip_prefix("Bearer ").unwrap();
        let parts: Vec<_> = token.split('.').collect();
        let signature = SigningKey::new(b"v").sign(format!("{}.{}", parts[0], parts[1]).as_bytes());
        assert_eq!(URL_SAFE_NO_PAD.decode(parts[2]).unwrap(), signature);
        assert_eq!(URL_SAFE_NO_PAD.decode(parts[0]).unwrap(), br#"{"alg":"HS256","typ":"JWT"}"#);
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap()
    }

    #[test]
    fn without_a_key_there_is_no_token() {
        let key = CurrentKey::new(Some(VolumeTokens { key: SigningKey::new(b"v"), lifetime: None }));
        let mint = VolumeMint::new(key.clone());
        assert!(mint.mint("3,01637037d6").is_some());
        key.replace(None);
        assert!(mint.mint("3,01637037d6").is_none());
    }

    #[test]
    fn names_the_needle_and_its_end() {
        let minute = Some(Duration::from_secs(60));
        assert_eq!(claims(minute, "3,01637037d6"), serde_json::json!({ "fid": "3,01637037d6", "exp": 160 }));
        assert_eq!(claims(None, "3,01637037d6_2"), serde_json::json!({ "fid": "3,01637037d6" }));
    }
}
