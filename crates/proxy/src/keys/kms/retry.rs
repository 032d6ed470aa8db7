//! One data key from one provider: tries, pauses between them, and the check that the right key opened it.
//!
//! Knows when another try makes sense. Must not know what a try is made of.

use std::{sync::Arc, time::Duration};

use crypto::{DataKey, KmsKey};
use rand::RngExt;
use tokio::time::{Instant, sleep};

use super::{Failure, KmsError, Provider, UnwrappedKey};
use crate::{
    Result,
    keys::{
        Urgency,
        hooks::{Hooks, KmsOutcome},
    },
};

/// The pause before the first further try lasts up to this long; it doubles from try to try.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// What clients are told to wait when the tries are used up.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The data key behind `key`.
///
/// # Errors
/// What the KMS made of it, with [`Blame::Kms`](crate::Blame::Kms) or, for our credentials,
/// [`Blame::Config`](crate::Blame::Config). Throttled or unreachable: 503 with a delay, after the tries are used up.
pub(in crate::keys) async fn unwrap(
    provider: Arc<dyn Provider>,
    key: KmsKey,
    urgency: Urgency,
    hooks: Arc<dyn Hooks>,
) -> Result<DataKey> {
    let name = provider.about().name.as_str();
    let told = |error: KmsError| error.into_error(name, &key.key_id, RETRY_AFTER);
    let Some(line) = provider.line() else { return tried(&*provider, &key, &*hooks, || false).await.map_err(told) };
    let _leave = match urgency {
        Urgency::Head => None,
        Urgency::Ahead => Some(line.ahead(provider.about().patience).await.map_err(told)?),
    };
    let pass = line.circuit.enter().map_err(told)?;
    let is_down = || !pass.tries() && line.circuit.is_open();
    let result = tried(&*provider, &key, &*hooks, is_down).await;
    match result.as_ref().map_err(|error| (error, error.failure())) {
        Err((error, Failure::Unreachable)) => pass.failed(error),
        // It was not asked, or said nothing but that it was asked too often.
        Err((_, Failure::Throttled | Failure::NoCredentials | Failure::BadCredentials)) => drop(pass),
        _ => pass.answered(),
    }
    if let Err(error) = &result {
        line.note(error.failure());
    }
    result.map_err(told)
}

/// As many tries as make sense. None is begun any more when the KMS turns out to be down.
async fn tried(
    provider: &dyn Provider,
    key: &KmsKey,
    hooks: &dyn Hooks,
    is_down: impl Fn() -> bool,
) -> std::result::Result<DataKey, KmsError> {
    let about = provider.about();
    let begun = Instant::now();
    let mut tries = 0;
    loop {
        let result = provider.decrypt(key).await.and_then(|opened| checked(opened, &key.key_id));
        let error = match result {
            Ok(opened) => {
                hooks.on_kms_request(&about.name, KmsOutcome::Ok);
                return Ok(opened);
            }
            Err(error) => error,
        };
        hooks.on_kms_request(&about.name, error.failure().outcome());
        let pause = pause(tries);
        let more = error.failure().passing()
            && tries < about.max_retries
            && begun.elapsed() + pause < about.patience
            && !is_down();
        if !more {
            let (provider, failure, tries) = (about.name.as_str(), error.failure(), tries + 1);
            tracing::warn!(provider, code = error.short_code(), ?failure, tries, "the KMS gave no data key");
            return Err(error);
        }
        tracing::debug!(provider = about.name.as_str(), failure = ?error.failure(), ?pause, "KMS request failed, trying again");
        sleep(pause).await;
        tries += 1;
    }
}

/// Between half and all of [`FIRST_PAUSE`] doubled `tries` times, so that many who were refused together do not come
/// back together.
fn pause(tries: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << tries.min(16)).min(LONGEST_PAUSE);
    longest.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// Refuses a data key that was opened by another KMS key than the stored one.
fn checked(opened: UnwrappedKey, stored: &str) -> Result<DataKey, KmsError> {
    if same_key(&opened.key_id, stored) {
        Ok(opened.key)
    } else {
        Err(KmsError::new(Failure::OtherKey, &format!("it answered {:?}", opened.key_id)))
    }
}

/// The S3 gateway stores the id that the KMS had answered and demands that very string again. On AWS both are the ARN;
/// compatible services may name the bare id in one of the two answers, which says the same.
fn same_key(answered: &str, stored: &str) -> bool {
    fn bare(arn: &str) -> Option<&str> {
        arn.strip_prefix("arn:").and_then(|rest| rest.split_once(":key/")).map(|(_, id)| id)
    }
    !stored.is_empty() && (answered == stored || bare(answered) == Some(stored) || bare(stored) == Some(answered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_are_the_same_only_if_they_name_one_key() {
        const ARN: &str = "arn:aws:kms:us-east-1:1:key/abc";
        assert!(same_key(ARN, ARN));
        assert!(same_key(ARN, "abc"));
        assert!(same_key("abc", ARN));
        assert!(same_key("seaweed", "seaweed"));
        assert!(!same_key(ARN, "arn:aws:kms:us-east-2:1:key/abc"));
        assert!(!same_key(ARN, "bc"));
        assert!(!same_key(ARN, "alias/abc"));
        assert!(!same_key("", ""));
        assert!(!same_key("arn:aws:kms:us-east-1:1:key/", ""));
    }

    #[test]
    fn pauses_grow_up_to_a_bound() {
        for tries in 0..40 {
            let longest = FIRST_PAUSE.saturating_mul(1 << tries.min(16)).min(LONGEST_PAUSE);
            let pause = pause(tries);
            assert!(pause >= longest / 2 && pause <= longest, "{tries}: {pause:?}");
        }
    }
}
