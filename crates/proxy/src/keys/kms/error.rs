//! Why a KMS did not give a data key, and what the client is told then.
//!
//! Knows the classes of failure that all services share. Must not know any service's codes: each provider maps its own.

use std::{borrow::Cow, time::Duration};

use http::StatusCode;

use super::super::hooks::KmsOutcome;
use crate::{Blame, Error};

/// The classes of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The KMS refuses us this key.
    Denied,
    /// The KMS does not know the key.
    NotFound,
    /// The key is there but not to be used: disabled, waiting for deletion, of another kind.
    Unusable,
    /// Ciphertext or context do not fit the key.
    Invalid,
    /// The KMS opened the data key with another key than the one that is stored with the object.
    OtherKey,
    /// The KMS answered what no KMS should answer.
    Nonsense,
    /// We have no credentials for the KMS right now.
    NoCredentials,
    /// The KMS does not accept our credentials.
    BadCredentials,
    /// Too many requests.
    Throttled,
    /// Not reachable, not in time, or broken on its side.
    Unreachable,
}

impl Failure {
    /// Whether another try may succeed.
    pub(super) fn passing(self) -> bool {
        matches!(self, Self::Throttled | Self::Unreachable)
    }

    /// In a few words, for people.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Denied => "access denied",
            Self::NotFound => "key not found",
            Self::Unusable => "key not usable",
            Self::Invalid => "ciphertext or context do not fit",
            Self::OtherKey => "opened with another key",
            Self::Nonsense => "an answer that makes no sense",
            Self::NoCredentials => "no credentials",
            Self::BadCredentials => "credentials not accepted",
            Self::Throttled => "throttled",
            Self::Unreachable => "not reachable",
        }
    }

    /// How it is counted.
    pub(super) fn outcome(self) -> KmsOutcome {
        match self {
            Self::Denied | Self::Unusable | Self::NoCredentials | Self::BadCredentials => KmsOutcome::Denied,
            Self::NotFound => KmsOutcome::NotFound,
            Self::Invalid | Self::OtherKey | Self::Nonsense => KmsOutcome::Invalid,
            Self::Throttled => KmsOutcome::Throttled,
            Self::Unreachable => KmsOutcome::Unreachable,
        }
    }
}

/// A failed try, with the KMS's own words made safe to show.
#[derive(Clone, Debug)]
pub struct KmsError {
    failure: Failure,
    code: Option<String>,
    detail: String,
}

/// Longest detail that is passed on, in characters.
const DETAIL: usize = 200;
/// Longest code that is passed on, in bytes.
const CODE: usize = 64;
/// Unbroken runs of base64 or hex from this length on are cut out of details: a data key takes 43 such characters.
const RUN: usize = 40;

impl KmsError {
    /// A failure with a detail for people, which may come from the KMS or a library: it is shortened, and control
    /// characters and anything that could be key material are taken out.
    pub fn new(failure: Failure, detail: &str) -> Self {
        Self { failure, code: None, detail: sanitized(detail) }
    }

    /// Adds the KMS's own code, if it looks like one.
    #[must_use]
    pub fn code(mut self, code: &str) -> Self {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        self.code = (!code.is_empty() && code.len() <= CODE && code.chars().all(plain)).then(|| code.to_owned());
        self
    }

    /// The same in another class.
    #[cfg(feature = "openbao")]
    #[must_use]
    pub(super) fn because(mut self, failure: Failure) -> Self {
        self.failure = failure;
        self
    }

    /// The class.
    pub fn failure(&self) -> Failure {
        self.failure
    }

    /// The KMS's own code, where it gave one.
    pub(super) fn short_code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// What the client is told. `retry_after` is for failures that pass by themselves.
    pub(super) fn into_error(self, provider: &str, key_id: &str, retry_after: Duration) -> Error {
        let Self { failure, code, detail } = self;
        let key_id = sanitized(key_id);
        let (blame, status, what, advice) = match failure {
            Failure::Denied => {
                (Blame::Kms, StatusCode::FORBIDDEN, "refuses to decrypt with", "; allow the daemon to decrypt with it")
            }
            Failure::NotFound => (
                Blame::Kms,
                StatusCode::FORBIDDEN,
                "does not know",
                "; check that this provider is the one that the object was written with",
            ),
            Failure::Unusable => {
                (Blame::Kms, StatusCode::CONFLICT, "does not let anyone use", "; enable the key to read the object")
            }
            Failure::Invalid => (
                Blame::Kms,
                StatusCode::FORBIDDEN,
                "cannot open the object's data key with",
                "; its wrapped key or encryption context is not what was written",
            ),
            Failure::OtherKey => (
                Blame::Kms,
                StatusCode::FORBIDDEN,
                "opened the object's data key with another than",
                "; the object's metadata has been changed",
            ),
            Failure::Nonsense => (Blame::Kms, StatusCode::BAD_GATEWAY, "gave no usable answer for", ""),
            Failure::NoCredentials => (
                Blame::Config,
                StatusCode::SERVICE_UNAVAILABLE,
                "has no credentials to use",
                "; set them in kms.providers, or give the daemon a role",
            ),
            Failure::BadCredentials => (
                Blame::Config,
                StatusCode::INTERNAL_SERVER_ERROR,
                "does not accept the daemon's credentials for",
                "; check those in kms.providers, and the clock",
            ),
            Failure::Throttled => (Blame::Kms, StatusCode::SERVICE_UNAVAILABLE, "has too many requests to use", ""),
            Failure::Unreachable => (Blame::Kms, StatusCode::SERVICE_UNAVAILABLE, "cannot be reached to use", ""),
        };
        let colon = if detail.is_empty() { "" } else { ": " };
        let error = Error::new(
            blame,
            status,
            format!("KMS provider {provider:?} {what} key {key_id:?}{colon}{detail}{advice}"),
        );
        // Where the KMS is, by what name it has the key, and where our credentials come from, is not for clients. What it says of
        // a refusal is.
        let is_ours = matches!(failure, Failure::Unreachable | Failure::NoCredentials);
        let (colon, detail) = if is_ours { ("", "") } else { (colon, detail.as_str()) };
        let error = error.publicly(format!("KMS provider {provider:?} {what} the object's key{colon}{detail}{advice}"));
        let error = match code {
            Some(code) => error.code(code),
            None => error.code(fallback(failure)),
        };
        if failure.passing() || failure == Failure::NoCredentials { error.retry_after(retry_after) } else { error }
    }
}

/// The code where the KMS gave none.
fn fallback(failure: Failure) -> Cow<'static, str> {
    Cow::Borrowed(match failure {
        Failure::Denied => "AccessDenied",
        Failure::NotFound => "KeyNotFound",
        Failure::Unusable => "KeyUnusable",
        Failure::Invalid => "InvalidCiphertext",
        Failure::OtherKey => "KeyIdMismatch",
        Failure::Nonsense => "InvalidKmsAnswer",
        Failure::NoCredentials | Failure::BadCredentials => "KmsCredentials",
        Failure::Throttled => "KmsThrottled",
        Failure::Unreachable => "KmsUnreachable",
    })
}

/// At most [`DETAIL`] printable characters, whitespace folded, long runs of base64 or hex replaced by `[...]`.
pub(super) fn sanitized(text: &str) -> String {
    let mut out = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        let mut rest = word;
        while !rest.is_empty() {
            let run = rest.find(|c: char| !is_encoding(c)).unwrap_or(rest.len());
            out.push_str(if run >= RUN { "[...]" } else { &rest[..run] });
            let after = &rest[run..];
            let plain = after.find(is_encoding).unwrap_or(after.len());
            out.push_str(&after[..plain]);
            rest = &after[plain..];
        }
        if out.len() >= 4 * DETAIL {
            break;
        }
    }
    match out.char_indices().nth(DETAIL) {
        Some((end, _)) => format!("{}...", &out[..end]),
        None => out,
    }
}

fn is_encoding(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ARN: &str = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn key_arns_survive_and_key_material_does_not() {
        let base64 = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=";
        let hex = "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789";
        let text = sanitized(&format!("no {ARN}\r\n\tgave {base64}, ({hex})\u{1b}[0m"));
        assert_eq!(text, format!("no {ARN} gave [...], ([...]) [0m"));
    }

    #[test]
    fn codes_that_are_none_are_dropped() {
        let told = |code: &str| {
            let error = KmsError::new(Failure::Denied, "").code(code).into_error("main", ARN, Duration::ZERO);
            error.short_code().unwrap().to_owned()
        };
        assert_eq!(told("AccessDeniedException"), "AccessDeniedException");
        assert_eq!(told("<script>"), "AccessDenied");
        assert_eq!(told(&"x".repeat(65)), "AccessDenied");
    }

    #[test]
    fn each_failure_has_its_answer() {
        use Failure::*;
        let cases = [
            (Denied, 403, Blame::Kms, false),
            (NotFound, 403, Blame::Kms, false),
            (Unusable, 409, Blame::Kms, false),
            (Invalid, 403, Blame::Kms, false),
            (OtherKey, 403, Blame::Kms, false),
            (Nonsense, 502, Blame::Kms, false),
            (NoCredentials, 503, Blame::Config, true),
            (BadCredentials, 500, Blame::Config, false),
            (Throttled, 503, Blame::Kms, true),
            (Unreachable, 503, Blame::Kms, true),
        ];
        for (failure, status, blame, passes) in cases {
            let error = KmsError::new(failure, "words").into_error("main", ARN, Duration::from_secs(3));
            assert_eq!((error.status().as_u16(), error.blame()), (status, blame), "{failure:?}");
            assert_eq!(error.delay(), passes.then_some(Duration::from_secs(3)), "{failure:?}");
            assert!(error.message().contains("\"main\"") && error.message().contains(ARN), "{}", error.message());
        }
    }

    proptest! {
        #[test]
        fn sanitized_text_is_short_and_printable(text in any::<String>()) {
            let out = sanitized(&text);
            prop_assert!(out.chars().count() <= DETAIL + 3);
            prop_assert!(!out.chars().any(char::is_control));
            let longest = out.split(|c| !is_encoding(c)).map(str::len).max().unwrap_or(0);
            prop_assert!(longest < RUN);
        }

        #[test]
        fn no_encoded_key_survives(key in any::<[u8; 32]>(), before in ".{0,20}", after in ".{0,20}") {
            use base64::Engine;
            let encoded = base64::prelude::BASE64_STANDARD.encode(key);
            let hex = hex::encode(key);
            let out = sanitized(&format!("{before}{encoded}{after}{hex}"));
            prop_assert!(!out.contains(&encoded) && !out.contains(&hex));
        }
    }
}
