//! Downloads over a scripted upstream.

mod checksums;
mod clients;
mod failures;
mod order;
mod replicas;
mod versions;

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout};

use super::*;
use crate::{
    Cause, ChunkCache, Engine, LengthError, NeedleRead, Piece, Settings, Tally, Verify, WindowSetting,
    testing::{Fault, NO_FILER, Script, collect, refused},
};

fn fixed(requests: usize) -> Settings {
    Settings { window: WindowSetting::Fixed(requests), ..Settings::default() }
}
