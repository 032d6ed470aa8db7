//! `[admin]`

use crate::config::{Domain, declare::section};

section! {
    /// What is told at `server.admin`; see [metrics](metrics.md) and [status](status.md).
    pub struct Admin {
        /// Names, without a port, by which the status and the metrics are asked for, besides `localhost` and any address. Whoever
        /// asks by another one gets 421; see [security](security.md#the-admin-port).
        hosts: Vec<Domain> = "";
        /// Volume servers that metrics name, in the order in which they are met. The others are counted together, as `other`.
        named_servers: u32 = "64", max "10000";
        /// Whether the status tells the paths of the requests that run.
        show_paths: bool = "false";
    }
}
