//! Bearer tokens of a cloud: fetched once for all who wait, renewed before they end.
//!
//! Knows lifetimes and the clock. Must not know how a token is fetched ([`Login`]) or what it is used for.

use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Deserializer};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{
    Failure, KmsError,
    http::Answer,
    secret::Secret,
    token_slot::{Expires, TokenSlot},
};

/// A token is renewed this long before it ends, or after two thirds of its time if that is later.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// What counts as its time where the answer says nothing, as RFC 6749 leaves open.
const UNSAID: Duration = Duration::from_secs(5 * 60);
/// Bounded, so that adding it to a time cannot overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Fetches tokens.
pub(super) trait Login: Send + Sync {
    /// A new token. One request, bounded in time.
    fn login(&self) -> BoxFuture<'_, Result<TokenGrant, KmsError>>;
}

/// A token as it was given.
pub(super) struct TokenGrant {
    token: Zeroizing<String>,
    lasts: Duration,
}

/// A token and how long it is good for.
pub(super) struct Token {
    header: HeaderValue,
    begun: Instant,
    lasts: Duration,
}

impl Token {
    fn new(granted: &TokenGrant) -> Result<Self, KmsError> {
        let text = Zeroizing::new(format!("Bearer {}", granted.token.as_str()));
        let mut header = HeaderValue::try_from(text.as_str())
            .map_err(|_| KmsError::new(Failure::Nonsense, "the token has characters that no token has"))?;
        header.set_sensitive(true);
        Ok(Self { header, begun: Instant::now(), lasts: granted.lasts })
    }

    /// What goes into `Authorization`.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

impl Expires for Token {
    fn is_expired(&self) -> bool {
        self.begun.elapsed() >= self.lasts
    }

    fn is_due(&self) -> bool {
        let two_thirds = self.lasts.mul_f64(2.0 / 3.0);
        self.begun.elapsed() >= self.lasts.saturating_sub(EARLY).max(two_thirds)
    }
}

/// Where tokens come from.
pub(super) struct Tokens<L> {
    login: L,
    slot: TokenSlot<Token>,
}

impl<L: Login> Tokens<L> {
    pub(super) fn new(login: L) -> Self {
        Self { login, slot: TokenSlot::new() }
    }

    /// The answer to a request with a token; with a newer one if it was refused for that.
    ///
    /// # Errors
    /// When there is no token, and the login is refused or does not come through; and what `send` fails with.
    pub(super) async fn ask<S, F>(&self, send: S) -> Result<Answer, KmsError>
    where
        S: Fn(HeaderValue) -> F,
        F: Future<Output = Result<Answer, KmsError>>,
    {
        let token = self.slot.get(self.log_in()).await?;
        let answer = send(token.header()).await?;
        // A token that was revoked, perhaps. With a new one we know.
        if answer.status == StatusCode::UNAUTHORIZED
            && let Some(token) = self.slot.refresh_unless_newer(&token, async { Ok(false) }, self.log_in()).await?
        {
            return send(token.header()).await;
        }
        Ok(answer)
    }

    async fn log_in(&self) -> Result<Token, KmsError> {
        let token = self.login.login().await.and_then(|granted| Token::new(&granted))?;
        tracing::debug!(lasts = ?token.lasts, "logged in to the KMS");
        Ok(token)
    }
}

#[derive(Deserialize)]
struct TokenOutput<'a> {
    #[serde(borrow)]
    access_token: Secret<'a>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
}

/// The token in the answer of an OAuth 2.0 token endpoint or of a metadata server (RFC 6749, 5.1). A refusal is about our
/// credentials unless it may pass.
pub(super) fn granted(answer: &Answer) -> Result<TokenGrant, KmsError> {
    if !answer.status.is_success() {
        return Err(refused(answer));
    }
    // serde's messages quote what they did not expect, so none of them is passed on.
    let output: TokenOutput<'_> = serde_json::from_slice(&answer.body)
        .map_err(|_| KmsError::new(Failure::Nonsense, "the answer to the login has no access_token"))?;
    let lasts = output.expires_in.map_or(UNSAID, Duration::from_secs).min(LONGEST);
    Ok(TokenGrant { token: Zeroizing::new(output.access_token.as_str().to_owned()), lasts })
}

/// Azure's metadata server writes the number as text.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(u64),
        Text(String),
    }
    Ok(match Option::<Seconds>::deserialize(from)? {
        Some(Seconds::Number(number)) => Some(number),
        Some(Seconds::Text(text)) => text.parse().ok(),
        None => None,
    })
}

#[derive(Default, Deserialize)]
struct RefusedLogin {
    #[serde(default)]
    error: serde_json::Value,
    #[serde(default)]
    error_description: String,
}

fn refused(answer: &Answer) -> KmsError {
    let failure = match answer.status.as_u16() {
        429 => Failure::Throttled,
        408 | 500..=599 => Failure::Unreachable,
        _ => Failure::BadCredentials,
    };
    let said: RefusedLogin = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = said.error.as_str().unwrap_or_default();
    // Azure goes on for lines, with ids and times.
    let first = said.error_description.lines().next().unwrap_or_default();
    let status = answer.status.as_u16();
    KmsError::new(failure, &format!("the login was answered {status} {code} {first}")).code(code)
}
