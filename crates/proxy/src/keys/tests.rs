//! The ring as a whole, over a KMS that answers when it is let.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crypto::{CustomerKey, DataKey, Envelope, KmsKey, VerifiedKey};
use futures_util::future::{BoxFuture, join_all};
use md5::{Digest, Md5};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{
    hooks::{CacheOutcome, KmsOutcome},
    kms::{Failure, KmsError, Provider, ProviderInfo, UnwrappedKey},
    sse_s3::KekSource,
    *,
};

const KEY: [u8; 32] = *b"0123456789abcdef0123456789ABCDEF";

/// Answers as told, each time one of its permits is there to take.
struct Gated {
    about: ProviderInfo,
    failure: Mutex<Option<Failure>>,
    gate: Semaphore,
    calls: AtomicUsize,
}

impl Gated {
    fn new(name: &'static str, failure: Option<Failure>, permits: usize) -> Arc<Self> {
        let (failure, gate) = (Mutex::new(failure), Semaphore::new(permits));
        let about =
            ProviderInfo { name: name.to_owned(), kind: "aws", max_retries: 2, patience: Duration::from_secs(30) };
        Arc::new(Self { about, failure, gate, calls: AtomicUsize::new(0) })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn fails(&self, failure: Option<Failure>) {
        *self.failure.lock().unwrap() = failure;
    }
}

impl Provider for Gated {
    fn about(&self) -> &ProviderInfo {
        &self.about
    }

    fn decrypt<'a>(&'a self, key: &'a KmsKey) -> BoxFuture<'a, Result<UnwrappedKey, KmsError>> {
        Box::pin(async {
            self.calls.fetch_add(1, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            match *self.failure.lock().unwrap() {
                Some(failure) => Err(KmsError::new(failure, "")),
                None => Ok(UnwrappedKey { key: DataKey::from_slice(&KEY).unwrap(), key_id: key.key_id.clone() }),
            }
        })
    }
}

struct NoFile;

impl KekSource for NoFile {
    fn read(&self) -> BoxFuture<'_, Result<Option<Zeroizing<Vec<u8>>>>> {
        Box::pin(async { Ok(None) })
    }
}

#[derive(Default)]
struct Counts {
    cache: Mutex<BTreeMap<&'static str, u32>>,
    kms: Mutex<BTreeMap<&'static str, u32>>,
}

impl Hooks for Counts {
    fn on_kms_request(&self, _: &str, outcome: KmsOutcome) {
        *self.kms.lock().unwrap().entry(outcome.as_str()).or_default() += 1;
    }

    fn on_cache(&self, cache: &'static str, outcome: CacheOutcome) {
        assert_eq!(cache, hooks::DATA_KEYS);
        *self.cache.lock().unwrap().entry(outcome.as_str()).or_default() += 1;
    }
}

impl Counts {
    fn cache(&self, outcome: &str) -> u32 {
        self.cache.lock().unwrap().get(outcome).copied().unwrap_or(0)
    }

    fn kms(&self, outcome: &str) -> u32 {
        self.kms.lock().unwrap().get(outcome).copied().unwrap_or(0)
    }
}

fn ring(of: &[&Arc<Gated>], buckets: &[(&str, &str)], hooks: Arc<Counts>) -> Arc<KeyRing> {
    let all = of.iter().map(|&one| one.clone() as Arc<dyn Provider>).collect();
    let buckets = buckets.iter().map(|(bucket, name)| (bucket.to_string(), name.to_string())).collect();
    let providers = Providers::new(all, of.first().map(|one| one.about.name.as_str()), buckets).ok().unwrap();
    let sse_s3 = SseS3::new(sse_s3::Settings::default(), Arc::new(NoFile)).ok().unwrap();
    Arc::new(KeyRing::new(Settings::default(), providers, Arc::new(sse_s3), hooks))
}

fn wrapped(ciphertext: &str) -> WrappedKey {
    let envelope = Envelope {
        provider: "aws".into(),
        key_id: "k".into(),
        ciphertext: ciphertext.into(),
        version: 1,
        provider_specific: None,
    };
    let (context, commitments) = (BTreeMap::new(), Vec::new());
    WrappedKey::Kms(KmsKey { key_id: "k".into(), envelope, context, bucket_key_enabled: false, commitments })
}

fn is_key(key: &VerifiedKey) -> bool {
    WrappedKey::Customer(CustomerKey { md5: Md5::digest(KEY).into() }).verify(key.data_key()).is_ok()
}

#[tokio::test]
async fn a_hundred_at_once_make_one_call() {
    let (kms, counts) = (Gated::new("main", None, 0), Arc::new(Counts::default()));
    let ring = ring(&[&kms], &[], counts.clone());
    let all: Vec<_> = (0..100)
        .map(|_| {
            let ring = ring.clone();
            tokio::spawn(async move { is_key(&ring.open(None, &wrapped("one"), Urgency::Head).await.ok().unwrap()) })
        })
        .collect();
    while kms.calls() == 0 {
        tokio::task::yield_now().await;
    }
    kms.gate.add_permits(100);
    for one in join_all(all).await {
        assert!(one.unwrap());
    }
    assert_eq!((kms.calls(), counts.kms("ok")), (1, 1));
    assert_eq!((counts.cache("miss"), counts.cache("hit")), (1, 99));
    assert!(is_key(&ring.open(None, &wrapped("one"), Urgency::Head).await.ok().unwrap()));
    assert!(is_key(&ring.open(None, &wrapped("two"), Urgency::Head).await.ok().unwrap()));
    assert_eq!((kms.calls(), counts.cache("hit")), (2, 100));
}

#[tokio::test]
async fn a_first_caller_that_leaves_costs_the_others_nothing() {
    let (kms, counts) = (Gated::new("main", None, 0), Arc::new(Counts::default()));
    let ring = ring(&[&kms], &[], counts.clone());
    let open = || {
        let ring = ring.clone();
        tokio::spawn(async move { is_key(&ring.open(None, &wrapped("one"), Urgency::Head).await.ok().unwrap()) })
    };
    // More leave than moka would put up with if each were the one that asks.
    let leaving: Vec<_> = (0..300).map(|_| open()).collect();
    while kms.calls() == 0 {
        tokio::task::yield_now().await;
    }
    let staying = open();
    for one in leaving {
        one.abort();
        assert!(one.await.unwrap_err().is_cancelled());
    }
    kms.gate.add_permits(1);
    assert!(staying.await.unwrap());
    assert_eq!(kms.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_kept_for_its_time() {
    let (kms, counts) = (Gated::new("main", None, 100), Arc::new(Counts::default()));
    let ring = ring(&[&kms], &[], counts);
    ring.open(None, &wrapped("one"), Urgency::Head).await.ok().unwrap();
    tokio::time::advance(Duration::from_secs(299)).await;
    ring.open(None, &wrapped("one"), Urgency::Head).await.ok().unwrap();
    assert_eq!(kms.calls(), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    ring.open(None, &wrapped("one"), Urgency::Head).await.ok().unwrap();
    assert_eq!(kms.calls(), 2);
    ring.forget().await;
    ring.open(None, &wrapped("one"), Urgency::Head).await.ok().unwrap();
    assert_eq!(kms.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_being_opened_when_all_were_forgotten_is_not_kept() {
    let (kms, counts) = (Gated::new("main", None, 0), Arc::new(Counts::default()));
    let ring = ring(&[&kms], &[], counts);
    let open = || {
        let ring = ring.clone();
        tokio::spawn(async move { ring.open(None, &wrapped("one"), Urgency::Head).await.ok().unwrap() })
    };
    let calls = async |wanted: usize| {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(kms.calls(), wanted);
    };
    let before = open();
    calls(1).await;
    ring.forget().await;
    let after = open();
    calls(2).await;
    kms.gate.add_permits(10);
    let old = Arc::downgrade(before.await.unwrap().data_key());
    let new = after.await.unwrap();
    assert!(Arc::ptr_eq(open().await.unwrap().data_key(), new.data_key()));
    assert_eq!(kms.calls(), 2);
    // Not only out of reach, but wiped. The tests beside may hold up the last step for a moment.
    for _ in 0..1000 {
        if old.strong_count() == 0 {
            break;
        }
        ring.sweep().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(old.strong_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_answered_again_for_ten_seconds() {
    let (kms, counts) = (Gated::new("main", Some(Failure::Denied), 100), Arc::new(Counts::default()));
    let ring = ring(&[&kms], &[], counts.clone());
    for _ in 0..3 {
        assert_eq!(
            ring.open(None, &wrapped("one"), Urgency::Head).await.err().unwrap().status(),
            StatusCode::FORBIDDEN
        );
        tokio::time::advance(Duration::from_secs(3)).await;
    }
    assert_eq!((kms.calls(), counts.cache("failure")), (1, 2));
    // The operator has allowed it meanwhile.
    kms.fails(None);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(is_key(&ring.open(None, &wrapped("one"), Urgency::Head).await.ok().unwrap()));
    assert_eq!(kms.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn outages_are_tried_three_times_and_answered_again_for_two_seconds() {
    let (kms, counts) = (Gated::new("main", Some(Failure::Unreachable), 100), Arc::new(Counts::default()));
    let ring = ring(&[&kms], &[], counts.clone());
    let error = ring.open(None, &wrapped("one"), Urgency::Head).await.err().unwrap();
    assert_eq!((error.status(), error.blame()), (StatusCode::SERVICE_UNAVAILABLE, Blame::Kms));
    assert!(error.delay().is_some());
    assert_eq!((kms.calls(), counts.kms("unreachable")), (3, 3));
    tokio::time::advance(Duration::from_millis(1900)).await;
    assert!(ring.open(None, &wrapped("one"), Urgency::Head).await.is_err());
    assert_eq!(kms.calls(), 3);
    kms.fails(None);
    tokio::time::advance(Duration::from_millis(100)).await;
    assert!(is_key(&ring.open(None, &wrapped("one"), Urgency::Head).await.ok().unwrap()));
    assert_eq!(kms.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn one_kms_that_is_down_is_noticed_once_and_not_by_each_cold_key() {
    let kms = Gated::new("main", Some(Failure::Unreachable), 1000);
    let providers =
        Providers::new(vec![Arc::new(kms::LimitedProvider::new(kms.clone(), 4))], None, BTreeMap::new()).ok().unwrap();
    let sse_s3 = SseS3::new(sse_s3::Settings::default(), Arc::new(NoFile)).ok().unwrap();
    let ring = KeyRing::new(Settings::default(), providers, Arc::new(sse_s3), Arc::new(()));
    let open = async |key: String| ring.open(None, &wrapped(&key), Urgency::Head).await.map(drop);
    for key in 0..50 {
        let error = open(format!("{key}")).await.unwrap_err();
        assert_eq!((error.status(), error.blame()), (StatusCode::SERVICE_UNAVAILABLE, Blame::Kms));
        assert!(error.delay().is_some());
    }
    assert_eq!(kms.calls(), 3);
    // Of all who come later one tries, and when it is answered all are.
    tokio::time::advance(Duration::from_secs(1)).await;
    for round in ["a", "b"] {
        join_all((0..50).map(|key| open(format!("{round}{key}")))).await;
        assert_eq!(kms.calls(), 6);
    }
    kms.fails(None);
    tokio::time::advance(Duration::from_secs(2)).await;
    open("c".to_owned()).await.unwrap();
    assert!(join_all((0..50).map(|key| open(format!("d{key}")))).await.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn keys_that_nobody_waits_for_yet_leave_room_for_those_that_a_client_waits_for() {
    let kms = Gated::new("main", None, 0);
    let providers =
        Providers::new(vec![Arc::new(kms::LimitedProvider::new(kms.clone(), 4))], None, BTreeMap::new()).ok().unwrap();
    let sse_s3 = SseS3::new(sse_s3::Settings::default(), Arc::new(NoFile)).ok().unwrap();
    let ring = Arc::new(KeyRing::new(Settings::default(), providers, Arc::new(sse_s3), Arc::new(())));
    let open = |key: String, urgency| {
        let ring = ring.clone();
        tokio::spawn(async move { ring.open(None, &wrapped(&key), urgency).await.is_ok() })
    };
    let ahead: Vec<_> = (0..100).map(|key| open(format!("ahead {key}"), Urgency::Ahead)).collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(kms.calls(), 2);
    let head = open("head".to_owned(), Urgency::Head);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(kms.calls(), 3);
    kms.gate.add_permits(1000);
    assert!(head.await.unwrap());
    assert!(join_all(ahead).await.into_iter().all(|one| one.unwrap()));
}

#[tokio::test]
async fn each_provider_has_its_own_answers() {
    let main = Gated::new("main", Some(Failure::Denied), 100);
    let second = Gated::new("second", None, 100);
    let ring = ring(&[&main, &second], &[("b", "second")], Arc::new(Counts::default()));
    assert!(ring.open(None, &wrapped("one"), Urgency::Head).await.is_err());
    assert!(is_key(&ring.open(Some("b"), &wrapped("one"), Urgency::Head).await.ok().unwrap()));
    assert!(ring.open(Some("a"), &wrapped("one"), Urgency::Head).await.is_err());
    assert_eq!((main.calls(), second.calls()), (1, 1));
}

#[tokio::test]
async fn customer_keys_are_not_ours_to_open() {
    let ring = ring(&[], &[], Arc::new(Counts::default()));
    let error =
        ring.open(None, &WrappedKey::Customer(CustomerKey { md5: [0; 16] }), Urgency::Head).await.err().unwrap();
    assert_eq!((error.status(), error.blame()), (StatusCode::BAD_REQUEST, Blame::Client));
    let error = ring.open(None, &wrapped("one"), Urgency::Head).await.err().unwrap();
    assert_eq!((error.status(), error.blame()), (StatusCode::FORBIDDEN, Blame::Config));
}

/// An SSE-S3 key as the gateway stores it, sealed under `KEK` and committed to its IV, with changes.
fn sse_s3_key(changed: &str, to: &str) -> WrappedKey {
    let json = r#"{"algorithm":"AES256","keyId":"sse-s3-key-1","nonce":"BwcHBwcHBwcHBwcH","iv":"AwMDAwMDAwMDAwMDAwMDAw==",
        "encryptedDEK":"P1uUb1s64cP+pHLi4zWR/ZFtv0C8wrcuxoIfuEead13fraiwc0tPei+Ee3Hw3K94",
        "keyCommitment":"6eJu3mJUyTElvwB1KG8turXreOa/+uDUECODOEmUUbw="}"#;
    let json = json.replace(changed, to);
    let entry = [("X-Amz-Server-Side-Encryption", &b"AES256"[..]), ("x-seaweedfs-sse-s3-key", json.as_bytes())];
    crypto::Layout::read(&crypto::Attributes::new(entry), &crypto::History::default(), &[], 5)
        .ok()
        .unwrap()
        .keys
        .remove(0)
}

#[tokio::test]
async fn sse_s3_keys_are_opened_here_and_held_against_their_commitment() {
    const KEK: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let settings = sse_s3::Settings { kek: Some(KEK.to_owned().into()), ..Default::default() };
    let sse_s3 = SseS3::new(settings, Arc::new(NoFile)).ok().unwrap();
    let counts = Arc::new(Counts::default());
    let ring = KeyRing::new(Settings::default(), Providers::default(), Arc::new(sse_s3), counts.clone());

    assert!(is_key(&ring.open(Some("b"), &sse_s3_key("", ""), Urgency::Head).await.ok().unwrap()));
    assert!(counts.cache.lock().unwrap().is_empty());
    for (changed, to) in [("AwMDAwMDAwMDAwMDAwMDAw==", "AwMDAwMDAwMDAwMDAwMDBA=="), ("6eJu", "6eJv")] {
        let error = ring.open(None, &sse_s3_key(changed, to), Urgency::Head).await.err().unwrap();
        assert_eq!((error.status(), error.blame()), (StatusCode::INTERNAL_SERVER_ERROR, Blame::Filer));
        assert_eq!(error.short_code(), Some("KeyCommitmentMismatch"));
    }
    let error = ring.open(None, &sse_s3_key("P1uU", "P1uV"), Urgency::Head).await.err().unwrap();
    assert_eq!((error.blame(), error.short_code()), (Blame::Config, Some("SseS3Key")));
}
