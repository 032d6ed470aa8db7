//! Which version of a needle a download reads: what its requests give must be of one and the same.
//!
//! A needle never changes under its id, unless somebody writes another one there, which nobody should. Then the ETags of
//! two answers differ, and their bytes must not be mixed. They differ also where the same needle is stored as it is at one
//! server and compressed at another: that is found out by asking both how they keep it.

use std::sync::{Arc, PoisonError};

use http::{HeaderValue, header};

use super::{
    FetchContext,
    replicas::Failure,
    request::{ByteSelection, SoundAnswer, ask_again, stored_as},
};
use crate::{
    Cause, NeedleRead,
    needle::NamedVersion,
    outcome::Outcome,
    sync::{Mutex, MutexGuard},
    urgency::Priority,
};

/// The version that one download reads of a needle.
#[derive(Default)]
pub(crate) struct Version(Mutex<Option<VersionState>>);

struct VersionState {
    named: NamedVersion,
    /// What a server names that keeps the same needle in another form.
    other: Option<HeaderValue>,
    /// Fetches that have begun to read it.
    fetches: usize,
}

/// What an answer is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum VersionMatch {
    /// The version that was read before, or the first one.
    Same,
    /// Another one, or the same stored in another form.
    Unknown,
}

impl Version {
    /// What an answer with this ETag is of. `joined` says whether the fetch that asks has been counted, and is set. As long as
    /// it `begins`, what it has given can be taken back or is compared: then it goes on with this one, where no other fetch
    /// has begun.
    pub(super) fn of(&self, etag: &HeaderValue, server: &Arc<str>, joined: &mut bool, begins: bool) -> VersionMatch {
        let mut state = self.state();
        let others = state.as_ref().map_or(0, |seen| seen.fetches - usize::from(*joined));
        if others == 0 && (begins || state.is_none()) {
            *joined = true;
            let named = NamedVersion { etag: etag.clone(), server: Arc::clone(server) };
            *state = Some(VersionState { named, other: None, fetches: 1 });
            return VersionMatch::Same;
        }
        match &mut *state {
            Some(seen) if seen.named.etag == etag || seen.other.as_ref() == Some(etag) => {
                seen.fetches += usize::from(!std::mem::replace(joined, true));
                VersionMatch::Same
            }
            _ => VersionMatch::Unknown,
        }
    }

    /// Whether bytes that are kept of the version that was named so may be read: as [`Version::of`].
    pub(crate) fn is_of(&self, kept: &NamedVersion, joined: &mut bool) -> bool {
        self.of(&kept.etag, &kept.server, joined, false) == VersionMatch::Same
    }

    /// Whether what `server` has under another ETag is the same needle: one of the two servers keeps it compressed, and the
    /// other one does not, and both have still what they named.
    async fn has_two_forms(
        &self,
        context: &FetchContext,
        read: &NeedleRead,
        server: &Arc<str>,
        etag: &HeaderValue,
    ) -> bool {
        let Some(first) = self.named().filter(|first| first.server != *server) else { return false };
        let (here, there) =
            futures_util::join!(stored_as(context, server, read), stored_as(context, &first.server, read));
        let (Some(here), Some(there)) = (here, there) else { return false };
        let are_named = here.etag.as_ref() == Some(etag) && there.etag.as_ref() == Some(&first.etag);
        if !are_named || here.is_compressed == there.is_compressed {
            return false;
        }
        match &mut *self.state() {
            Some(seen) if seen.named.etag == first.etag => *seen.other.get_or_insert_with(|| etag.clone()) == etag,
            _ => false,
        }
    }

    /// What the version that is read was named first.
    pub(super) fn named(&self) -> Option<NamedVersion> {
        self.state().as_ref().map(|seen| seen.named.clone())
    }

    fn state(&self) -> MutexGuard<'_, Option<VersionState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the answers to a request are of the version that is read.
pub(crate) struct VersionCheck<'a> {
    pub(crate) context: &'a FetchContext,
    pub(crate) version: &'a Version,
    pub(crate) read: &'a NeedleRead,
    pub(crate) wanted: &'a ByteSelection,
    pub(crate) priority: &'a Priority,
    /// Whether what has been read of it can be taken back, or is compared.
    pub(crate) begins: bool,
    /// Whether this reader has been counted.
    pub(crate) joined: &'a mut bool,
}

impl VersionCheck<'_> {
    /// Whether an answer is of that version, as far as it says.
    pub(crate) fn accepts(&mut self, asked: &SoundAnswer) -> bool {
        let Some(etag) = asked.answer.headers().get(header::ETAG) else { return true };
        self.version.of(etag, asked.attempt.authority(), self.joined, self.begins) == VersionMatch::Same
    }

    /// Asks once more for what another ETag came with, if it is the same needle in another form.
    pub(crate) async fn in_another_form(mut self, asked: SoundAnswer) -> Result<SoundAnswer, Failure> {
        let SoundAnswer { answer, mut attempt, .. } = asked;
        let server = Arc::clone(attempt.authority());
        let etag = answer.headers().get(header::ETAG).cloned();
        drop(answer);
        // Both servers are asked, each for a place.
        attempt.leave_place();
        let Self { context, read, wanted, .. } = self;
        let is_same = match &etag {
            Some(etag) => self.version.has_two_forms(context, read, &server, etag).await,
            None => true,
        };
        if is_same && attempt.place_unless_set_aside(self.priority, wanted.len()).await {
            let asked = ask_again(context, attempt, read, wanted, etag.as_ref()).await?;
            if self.accepts(&asked) {
                return Ok(asked);
            }
            asked.attempt.ended(Outcome::OfNeedle);
        } else {
            attempt.ended(Outcome::OfNeedle);
        }
        Err(Failure { server, cause: Cause::Changed })
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        Cause, FetchError, Piece, Plan, Settings, WindowSetting,
        testing::{Fault, Script, collect},
    };

    const NOTHING: Fault = Fault::Late(Duration::ZERO);

    /// Two ranges of one needle, one after the other, by requests of their own.
    async fn two_ranges(script: &Script) -> (Result<Vec<u8>, FetchError>, Vec<u8>) {
        let (read, bytes) = script.needle(1, 500_000);
        let part = |start: u64, end: u64| NeedleRead { start, end, ..read.clone() };
        let plan = Plan::from_iter([part(1000, 200_000), part(300_000, 400_000)].map(Piece::Needle));
        let (engine, _) = script.engine(Settings { window: WindowSetting::Fixed(1), ..Settings::default() });
        let got = match engine.download(plan).await {
            Ok(download) => collect(download).await.map_err(|(_, error)| error),
            Err(error) => Err(error),
        };
        (got, [&bytes[1000..200_000], &bytes[300_000..400_000]].concat())
    }

    #[tokio::test(start_paused = true)]
    async fn a_needle_that_is_replaced_between_two_requests_is_never_mixed() {
        for another in [Fault::Replaced, Fault::OtherNeedle, Fault::Inflated] {
            let script = Script::default();
            script.fault("a:1", [NOTHING].into_iter().chain(vec![another.clone(); 200]));
            let (got, _) = two_ranges(&script).await;
            assert!(
                matches!(got, Err(FetchError::Exhausted { cause: Cause::Changed, .. })),
                "{another:?}: {:?}",
                got.map(|got| got.len())
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_has_another_needle_is_passed_by() {
        let script = Script::default();
        script.locations([vec!["a:1"], vec!["b:1"], vec!["a:1", "b:1"]]);
        script.fault("b:1", vec![Fault::Replaced; 200]);
        let (got, bytes) = two_ranges(&script).await;
        assert!(got.unwrap() == bytes);
    }

    #[tokio::test(start_paused = true)]
    async fn a_needle_that_is_compressed_at_one_server_and_not_at_the_other_goes_on() {
        for compressed in ["a:1", "b:1"] {
            let script = Script::default();
            script.locations([vec!["a:1"], vec!["b:1"]]);
            script.fault(compressed, vec![Fault::Inflated; 10]);
            let (got, bytes) = two_ranges(&script).await;
            assert!(got.unwrap() == bytes, "{compressed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_has_given_nothing_begins_again_with_another_version() {
        let script = Script::default();
        script.locations([vec!["a:1"], vec!["b:1"]]);
        script.fault("a:1", [Fault::OtherNeedle, NOTHING]);
        let version = Version::default();
        let (one, two) = (HeaderValue::from_static("\"1\""), HeaderValue::from_static("\"2\""));
        let server: Arc<str> = "a:1".into();
        let (mut first, mut second) = (false, false);
        assert!(version.of(&one, &server, &mut first, true) == VersionMatch::Same);
        assert!(version.of(&two, &server, &mut first, true) == VersionMatch::Same);
        assert!(version.of(&one, &server, &mut first, false) == VersionMatch::Unknown);
        assert!(version.of(&one, &server, &mut second, true) == VersionMatch::Unknown && !second);
        assert!(version.of(&two, &server, &mut second, true) == VersionMatch::Same && second);
        assert!(version.of(&one, &server, &mut first, true) == VersionMatch::Unknown, "the other one has begun");
    }

    /// A download that reads the first of these from "a:1" and finds the second at "b:1", where the needle is kept compressed.
    /// Meanwhile `meanwhile` happens to what it knows.
    async fn are_two_forms(first: &str, second: &str, meanwhile: impl FnOnce(&Version)) -> (Version, bool) {
        let script = Script::default();
        script.latency(Duration::from_millis(10));
        script.fault("b:1", vec![Fault::Inflated; 10]);
        let (read, _) = script.needle(1, 1000);
        let (engine, _) = script.engine(Settings::default());
        let version = Version::default();
        let etag = |text: &str| HeaderValue::from_str(text).unwrap();
        let a_has = version.of(&etag(first), &"a:1".into(), &mut false, true);
        assert!(a_has == VersionMatch::Same);
        let (server, second) = ("b:1".into(), etag(second));
        let is = {
            let mut asking = std::pin::pin!(version.has_two_forms(&engine.shared.fetch, &read, &server, &second));
            assert!(futures_util::poll!(asking.as_mut()).is_pending());
            meanwhile(&version);
            asking.await
        };
        (version, is)
    }

    /// The ETags of the needle of [`are_two_forms`]: as it is, and compressed.
    fn two_forms() -> (String, String) {
        let script = Script::default();
        let (read, _) = script.needle(1, 1000);
        let crc = crc32c::crc32c(&script.0.lock().unwrap().needles[&*read.fid]);
        (format!("\"{crc:08x}\""), format!("\"{:08x}\"", crc ^ 1))
    }

    #[tokio::test(start_paused = true)]
    async fn two_servers_have_two_forms_only_of_what_both_of_them_have_named() {
        let (plain, compressed) = two_forms();
        let nothing = |_: &Version| ();
        let (version, are) = are_two_forms(&plain, &compressed, nothing).await;
        assert!(are);
        let is_read_on = version.of(&compressed.parse().unwrap(), &"b:1".into(), &mut false, false);
        assert!(is_read_on == VersionMatch::Same);
        // What was named is there no more: at one, at the other, at neither.
        for (first, second) in [(&*plain, "\"0\""), ("\"0\"", &*compressed), ("\"0\"", "\"1\"")] {
            assert!(!are_two_forms(first, second, nothing).await.1, "{first} {second}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_became_of_the_version_meanwhile_counts() {
        let (plain, compressed) = two_forms();
        // The only fetch that had begun has gone on with another version.
        let replaced = |version: &Version| {
            let another = HeaderValue::from_static("\"2\"");
            assert!(version.of(&another, &"a:1".into(), &mut true, true) == VersionMatch::Same);
        };
        assert!(!are_two_forms(&plain, &compressed, replaced).await.1);
        // Another fetch has found the second form under another name.
        let named =
            |version: &Version| version.state().as_mut().unwrap().other = Some(HeaderValue::from_static("\"3\""));
        assert!(!are_two_forms(&plain, &compressed, named).await.1);
    }
}
