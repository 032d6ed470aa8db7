//! Where others are, by address or network.

use super::list::Item;
use crate::peers::Network;

impl Item for Network {
    const EXPECTS: &'static str = "a list of addresses and networks such as \"10.0.0.0/8\"";
    const NONE: Option<&'static str> = None;
}
