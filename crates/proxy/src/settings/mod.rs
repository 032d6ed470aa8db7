//! Where settings come from, and the one line that says what is wrong with one.
//!
//! Knows the variables of the environment and how an error names its source. Must not know any key.

mod environment;
mod error;
#[cfg(test)]
pub(crate) mod scratch;
mod weed;

pub use self::{environment::Environment, error::Error, weed::WeedEnvironment};
