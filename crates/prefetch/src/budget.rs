//! Memory for all downloads together, in blocks of [`BLOCK`] bytes.
//!
//! One half is floors: a download is admitted with [`FLOOR`] blocks that are its own until it ends, so that it can always
//! go on, however full the rest is; who cannot have a floor waits in turn, and whoever has the fewest goes first. Once somebody
//! has waited for two seconds, the slowest download of the peer that has most is cut, or one that is slower than it may be:
//! nobody keeps others out by taking his time. The other half is shared. What lies ahead of a
//! client takes of it what is free at once, and leaves a quarter of it to heads.
//!
//! A head may wait for shared blocks, where less is of no use: a needle that can only be read whole, or a chunk that is
//! held until its checksum is known. It then holds nothing but its floor, begins nothing else, and those who hold shared
//! blocks need nothing more to pass them on, so that nobody waits for ever. Of two blocks that come back one is put by for
//! those who wait and one is free for the others, and every other second all are, so that neither stops the other. Nor does
//! one who waits for much stop those who wait for little: in the seconds of the others they are served too.
//!
//! A block counts from its reservation, before a byte is read, until the last reference to its bytes is dropped, also
//! while the connection to the client still holds it.

mod account;
mod fairness;
mod floors;
mod meter;
mod pool;
mod reservation;
#[cfg(test)]
#[cfg(feature = "shuttle")]
mod shuttle_tests;
#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

pub(crate) use self::{
    account::Account,
    floors::{FLOOR, LOOKS},
    pool::{BLOCK, Budget, blocks, floors},
    reservation::{Block, Buffer, Reservation},
};
use self::{floors::SUFFERS, pool::PUTS_BY};
use crate::{FetchError, HolderInsight, MemoryInsight};

/// How long a read may wait for memory. Whoever has it is reading, or is a client that will be cut.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What `memory` waits for, if it becomes free in time.
pub(crate) async fn in_time<T>(memory: impl Future<Output = T>, longest: Duration) -> Result<T, FetchError> {
    tokio::time::timeout(longest, memory).await.map_err(|_| FetchError::NoMemory)
}

/// So many shared blocks, as [`Reservation::line_up`] gives them, if they become free in time.
pub(crate) async fn in_line(
    account: Arc<Account>,
    blocks: usize,
    longest: Duration,
) -> Result<Reservation, FetchError> {
    let mut turn = std::pin::pin!(Reservation::line_up(&account, blocks));
    let since = Instant::now();
    let given = async {
        loop {
            match tokio::time::timeout(PUTS_BY, &mut turn).await {
                Ok(given) => return given,
                // Nothing may have come back since it became the others' turn.
                Err(_) => account.budget.serve(),
            }
            if since.elapsed() >= SUFFERS {
                account.relieve(blocks);
            }
        }
    };
    in_time(given, longest).await
}

impl Budget {
    /// Whether more downloads have come than there are floors for.
    pub(crate) fn is_crowded(&self) -> bool {
        self.floors.are_waited_for()
    }

    /// Who has how much, for people.
    pub(crate) fn insight(&self) -> MemoryInsight {
        let (floors, waiting, holdings) = self.floors.holdings();
        let bytes = |blocks: usize| (blocks * BLOCK) as u64;
        MemoryInsight {
            limit: bytes(floors * FLOOR + self.blocks()),
            most_downloads: floors,
            waiting,
            holders: holdings
                .into_iter()
                .map(|(peer, (downloads, blocks))| HolderInsight { peer, downloads, bytes: bytes(blocks) })
                .collect(),
        }
    }

    /// Whether so many blocks can be had by one download at all.
    ///
    /// # Errors
    /// That the memory is too small to hold needle `fid`, and what would do. At least half of it is shared.
    pub(crate) fn has_room(&self, fid: &Arc<str>, blocks: usize) -> Result<(), FetchError> {
        if blocks <= self.blocks() {
            return Ok(());
        }
        let size = (blocks as u64).saturating_mul(BLOCK as u64);
        Err(FetchError::MemoryTooSmall { fid: Arc::clone(fid), size, memory: size.saturating_mul(2) })
    }
}
