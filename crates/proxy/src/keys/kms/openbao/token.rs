//! The token that requests carry: given, or fetched with AppRole and kept alive.
//!
//! Knows logins, leases and the clock. Must not know what the token is used for.
//!
//! A fetched token is renewed in the background when two thirds of its time are over, used or not: a secret id may be good for
//! a single login. When it cannot be renewed, or only for less than half of its first time (its greatest age is near),
//! there is a new login.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::{
    answer::{self, TokenGrant},
    service::Service,
    settings::Login,
};
use crate::keys::kms::{
    Failure, KmsError,
    secret::ZeroizedBody,
    token_slot::{Expires, SlotWatch, TokenSlot},
};

/// A renewal that did not come through is tried again after this long.
const AGAIN: Duration = Duration::from_secs(10);

/// A token and how long it is good for.
pub(super) struct Token {
    text: Zeroizing<String>,
    begun: Instant,
    /// `None`: it does not end.
    lasts: Option<Duration>,
    /// The time that the login gave, which renewals are measured by.
    first: Duration,
    renewable: bool,
}

impl Token {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn new(granted: TokenGrant, first: Option<Duration>) -> Self {
        let TokenGrant { token, lasts, renewable } = granted;
        let first = first.unwrap_or(lasts);
        Self { text: token, begun: Instant::now(), lasts: (!lasts.is_zero()).then_some(lasts), first, renewable }
    }

    /// When it should be renewed; `None`: never.
    fn due(&self) -> Option<Instant> {
        self.lasts.map(|lasts| self.begun + lasts.mul_f64(2.0 / 3.0))
    }
}

impl Expires for Token {
    fn is_expired(&self) -> bool {
        self.lasts.is_some_and(|lasts| self.begun.elapsed() >= lasts)
    }
}

/// Where tokens come from.
pub(super) struct Tokens {
    service: Service,
    login: Login,
    slot: TokenSlot<Token>,
    /// Whether there is somebody who renews them. One for all: it was started with the first.
    kept_alive: AtomicBool,
}

impl Tokens {
    pub(super) fn new(service: Service, login: Login) -> Arc<Self> {
        Arc::new(Self { service, login, slot: TokenSlot::new(), kept_alive: AtomicBool::new(false) })
    }

    /// A token that should be good.
    ///
    /// # Errors
    /// When the login is refused or does not come through.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Arc<Token>, KmsError> {
        self.slot.get(self.log_in()).await
    }

    /// A newer token after a request with `refused` was; `None`: there is no better one to be had.
    ///
    /// # Errors
    /// As [`Tokens::current`].
    pub(super) async fn instead_of(self: &Arc<Self>, refused: &Arc<Token>) -> Result<Option<Arc<Token>>, KmsError> {
        if matches!(self.login, Login::Token(_)) {
            return Ok(None);
        }
        self.slot.refresh_unless_newer(refused, self.holds(refused), self.log_in()).await
    }

    /// Whether a token is still good. The policy that every token has allows it to ask about itself
    /// (<https://openbao.org/api-docs/auth/token/#lookup-a-token-self>); one that may not is taken for one that is over.
    async fn holds(&self, token: &Token) -> Result<bool, KmsError> {
        let answer = self.service.get("auth/token/lookup-self", token.text()).await?;
        if answer.status.is_success() {
            return Ok(true);
        }
        let refused = answer::refusal(&answer);
        if refused.failure().passing() { Err(refused) } else { Ok(false) }
    }

    async fn log_in(self: &Arc<Self>) -> Result<Token, KmsError> {
        let (role_id, secret_id, path) = match &self.login {
            Login::Token(text) => {
                let granted = TokenGrant { token: text.clone(), lasts: Duration::ZERO, renewable: false };
                return Ok(Token::new(granted, None));
            }
            Login::AppRole { role_id, secret_id, path } => (role_id, secret_id, path),
        };
        let input = LoginInput { role_id: role_id.as_str(), secret_id: secret_id.as_str() };
        let body = serde_json::to_string(&input)
            .map_err(|_| KmsError::new(Failure::BadCredentials, "they do not fit into a request"))?;
        let body = Bytes::from_owner(ZeroizedBody::new(body));
        let answer = self.service.post(&format!("{path}/login"), None, body).await?;
        if !answer.status.is_success() {
            return Err(answer::refused_login(&answer));
        }
        let token = Token::new(answer::granted(&answer.body)?, None);
        tracing::debug!(lasts = ?token.lasts, renewable = token.renewable, "logged in to the KMS");
        if !self.kept_alive.swap(true, Ordering::SeqCst) {
            tokio::spawn(keep_alive(Arc::downgrade(self), self.slot.watch()));
        }
        Ok(token)
    }

    /// Renews the token in use, or fetches another one.
    fn renew(self: Arc<Self>) -> BoxFuture<'static, Result<(), KmsError>> {
        // Boxed, because a renewal may log in, which starts the one that renews.
        Box::pin(async move { self.renew_if_due().await })
    }

    /// Requests go on with the token meanwhile, for as long as it is good.
    async fn renew_if_due(self: &Arc<Self>) -> Result<(), KmsError> {
        let refresh = self.slot.refresh().await;
        let due = |token: &Arc<Token>| token.due().is_some_and(|due| due <= Instant::now());
        let Some(token) = self.slot.token().filter(due) else { return Ok(()) };
        if token.renewable && !token.is_expired() {
            let answer =
                self.service.post("auth/token/renew-self", Some(token.text()), Bytes::from_static(b"{}")).await?;
            if answer.status.is_success() {
                let granted = answer::granted(&answer.body)?;
                if granted.lasts.is_zero() || granted.lasts >= token.first / 2 {
                    tracing::debug!(lasts = ?granted.lasts, "renewed the token for the KMS");
                    refresh.put(Token::new(granted, Some(token.first)));
                    return Ok(());
                }
            } else {
                let refused = answer::refused_login(&answer);
                if refused.failure().passing() {
                    return Err(refused);
                }
            }
        }
        refresh.log_in(self.log_in()).await.map(drop)
    }
}

/// Renews tokens for as long as somebody has the provider.
async fn keep_alive(tokens: Weak<Tokens>, mut slot: SlotWatch<Token>) {
    loop {
        let due = slot.token().and_then(|token| token.due());
        let another = match due {
            Some(due) => timeout_at(due, slot.changed()).await,
            None => Ok(slot.changed().await),
        };
        match another {
            Ok(true) => continue,
            Ok(false) => return,
            Err(_) => {}
        }
        let Some(renewal) = tokens.upgrade().map(Tokens::renew) else { return };
        if let Err(error) = renewal.await {
            tracing::warn!(failure = ?error.failure(), "the token for the KMS could not be renewed; trying again");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

#[derive(Serialize)]
struct LoginInput<'a> {
    role_id: &'a str,
    secret_id: &'a str,
}
