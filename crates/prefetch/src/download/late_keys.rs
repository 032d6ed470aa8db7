//! What the bytes are decoded with comes later than the bytes could.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::time::{Instant, sleep};

use crate::{
    Engine, FetchError, Piece, Plan, Settings, Start, Transform, WindowSetting,
    testing::{Positional, Script, collect},
};

const OPENING: Duration = Duration::from_secs(1);

/// Takes a second until it can decode, or fails then.
struct Late {
    fails: bool,
}

impl Transform for Late {
    fn start(&self, offset: u64) -> Start<'_> {
        Start::Later(Box::pin(async move {
            sleep(OPENING).await;
            match (self.fails, Positional.start(offset)) {
                (false, Start::Now(decoder)) => Ok(decoder),
                _ => Err(Arc::from(Box::<dyn std::error::Error + Send + Sync>::from("the key is gone"))),
            }
        }))
    }
}

/// Five needles, of which the one at `failing` never gets a key.
fn plan(script: &Script, failing: u32) -> (Plan, Vec<u8>) {
    let (pieces, bytes): (Vec<_>, Vec<_>) = (0..5)
        .map(|key| {
            let (mut read, bytes) = script.needle(key, 100_000);
            read.transform = Some(Arc::new(Late { fails: key == failing }));
            (Piece::Needle(read), bytes)
        })
        .unzip();
    (pieces.into_iter().collect(), bytes.concat())
}

fn engine(script: &Script) -> Engine {
    script.engine(Settings { window: WindowSetting::Fixed(5), ..Settings::default() }).0
}

#[tokio::test(start_paused = true)]
async fn keys_are_waited_for_ahead_of_the_client_and_before_a_request_goes_out() {
    let script = Script::default();
    let (plan, expected) = plan(&script, 99);
    let begun = Instant::now();
    let engine = engine(&script);
    let mut download = std::pin::pin!(engine.download(plan));
    assert!(tokio::time::timeout(OPENING / 2, &mut download).await.is_err());
    assert_eq!(script.requests().len(), 0);
    assert_eq!(collect(download.await.unwrap()).await.unwrap(), expected);
    // One after the other they would take five.
    assert_eq!(begun.elapsed(), OPENING);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_does_not_come_ends_the_download_where_it_is_needed() {
    let script = Script::default();
    let refused = engine(&script).download(plan(&script, 0).0).await;
    assert!(matches!(refused, Err(FetchError::Key { .. })));
    let (plan, expected) = plan(&script, 3);
    let mut download = engine(&script).download(plan).await.unwrap();
    let mut got = Vec::new();
    let error = loop {
        match download.next().await.unwrap() {
            Ok(bytes) => got.extend_from_slice(&bytes),
            Err(error) => break error,
        }
    };
    assert_eq!(error.to_string(), "needle 3,0300000001: the key is gone");
    assert!(expected[..300_000] == got);
    assert!(download.next().await.is_none());
}
