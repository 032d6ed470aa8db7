//! For how long a filer is the one that is asked.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    line::Line,
    standing::{Standings, becomes},
};

/// For how long a filer stays the one that is asked, over the connection that it is asked over.
pub(crate) struct Tenure {
    pub(super) index: usize,
    pub(super) standings: watch::Receiver<Standings>,
    pub(super) lines: watch::Receiver<Arc<Line>>,
}

/// How a tenure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Succession {
    /// Another filer is asked first.
    Filer,
    /// The same filer is asked over another connection, for the one before stood still.
    Connection,
}

impl Tenure {
    /// Resolves when it is over.
    pub(crate) async fn over(&mut self) -> Succession {
        let index = self.index;
        tokio::select! {
            () = becomes(self.standings.clone(), |now| now.preferred() != index) => Succession::Filer,
            Ok(()) = self.lines.changed() => Succession::Connection,
        }
    }
}
