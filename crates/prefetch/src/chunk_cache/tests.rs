use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::*;
use crate::testing::{Fault, Script};

/// Gives each needle the ETag that a volume server would.
struct Checksummed(Script);

impl Upstream for Checksummed {
    fn send(&self, request: Request<()>) -> Answer<'_> {
        Box::pin(async move {
            let fid = request.uri().path().trim_start_matches('/').to_owned();
            let mut answer = self.0.send(request).await?;
            let needle = self.0.0.lock().unwrap().needles.get(&fid).cloned().unwrap_or_default();
            let etag = format!("\"{:08x}\"", crc32c::crc32c(&needle));
            answer.headers_mut().insert(header::ETAG, etag.parse().unwrap());
            Ok(answer)
        })
    }
}

struct Setup {
    script: Script,
    cache: ChunkCache<Checksummed>,
    hits: Arc<AtomicUsize>,
}

fn setup(bytes: u64) -> Setup {
    let script = Script::default();
    let hits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hits);
    let on_lookup = Box::new(move |hit| {
        count.fetch_add(usize::from(hit), Ordering::Relaxed);
    });
    Setup { cache: ChunkCache::new(Checksummed(script.clone()), bytes, on_lookup), script, hits }
}

impl Setup {
    /// A needle with its fid and its bytes as they are stored.
    fn needle(&self, key: u32, size: usize) -> (Arc<str>, Bytes) {
        let fid = self.script.needle(key, size).0.fid;
        let stored = self.script.0.lock().unwrap().needles[&*fid].clone();
        (fid, stored)
    }

    async fn whole(&self, fid: &str, size: usize) -> Result<Bytes, Arc<str>> {
        let request = Request::get(format!("http://a:1/{fid}")).extension(WholeNeedle(size as u64)).body(()).unwrap();
        let answer = self.cache.send(request).await?;
        answer.into_body().collect().await.map(|body| body.to_bytes()).map_err(|error| error.to_string().into())
    }
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_wait_for_one_fetch() {
    let setup = setup(1 << 20);
    let (fid, stored) = setup.needle(1, 5000);
    setup.script.latency(Duration::from_millis(10));
    let all = futures_util::future::join_all((0..20).map(|_| setup.whole(&fid, 5000))).await;
    assert!(all.into_iter().all(|bytes| bytes.unwrap() == stored));
    assert_eq!((setup.script.requests().len(), setup.hits.load(Ordering::Relaxed)), (1, 19));
    assert_eq!(setup.cache.held(&fid), Some(stored));
}

#[tokio::test]
async fn ranges_and_large_needles_pass_by() {
    let setup = setup(64 << 20);
    let (fid, _) = setup.needle(1, 5000);
    let range = Request::get(format!("http://a:1/{fid}")).header(header::RANGE, "bytes=0-9").body(()).unwrap();
    assert_eq!(setup.cache.send(range).await.unwrap().status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(setup.cache.held(&fid), None);
    let size = LARGEST as usize + 1;
    let (fid, stored) = setup.needle(2, size);
    assert_eq!(setup.whole(&fid, size).await.unwrap(), stored);
    assert_eq!(setup.cache.held(&fid), None);
}

#[tokio::test]
async fn what_is_broken_or_not_what_was_named_is_not_kept() {
    let setup = setup(1 << 20);
    let (fid, stored) = setup.needle(1, 5000);
    for fault in [Fault::Refuse, Fault::BreakAfter(100), Fault::EndAfter(100)] {
        setup.script.fault("a:1", [fault]);
        assert_ne!(setup.whole(&fid, 5000).await.ok().as_ref(), Some(&stored));
        assert_eq!(setup.cache.held(&fid), None);
    }
    setup.script.fault("a:1", [Fault::Status(404)]);
    assert_eq!(setup.whole(&fid, 5000).await.unwrap(), Bytes::new(), "the answer is passed on");
    assert_eq!(setup.cache.held(&fid), None);
    assert!(names_checksum_of(&HeaderValue::from_static("\"e3069283\""), b"123456789"));
    for etag in ["e3069283", "\"e3069283", "\"E306928\"", "\"00000000\""] {
        assert!(!names_checksum_of(&HeaderValue::from_static(etag), b"123456789"), "{etag}");
    }
    assert_eq!(setup.whole(&fid, 5000).await.unwrap(), stored);
    assert_eq!(setup.cache.held(&fid), Some(stored));
}
