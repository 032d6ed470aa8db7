//! `[cache]`

use crate::config::{CacheSize, declare::section};

section! {
    /// What is kept in memory so that nobody has to be asked for it. docs/caching.md says how it stays true.
    pub struct Cache {
        /// Memory for entries. They are kept true by the filer's subscription; `off` asks the filer at every read.
        entries: CacheSize = "64MiB";
        /// Memory for the chunks that manifests list, with how they are decrypted, so that the next range of a large file need
        /// not read the manifests again. Found by the entry, so it has no use without `cache.entries`.
        manifests: CacheSize = "64MiB";
        /// Memory for chunks of up to 1 MiB, as they are stored: what is encrypted there is encrypted here.
        chunks: CacheSize = "64MiB";
    }
}
