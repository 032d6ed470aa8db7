//! Who is one peer, which networks peers are in, and what each of them has taken of what there is.
//!
//! Knows addresses, numbers and time. Must not know connections or requests, or what follows from where somebody is.

mod bucket;
mod buckets;
mod id;
mod network;
mod slots;

pub use self::network::{Network, Networks};
pub(crate) use self::{
    bucket::{Bucket, Rate},
    buckets::Buckets,
    id::PeerId,
    slots::{Full, Slot, Slots},
};
