//! What comes wrong: it is noticed before it is out, or before its end is.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_corrupt_chunk_of_which_nothing_is_out_is_fetched_from_another_replica() {
    for at in [0, 30_000, 149_999] {
        let script = Script::default();
        script.locations([vec!["a:1"], vec!["a:1"], vec!["a:1", "b:1"]]);
        let (plan, expected) = script.needles(2, 150_000);
        // The second needle is fetched while the first one hangs, so none of its bytes can be out.
        script.fault("a:1", [Fault::Late(Duration::from_millis(50)), Fault::Flip(at), Fault::Refuse]);
        let (engine, metrics) = script.engine(fixed(2));
        assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), expected, "byte {at}");
        assert_eq!(metrics.crc_failures.get(), 1);
        assert_eq!(metrics.retries.with_label_values(&["corrupt"]).get(), 1);
        assert_eq!((metrics.in_flight.get(), metrics.buffered.get()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_found_corrupt_at_its_last_piece_is_cut_before_that_piece() {
    let script = Script::default();
    // Three spans, the first of which is out when the last one is here.
    let (plan, expected) = script.needles(1, 12 << 20);
    script.fault("a:1", [Fault::Flip(5)]);
    let (engine, metrics) = script.engine(fixed(2));
    let (given, error) = collect(engine.download(plan).await.unwrap()).await.unwrap_err();
    assert!(matches!(error, FetchError::Corrupt { .. }), "{error}");
    assert!(given < expected.len());
    assert_eq!((metrics.crc_failures.get(), metrics.in_flight.get()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_small_chunk_is_not_given_out_before_its_checksum_is_known() {
    let script = Script::default();
    script.locations([vec!["a:1"], vec!["b:1"]]);
    let (plan, expected) = script.needles(1, 900_000);
    script.fault("a:1", [Fault::Flip(3)]);
    let (engine, metrics) = script.engine(Settings::default());
    assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), expected);
    assert_eq!(metrics.crc_failures.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_verification_wrong_bytes_are_not_noticed() {
    let script = Script::default();
    let (plan, expected) = script.needles(1, 150_000);
    script.fault("a:1", [Fault::Flip(7)]);
    let (engine, metrics) = script.engine(Settings { verify: Verify::Off, ..Settings::default() });
    let got = collect(engine.download(plan).await.unwrap()).await.unwrap();
    assert_eq!(got.iter().zip(&expected).filter(|(got, expected)| got != expected).count(), 1);
    assert_eq!(metrics.crc_failures.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_needle_that_the_server_inflates_is_not_held_against_the_crc_of_its_compressed_bytes() {
    let script = Script::default();
    let (plan, expected) = script.needles(1, 150_000);
    script.fault("a:1", [Fault::Inflated, Fault::Inflated]);
    let (engine, metrics) = script.engine(Settings::default());
    assert_eq!(collect(engine.download(plan).await.unwrap()).await.unwrap(), expected);
    assert_eq!((metrics.crc_failures.get(), script.requests().len()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn another_needle_under_the_same_fid_is_never_spliced_in() {
    let script = Script::default();
    let (plan, _) = script.needles(1, 50_000);
    script.fault("a:1", [Fault::BreakAfter(10_000)].into_iter().chain(vec![Fault::Replaced; 20]));
    let (engine, _) = script.engine(Settings::default());
    let error = engine.download(plan).await.err().unwrap();
    assert!(matches!(error, FetchError::Exhausted { cause: Cause::Changed | Cause::Corrupt, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_following_span_that_begins_anew_goes_on_with_the_checksum_of_those_before_it() {
    let script = Script::default();
    script.locations([vec!["a:1"], vec!["replaced:1"], vec!["a:1"]]);
    // Three spans out of one body, which breaks where the second begins; that meets another needle first.
    let (plan, expected) = script.needles(1, 12 << 20);
    script.fault("a:1", [Fault::BreakAfter(4 << 20)]);
    script.fault("replaced:1", vec![Fault::Replaced; 5]);
    let (engine, metrics) = script.engine(fixed(2));
    assert!(collect(engine.download(plan).await.unwrap()).await.unwrap() == expected);
    assert_eq!(metrics.retries.with_label_values(&["length"]).get(), 1);
    assert_eq!((metrics.crc_failures.get(), metrics.in_flight.get()), (0, 0));
}
