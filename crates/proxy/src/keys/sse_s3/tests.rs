//! The sources of the SSE-S3 key, by values that were sealed with another implementation.

use std::sync::Mutex;

use crypto::{CustomerKey, WrappedKey};
use md5::{Digest, Md5};

use super::*;

const KEK: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER_KEK: &str = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
const WRAPPED_KEK: &str = "U1d2MgkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJBQUFBQUFBQUFBQUFKdPkrMepXUOeyb6wvmiHLRRA1lAW\
                           CmOQ6kJDFhGhnekc1JmB4Nhx84GqS4LRst52";
/// The data key, and what it is sealed to under each of the keys.
const KEY: &[u8; 32] = b"0123456789abcdef0123456789ABCDEF";
const BY_KEK: &str = "3f5b946f5b3ae1c3fea472e2e33591fd916dbf40bcc2b72ec6821fb8479a775ddfada8b0734b4f7a2f847b71f0dcaf78";
const BY_OTHER_KEK: &str =
    "daf21b605fde42df6e4c461b1a51f3e5c4f77efdf960b4a7ca8f805065526052d267664b07024b8f66da64a855657754";
const BY_TEXT: &str =
    "9468451bd3fe40a9ba0fdeb0fc75dc52e6695646a07a92dc9c80fde81b5914975b8d820f497bbb1e2990b5f9567ee4b6";

/// A file on a filer that can change, be missing or fail; counts how often it is read.
#[derive(Default)]
struct Stored {
    content: Mutex<Option<Result<&'static str>>>,
    reads: Mutex<u32>,
}

impl Stored {
    fn of(text: &'static str) -> Arc<Self> {
        let file = Self::default();
        file.set(Some(Ok(text)));
        Arc::new(file)
    }

    fn set(&self, content: Option<Result<&'static str>>) {
        *self.content.lock().unwrap() = content;
    }

    fn reads(&self) -> u32 {
        *self.reads.lock().unwrap()
    }
}

impl KekSource for Stored {
    fn read(&self) -> BoxFuture<'_, Result<Option<Zeroizing<Vec<u8>>>>> {
        *self.reads.lock().unwrap() += 1;
        let content = self.content.lock().unwrap().clone();
        Box::pin(async { content.transpose().map(|text| text.map(|text| text.as_bytes().to_vec().into())) })
    }
}

fn sealed(hex: &str) -> S3Key {
    let sealed = hex::decode(hex).unwrap();
    S3Key { key_id: "sse-s3-key-1".into(), sealed, nonce: [7; 12], commitments: Vec::new() }
}

fn is_key(opened: Result<DataKey>) -> bool {
    WrappedKey::Customer(CustomerKey { md5: Md5::digest(KEY).into() }).verify(&opened.ok().unwrap()).is_ok()
}

fn text(text: &str) -> Option<Zeroizing<String>> {
    Some(text.to_owned().into())
}

fn from_file(file: &Arc<Stored>) -> SseS3 {
    SseS3::new(Settings::default(), file.clone()).ok().unwrap()
}

#[tokio::test]
async fn configured_keys_are_used_and_the_file_is_left_alone() {
    let file = Stored::of(OTHER_KEK);
    let kek = SseS3::new(Settings { kek: text(KEK), ..Settings::default() }, file.clone()).ok().unwrap();
    assert!(is_key(kek.open(&sealed(BY_KEK)).await));
    let key = Settings { key: text("a passphrase of any kind"), ..Settings::default() };
    let key = SseS3::new(key, file.clone()).ok().unwrap();
    assert!(is_key(key.open(&sealed(BY_TEXT)).await));

    let error = kek.open(&sealed(BY_TEXT)).await.err().unwrap();
    assert_eq!((error.blame(), error.status().as_u16(), error.delay()), (Blame::Config, 500, None));
    assert!(error.message().contains("is not the one this object was written with"), "{error}");
    assert_eq!(file.reads(), 0);
}

#[test]
fn unusable_settings_are_refused() {
    let new = |settings| SseS3::new(settings, Arc::new(Stored::default())).err().unwrap().to_string();
    let both = new(Settings { key: text("one"), kek: text(KEK), ..Settings::default() });
    assert!(both.contains("sse_s3.key") && both.contains("sse_s3.kek"), "{both}");
    let short = new(Settings { kek: text("abcdef"), ..Settings::default() });
    assert!(short.contains("64 hex digits") && !short.contains("abcdef"), "{short}");
}

#[tokio::test(start_paused = true)]
async fn the_file_is_read_when_first_needed_and_then_kept() {
    let file = Stored::of(KEK);
    let sse_s3 = from_file(&file);
    assert_eq!(file.reads(), 0);
    for _ in 0..3 {
        assert!(is_key(sse_s3.open(&sealed(BY_KEK)).await));
        tokio::time::advance(Duration::from_secs(3600)).await;
    }
    assert_eq!(file.reads(), 1);
}

#[tokio::test(start_paused = true)]
async fn told_to_read_it_takes_what_the_file_says_now() {
    let file = Stored::of(KEK);
    let sse_s3 = from_file(&file);
    assert!(sse_s3.read().await.ok().unwrap());
    assert!(is_key(sse_s3.open(&sealed(BY_KEK)).await));
    assert_eq!(file.reads(), 1);
    file.set(Some(Ok(OTHER_KEK)));
    assert!(sse_s3.read().await.ok().unwrap());
    assert!(is_key(sse_s3.open(&sealed(BY_OTHER_KEK)).await));
    assert_eq!(file.reads(), 2);
    assert!(sse_s3.open(&sealed(BY_KEK)).await.is_err());
    assert_eq!(file.reads(), 3);
}

#[tokio::test(start_paused = true)]
async fn told_to_read_a_broken_or_missing_file_it_keeps_what_it_had() {
    let file = Arc::new(Stored::default());
    let sse_s3 = from_file(&file);
    assert!(!sse_s3.read().await.ok().unwrap());
    file.set(Some(Ok(KEK)));
    assert!(is_key(sse_s3.open(&sealed(BY_KEK)).await), "that it was not there is no reason to wait");
    for broken in [Some(Ok("no hex")), Some(Ok(WRAPPED_KEK)), None] {
        file.set(broken);
        let error = sse_s3.read().await.err().unwrap();
        assert!(error.message().contains("/etc/s3/sse_kek"), "{error}");
        assert!(is_key(sse_s3.open(&sealed(BY_KEK)).await));
    }
    let configured = Settings { kek: text(KEK), ..Settings::default() };
    assert!(!SseS3::new(configured, file.clone()).ok().unwrap().read().await.ok().unwrap());
}

#[tokio::test]
async fn a_sealed_file_needs_its_passphrase() {
    let file = Stored::of(WRAPPED_KEK);
    let with = |passphrase| SseS3::new(Settings { kek_passphrase: passphrase, ..Settings::default() }, file.clone());
    assert!(is_key(with(text("open sesame")).ok().unwrap().open(&sealed(BY_KEK)).await));
    for wrong in [None, text("sesame")] {
        let error = with(wrong).ok().unwrap().open(&sealed(BY_KEK)).await.err().unwrap();
        assert_eq!((error.blame(), error.status().as_u16()), (Blame::Config, 500));
        assert!(error.message().contains("sse_s3.kek_passphrase"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotated_file_is_read_again_but_not_at_every_try() {
    let file = Stored::of(OTHER_KEK);
    let sse_s3 = from_file(&file);
    for _ in 0..10 {
        let error = sse_s3.open(&sealed(BY_KEK)).await.err().unwrap();
        assert!(error.message().contains("is not the one this object was written with"), "{error}");
    }
    assert_eq!(file.reads(), 1);
    file.set(Some(Ok(KEK)));
    tokio::time::advance(READ_AGAIN).await;
    assert!(is_key(sse_s3.open(&sealed(BY_KEK)).await));
    assert_eq!(file.reads(), 2);
    // And back, which costs one more reading.
    file.set(Some(Ok(OTHER_KEK)));
    tokio::time::advance(READ_AGAIN).await;
    assert!(is_key(sse_s3.open(&sealed(BY_OTHER_KEK)).await));
    assert_eq!(file.reads(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_missing_file_says_what_to_set_and_is_looked_for_again() {
    let file = Arc::new(Stored::default());
    let sse_s3 = from_file(&file);
    for _ in 0..10 {
        let error = sse_s3.open(&sealed(BY_KEK)).await.err().unwrap();
        assert_eq!((error.blame(), error.status().as_u16()), (Blame::Config, 500));
        assert!(error.message().contains("sse_s3.key") && error.message().contains("/etc/s3/sse_kek"), "{error}");
    }
    assert_eq!(file.reads(), 1);
    file.set(Some(Ok(KEK)));
    tokio::time::advance(READ_AGAIN).await;
    assert!(is_key(sse_s3.open(&sealed(BY_KEK)).await));
}

#[tokio::test(start_paused = true)]
async fn a_failing_filer_keeps_its_blame_and_does_not_cost_a_good_key() {
    let down = Error::new(Blame::Filer, StatusCode::SERVICE_UNAVAILABLE, "down").retry_after(Duration::from_secs(1));
    let file = Arc::new(Stored::default());
    file.set(Some(Err(down.clone())));
    let sse_s3 = from_file(&file);
    let error = sse_s3.open(&sealed(BY_KEK)).await.err().unwrap();
    assert_eq!((error.blame(), error.delay()), (Blame::Filer, Some(Duration::from_secs(1))));

    file.set(Some(Ok(KEK)));
    tokio::time::advance(READ_AGAIN).await;
    assert!(is_key(sse_s3.open(&sealed(BY_KEK)).await));
    // A key that does not open has the file read again while the filer is down: the key that was good stays.
    file.set(Some(Err(down)));
    tokio::time::advance(READ_AGAIN).await;
    assert!(sse_s3.open(&sealed(BY_TEXT)).await.is_err());
    assert!(is_key(sse_s3.open(&sealed(BY_KEK)).await));
}

#[tokio::test]
async fn many_at_once_read_the_file_once() {
    let file = Stored::of(KEK);
    let sse_s3 = Arc::new(from_file(&file));
    let all = (0..50).map(|_| {
        let sse_s3 = sse_s3.clone();
        tokio::spawn(async move { is_key(sse_s3.open(&sealed(BY_KEK)).await) })
    });
    for one in futures_util::future::join_all(all).await {
        assert!(one.unwrap());
    }
    assert_eq!(file.reads(), 1);
}
