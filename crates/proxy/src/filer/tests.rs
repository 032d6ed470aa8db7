use std::{error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Extensions, StatusCode};
use prost::Message;
use tonic::{Code, Status, transport::Channel};

use self::scripted::{Answer, Scripted};
use super::{FilerClient, Succession};
use crate::{Blame, Error, correlation::Correlation, entry::EntryPath, metrics::Filers, pb};

mod scripted;

/// What makes a channel.
pub(super) type Dial = Box<dyn Fn() -> Channel + Send + Sync>;

fn path() -> EntryPath {
    EntryPath::parse("/buckets/b/key").unwrap()
}

fn found(name: &str) -> Answer {
    let entry = pb::Entry { name: name.to_owned(), ..Default::default() };
    Answer::message(&pb::LookupDirectoryEntryResponse { entry: Some(entry), log_ts_ns: 7, log_signature: -3 })
}

fn client(filers: &[&Arc<Scripted>]) -> FilerClient {
    let channels = filers.iter().zip(1..).map(|(filer, n)| {
        let filer = Arc::clone(filer);
        let dial: Dial = Box::new(move || filer.channel());
        (dial, format!("grpc{n}:1"), format!("http{n}:1"))
    });
    FilerClient::with_channels(channels.collect()).unwrap()
}

/// The code of the answer that an error comes of.
fn status_of(error: &Error) -> Option<Code> {
    error.source().and_then(|source| source.downcast_ref::<Status>()).map(Status::code)
}

#[tokio::test]
async fn an_entry_is_found_by_directory_and_name() {
    let filer = Scripted::new(found("key"));
    let found = client(&[&filer]).lookup(&path()).await.unwrap().unwrap();
    assert_eq!((found.entry.name.as_str(), found.log_ts_ns, found.log_signature), ("key", 7, -3));
    let (called, request) = filer.calls().pop().unwrap();
    assert_eq!(called, "/filer_pb.SeaweedFiler/LookupDirectoryEntry");
    let request = pb::LookupDirectoryEntryRequest::decode(request).unwrap();
    assert_eq!((request.directory.as_str(), request.name.as_str()), ("/buckets/b", "key"));
}

#[tokio::test]
async fn the_filer_is_told_for_which_request_it_is_asked() {
    let filer = Scripted::new(found("key"));
    let client = client(&[&filer]);
    let current = Correlation::of(&Extensions::new());
    let id = current.id.clone();
    current.scope(client.lookup(&path())).await.unwrap();
    client.lookup(&path()).await.unwrap();
    assert_eq!(filer.names(), [Some(id.value().clone()), None]);
}

#[tokio::test]
async fn a_missing_entry_is_no_error() {
    for answer in [
        Answer::status(Code::Unknown, "filer: no entry is found in filer store"),
        Answer::status(Code::NotFound, "rpc"),
        Answer::message(&pb::LookupDirectoryEntryResponse::default()),
    ] {
        let (filer, other) = (Scripted::new(answer), Scripted::new(found("key")));
        assert_eq!(client(&[&filer, &other]).lookup(&path()).await.unwrap(), None);
        assert_eq!(other.calls().len(), 0);
    }
}

#[tokio::test]
async fn another_filer_is_asked_when_one_is_away() {
    let away = [
        Answer::status(Code::Unavailable, "shutting down"),
        Answer::status(Code::DeadlineExceeded, "slow store"),
        Answer::Disconnect,
    ];
    for answer in away {
        let (first, second) = (Scripted::new(answer), Scripted::new(found("key")));
        let client = client(&[&first, &second]);
        assert_eq!(client.http_authority(), "http1:1");
        assert!(client.lookup(&path()).await.unwrap().is_some());
        assert_eq!(client.http_authority(), "http2:1");
        let tried = first.calls().len();
        assert!(client.lookup(&path()).await.unwrap().is_some());
        assert_eq!((first.calls().len(), second.calls().len()), (tried, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_filer_that_does_not_answer_is_left_after_its_deadline() {
    let (hanging, second) = (Scripted::new(Answer::Hang), Scripted::new(found("key")));
    let client = client(&[&hanging, &second]);
    let start = tokio::time::Instant::now();
    assert!(client.lookup(&path()).await.unwrap().is_some());
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_never_ends_is_left_too() {
    let (stalling, second) = (Scripted::new(Answer::Stall), Scripted::new(found("key")));
    assert!(client(&[&stalling, &second]).lookup(&path()).await.unwrap().is_some());
}

#[tokio::test]
async fn without_any_filer_the_client_may_retry() {
    let filers = [Scripted::new(Answer::Disconnect), Scripted::new(Answer::status(Code::Unavailable, "gone"))];
    let error = client(&[&filers[0], &filers[1]]).lookup(&path()).await.unwrap_err();
    assert_eq!((error.blame(), error.status()), (Blame::Filer, StatusCode::SERVICE_UNAVAILABLE));
    assert!(error.delay().is_some_and(|delay| delay >= Duration::from_secs(1)));
    assert_eq!(status_of(&error), Some(Code::Unavailable));
    assert!(error.message().contains("grpc2:1"), "{error}");
}

#[tokio::test]
async fn a_filers_error_is_final() {
    let filers =
        [Scripted::new(Answer::status(Code::Unknown, &"store is broken, ä ".repeat(50))), Scripted::new(found("k"))];
    let error = client(&[&filers[0], &filers[1]]).lookup(&path()).await.unwrap_err();
    assert_eq!((error.blame(), error.status(), error.delay()), (Blame::Filer, StatusCode::BAD_GATEWAY, None));
    assert_eq!(status_of(&error), Some(Code::Unknown));
    assert!(error.message().len() < 300, "{error}");
    assert_eq!(filers[1].calls().len(), 0);
}

#[tokio::test]
async fn an_entry_beyond_all_measure_is_refused_before_it_is_read() {
    let filers = [Scripted::new(Answer::Announce(65 << 20)), Scripted::new(found("key"))];
    let error = client(&[&filers[0], &filers[1]]).lookup(&path()).await.unwrap_err();
    assert_eq!((error.blame(), error.status()), (Blame::Filer, StatusCode::BAD_GATEWAY));
    assert_eq!(status_of(&error), Some(Code::OutOfRange), "{error}");
    assert_eq!(filers[1].calls().len(), 0);
}

#[tokio::test]
async fn an_entry_of_many_chunks_is_taken() {
    let chunk = pb::FileChunk { file_id: "3,01637037d6".to_owned(), e_tag: "x".repeat(24), ..Default::default() };
    let entry = pb::Entry { chunks: vec![chunk; 300_000], ..Default::default() };
    let answer = pb::LookupDirectoryEntryResponse { entry: Some(entry), ..Default::default() };
    let filer = Scripted::new(Answer::message(&answer));
    let found = client(&[&filer]).lookup(&path()).await.unwrap().unwrap();
    assert_eq!(found.entry.chunks.len(), 300_000);
}

#[tokio::test]
async fn volumes_are_looked_up_by_decimal_id() {
    let location = pb::Location { url: "127.0.0.1:8080".to_owned(), grpc_port: 18080, ..Default::default() };
    let locations = pb::Locations { locations: vec![location.clone()] };
    let map = [("3".to_owned(), locations.clone()), ("4".to_owned(), pb::Locations::default())];
    let filer = Scripted::new(Answer::message(&pb::LookupVolumeResponse { locations_map: map.into() }));
    let client = client(&[&filer]);
    assert_eq!(client.lookup_volume(3).await.unwrap(), [location]);
    assert_eq!(client.lookup_volume(4).await.unwrap(), []);
    assert_eq!(client.lookup_volume(5).await.unwrap(), []);
    let asked =
        filer.calls().into_iter().map(|(_, request)| pb::LookupVolumeRequest::decode(request).unwrap().volume_ids);
    assert_eq!(asked.collect::<Vec<_>>(), [["3"], ["4"], ["5"]]);
}

#[tokio::test]
async fn a_volume_that_nobody_holds_has_no_locations() {
    let said = "provider lookup failed: volume 4444: volume id 4444 not found\nvolume 4444 not found";
    let filer = Scripted::new(Answer::status(Code::Unknown, said));
    assert_eq!(client(&[&filer]).lookup_volume(4444).await.unwrap(), []);
    let error = client(&[&filer]).lookup_volume(444).await.unwrap_err();
    assert_eq!((error.blame(), error.status()), (Blame::Filer, StatusCode::BAD_GATEWAY));
}

#[tokio::test]
async fn a_check_says_whether_a_lookup_works() {
    let up = Scripted::new(Answer::status(Code::Unknown, "filer: no entry is found in filer store"));
    assert!(client(&[&up]).check_lookup().await.is_ok());
    let broken = Scripted::new(Answer::status(Code::Unknown, "the store is gone"));
    assert_eq!(client(&[&broken]).check_lookup().await.unwrap_err().status(), StatusCode::BAD_GATEWAY);
    let down = Scripted::new(Answer::Disconnect);
    assert_eq!(client(&[&down]).check_lookup().await.unwrap_err().status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// Watches until it is dropped.
fn watched(client: FilerClient) -> (Arc<FilerClient>, tokio::task::JoinHandle<()>) {
    let client = Arc::new(client);
    let watching = Arc::clone(&client);
    (client, tokio::spawn(async move { watching.watch().await }))
}

#[tokio::test(start_paused = true)]
async fn a_filer_that_hangs_loses_its_place_to_one_that_answers() {
    let (hanging, second) = (Scripted::new(Answer::Hang), Scripted::new(found("key")));
    let (client, watching) = watched(client(&[&hanging, &second]));
    let start = tokio::time::Instant::now();
    let mut tenure = client.tenure(0);
    assert!(client.lookup(&path()).await.unwrap().is_some());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(tenure.over().await, Succession::Filer);
    assert_eq!(client.http_authority(), "http2:1");
    watching.abort();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_stands_still_is_replaced() {
    let (still, sound) = (Scripted::new(Answer::Hang), Scripted::new(found("key")));
    let dialled = std::sync::atomic::AtomicUsize::new(0);
    let (first, next) = (Arc::clone(&still), Arc::clone(&sound));
    let dial: Dial = Box::new(move || match dialled.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => first.channel(),
        _ => next.channel(),
    });
    let client = FilerClient::with_channels(vec![(dial, "grpc:1".to_owned(), "http:1".to_owned())]).unwrap();
    let (client, watching) = watched(client);
    let (start, connections) = (tokio::time::Instant::now(), client.connections(0));
    let mut tenure = client.tenure(0);
    assert!(client.lookup(&path()).await.unwrap().is_some(), "asked before it was replaced");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(tenure.over().await, Succession::Connection);
    assert!(client.connections(0) > connections, "another process may answer now");
    watching.abort();
}

#[tokio::test(start_paused = true)]
async fn a_late_filer_has_another_one_asked_beside_it_only_of_the_same_store() {
    for (signatures, seconds) in [((7, 7), 1), ((7, 8), 10), ((0, 0), 10)] {
        let (hanging, second) = (Scripted::new(Answer::Hang), Scripted::new(found("key")));
        let registry = prometheus::Registry::new();
        let filers = Arc::new(Filers::register(&registry).unwrap());
        filers.configured(["http1:1".to_owned(), "http2:1".to_owned()]);
        let client = client(&[&hanging, &second]).counted(filers);
        client.signature(0).set(signatures.0, 0);
        client.signature(1).set(signatures.1, 0);
        let start = tokio::time::Instant::now();
        assert!(client.lookup(&path()).await.unwrap().is_some());
        assert_eq!(start.elapsed().as_secs(), seconds);
        let hedges =
            registry.gather().into_iter().find(|family| family.name() == "tidegate_filer_hedges_total").unwrap();
        let counts: Vec<_> = hedges.get_metric().iter().map(|series| series.get_counter().get_value() as u64).collect();
        let hedged = u64::from(seconds == 1);
        assert_eq!(counts, [hedged, hedged, 0, 0], "sent and won beside the first filer, and beside the second");
    }
}

#[tokio::test]
async fn addresses_are_judged_at_once() {
    let new = |grpc: &str| FilerClient::new(vec![(grpc.to_owned(), "h:1".to_owned())]);
    assert_eq!(new("127.0.0.1:18888").unwrap().http_authority(), "h:1");
    assert_eq!(new("not an authority").unwrap_err().blame(), Blame::Config);
    assert_eq!(FilerClient::new(vec![]).unwrap_err().blame(), Blame::Config);
}

#[test]
fn maps_and_fixed_numbers_are_read_as_protobuf_writes_them() {
    // Entry{name "a", chunks[{fid{3, 1, 0x637037d6}}], extended{"k": "v"}}, with an unknown field 15.
    let wire = b"\x0a\x01a\x1a\x0b\x3a\x09\x08\x03\x10\x01\x1d\xd6\x37\x70\x63\x2a\x06\x0a\x01k\x12\x01v\x78\x05";
    let entry = pb::Entry::decode(&wire[..]).unwrap();
    assert_eq!(entry.name, "a");
    assert_eq!(entry.extended.get("k"), Some(&Bytes::from_static(b"v")));
    assert_eq!(entry.chunks[0].fid, Some(pb::FileId { volume_id: 3, file_key: 1, cookie: 0x6370_37d6 }));
}
