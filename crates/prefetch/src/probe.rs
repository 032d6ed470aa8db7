//! Whether each replica of a needle answers, for people who look for what is wrong. Reads never come here.

use std::sync::Arc;

use crate::{
    Cause, Engine, NeedleRead, SharedError,
    fetch::{Wanted, ask},
    urgency::{Priority, Urgency},
};

/// One replica, and why it does not answer if it does not.
pub type Probed = (Arc<str>, Result<(), Cause>);

impl Engine {
    /// Asks every replica of a needle for its first byte, or for the head of the answer where the stored length is not
    /// known. An empty list: no server holds the volume.
    ///
    /// # Errors
    /// When the volume cannot be located.
    pub async fn probe(&self, read: &NeedleRead) -> Result<Vec<Probed>, SharedError> {
        let context = &self.shared.fetch;
        let locations = context.locate.locate(read.volume, false).await?;
        let mut probed = Vec::with_capacity(locations.len());
        for authority in locations.iter() {
            // Of what is sealed or compressed the size says nothing about what is stored.
            let wanted = match read.opener.is_some() || read.size < 2 {
                _ if read.is_gzip() => Wanted::Gzip,
                true => Wanted::Needle,
                false => Wanted::Range { range: 0..1, size: read.size },
            };
            let mut attempt = context.servers.attempt_at(authority);
            attempt.place(&Priority::new(Urgency::Head), 0).await;
            let answered = ask(context, attempt, read, &wanted).await.map(drop).map_err(|failure| failure.cause);
            probed.push((Arc::clone(authority), answered));
        }
        Ok(probed)
    }
}
