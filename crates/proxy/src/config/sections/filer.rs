//! `[filer]`

use std::time::Duration;

use crate::config::{FilerAddress, declare::section};

section! {
    /// The filers that entries come from and that everything but reads is relayed to.
    pub struct Filer {
        /// One or more filers of one cluster. gRPC is at port + 10000 unless the address says otherwise;
        /// an IPv6 address stands in brackets. As text: separated by commas.
        addresses: Vec<FilerAddress> = "127.0.0.1:8888";
        /// The data center whose volume servers are read from first, as the filer's `-dataCenter`. Others are asked where
        /// those fail, or are slower by more than 100 ms.
        data_center: Option<String>;
        /// How long a relayed request may not get on: no more of its body taken by the filer, no answer once it is sent, no
        /// more of the answer's body (504, or the connection is cut); or no more of its body from the client (408). A filer
        /// that deletes a large directory says nothing until it is done.
        progress_timeout: Duration = "60s", min "1s", max "1h";
        /// SeaweedFS's own `security.toml`, for its read token keys and its TLS; see [security](security.md). `WEED_…`
        /// variables count with and without it.
        /// A relative name is found as those of `_file` keys are.
        security_toml: Option<String>;
        /// The origins whose scripts may read in a browser, separated by commas: what `[cors.allowed_origins]` of the
        /// filer's `security.toml` says, which cannot be asked of the filer. A list that begins with `*` allows all.
        allowed_origins: String = "*";
    }
}
