//! Overlaps the fetches from volume servers: takes an ordered list of pieces, keeps the next ones on their way while
//! the current one goes to the client, and gives the bytes back in order.
//!
//! Knows needles, replicas, byte ranges, memory and time. Must not know what a client's request looks like, where
//! locations come from (it asks a [`Locate`]) or how a cipher works (it has bytes decoded by a [`Transform`]).
//!
//! The parts, in the order in which a byte meets them:
//!
//! - [`Plan`]: the pieces of one answer, in order;
//! - [`Engine::download`]: cuts the pieces into *spans*, one request each, as far ahead as the window and the memory
//!   allow;
//! - a fetch: asks a replica for one span, checks the answer, goes on at the exact byte on another replica when it breaks,
//!   reads into blocks that were reserved before the request was sent, and decodes them there;
//! - [`Download`]: the ordered stream of those blocks. Dropping it ends its fetches.

mod budget;
mod checksum;
mod chunk_cache;
mod chunk_tracker;
mod content_range;
mod context;
mod crc;
mod download;
mod engine;
mod error;
mod fetch;
mod handover;
mod insight;
mod line;
mod locate;
mod metrics;
mod needle;
mod outcome;
mod plan;
mod pool;
mod probe;
mod servers;
mod settings;
mod share;
#[cfg(test)]
#[cfg(feature = "shuttle")]
mod shuttle_tests;
#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod simulation;
mod sources;
mod stored_crc;
mod sync;
mod tally;
#[cfg(test)]
mod testing;
mod upstream;
mod urgency;
mod whole;
mod window;

pub use chunk_cache::{ChunkCache, OnLookup};
pub use chunk_tracker::{ChunkLocation, ChunkTracker, RelocationFuture};
pub use content_range::ContentRangeError;
pub use download::Download;
pub use engine::{Engine, Renewal};
pub use error::{Cause, ContentError, FetchError, LengthError};
pub use insight::{HolderInsight, MemoryInsight, ServerInsight, StandingInsight};
pub use locate::{Locate, Locations, LocationsFuture};
pub use metrics::Metrics;
pub use needle::{Decode, DecoderFuture, NeedleRead, Opener, Start, Transform};
pub use plan::{Piece, Plan};
pub use probe::ProbeResult;
pub use settings::{Settings, Verify, WindowSetting};
pub use share::{Brake, CutHandle, Share};
pub use sources::SharedError;
pub use tally::Tally;
#[doc(hidden)]
pub use upstream::recorded_answer;
pub use upstream::{Answer, Body, HttpUpstream, Upstream, UpstreamBody};
