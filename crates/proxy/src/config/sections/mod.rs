//! Every section with its keys. This is the place to add a key: its doc lines become its documentation.

mod access;
mod cache;
mod filer;
mod kms;
mod log;
mod prefetch;
mod server;
mod sse;
mod sse_s3;

use figment::value::Dict;

pub use access::{Access, ManagedKeys};
pub use cache::Cache;
pub use filer::Filer;
pub use kms::{Aws, Azure, Bucket, Gcp, Kms, OpenBao, Provider};
pub use log::{Log, LogFormat, LogLevel};
pub use prefetch::{Prefetch, Verify};
pub use server::Server;
pub use sse::Sse;
pub use sse_s3::SseS3;

use super::{
    declare::Section,
    option::Chapter,
    page::Page,
    scope::{Declared, Scope},
};
use crate::settings::Error;

/// Declares the sections of the file, in the order in which they are shown.
macro_rules! sections {
    ($( $(#[doc = $doc:literal])+ $name:ident : $Type:ident, )+) => {
        /// Everything that can be set, checked.
        pub struct Config {
            $( $(#[doc = $doc])+ pub $name: $Type, )+
        }

        impl Config {
            /// The sections with their keys and defaults.
            pub(in crate::config) const DECLARED: Declared = Declared {
                sections: &[$( (stringify!($name), $Type::OPTIONS), )+],
                defaults: Self::defaults,
            };

            /// The documentation of every section.
            pub(in crate::config) fn chapters() -> Vec<Chapter> {
                let mut chapters = Vec::new();
                $( $Type::document(stringify!($name), &mut chapters); )+
                chapters
            }

            /// The defaults under what is `present`.
            fn defaults(present: &Dict) -> Dict {
                let nothing = Dict::new();
                let of = |name: &str| present.get(name).and_then(|table| table.as_dict()).unwrap_or(&nothing);
                Dict::from([$( (stringify!($name).to_owned(), $Type::defaults(of(stringify!($name))).into()), )+])
            }

            /// Reads every section.
            pub(in crate::config) fn read(root: &Scope<'_>) -> Result<Self, Error> {
                root.only(&[], &[$( stringify!($name) ),+])?;
                Ok(Self {
                    $( $name: match root.table(stringify!($name))? {
                        Some(scope) => $Type::read(&scope)?,
                        None => return Err(root.error(stringify!($name), "must be a table")),
                    }, )+
                })
            }

            /// Writes every section.
            pub(in crate::config) fn show(&self, page: &mut Page<'_>) {
                $( page.table(&[stringify!($name)], |page| self.$name.show(page)); )+
            }
        }
    };
}

sections! {
    /// Where tidegate listens.
    server: Server,
    /// Which filers it stands beside.
    filer: Filer,
    /// Who may read what.
    access: Access,
    /// How chunks are fetched ahead.
    prefetch: Prefetch,
    /// What is kept in memory.
    cache: Cache,
    /// What is demanded of encrypted objects.
    sse: Sse,
    /// The key of SSE-S3 objects.
    sse_s3: SseS3,
    /// The key management services of SSE-KMS objects.
    kms: Kms,
    /// What is logged.
    log: Log,
}
