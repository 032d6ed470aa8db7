//! Whether each replica of a needle answers, for people who look for what is wrong. Reads never come here.

use std::sync::Arc;

use crate::{
    Cause, Engine, NeedleRead, SharedError,
    fetch::{ByteSelection, ask},
    urgency::{Priority, Urgency},
};

/// One replica, and why it does not answer if it does not.
pub type ProbeResult = (Arc<str>, Result<(), Cause>);

impl Engine {
    /// Asks every replica of a needle for its first byte, or for the head of the answer where the stored length is not
    /// known. An empty list: no server holds the volume.
    ///
    /// # Errors
    /// When the volume cannot be located.
    pub async fn probe(&self, read: &NeedleRead) -> Result<Vec<ProbeResult>, SharedError> {
        let context = &self.shared.fetch;
        let locations = context.locate.locate(read.volume, false).await?;
        let mut probed = Vec::with_capacity(locations.len());
        for authority in locations.iter() {
            // Of what is sealed or compressed the size says nothing about what is stored.
            let wanted = match read.opener.is_some() || read.size < 2 {
                _ if read.is_gzip() => ByteSelection::Gzip,
                true => ByteSelection::Needle,
                false => ByteSelection::Range { range: 0..1, size: read.size },
            };
            let mut attempt = context.servers.attempt_at(authority);
            attempt.place(&Priority::new(Urgency::Head), 0).await;
            let answered = ask(context, attempt, read, &wanted).await.map(drop).map_err(|failure| failure.cause);
            probed.push((Arc::clone(authority), answered));
        }
        Ok(probed)
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;
    use crate::{
        Settings,
        testing::{AsItIs, Fault, Script},
    };

    #[tokio::test(start_paused = true)]
    async fn every_replica_says_whether_it_answers() {
        let script = Script::default();
        script.locations([vec!["a:1", "b:1", "c:1"]]);
        script.fault("b:1", [Fault::Status(404)]);
        script.fault("c:1", [Fault::Status(500)]);
        let (read, _) = script.needle(1, 1000);
        let (engine, _) = script.engine(Settings::default());
        let answers = engine.probe(&read).await.unwrap();
        let answers: Vec<_> = answers.iter().map(|(server, answer)| (&**server, answer)).collect();
        assert!(
            matches!(answers[..], [("a:1", Ok(())), ("b:1", Err(Cause::NotFound)), ("c:1", Err(Cause::Status(500)))]),
            "{answers:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_for_is_as_little_as_tells() {
        let script = Script::default();
        let (engine, _) = script.engine(Settings::default());
        let ((plain, _), (two, _), (one, _)) = (script.needle(1, 1000), script.needle(2, 2), script.needle(3, 1));
        let sealed = NeedleRead { opener: Some(Arc::new(AsItIs)), ..script.needle(4, 1000).0 };
        let (gzip, _) = script.text(5, 1000);
        let sealed_gzip = NeedleRead { opener: Some(Arc::new(AsItIs)), ..script.text(6, 1000).0 };
        for read in [plain, two, one, sealed, gzip, sealed_gzip] {
            let answers = engine.probe(&read).await.unwrap();
            assert!(matches!(answers[..], [(_, Ok(()))]), "{read:?}");
        }
        let asked = script.requests();
        let asked: Vec<_> = asked.iter().map(|request| request.rsplit_once(' ').unwrap().1).collect();
        assert_eq!(asked, ["bytes=0-0", "bytes=0-0", "whole", "whole", "gzip", "whole"]);
    }
}
