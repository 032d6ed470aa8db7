//! `[kms]`: the S3 gateway's own `kms` block, key by key, and how long we keep what the services answered.

/// Declares a kind of provider: a [`section!`] of its own keys and of those that all kinds have.
macro_rules! provider {
    (
        $(#[doc = $about:literal])+
        pub struct $Provider:ident { $($own:tt)* }
        check = $check:expr ;
    ) => {
        $crate::config::declare::section! {
            $(#[doc = $about])+
            pub struct $Provider {
                $($own)*
                /// How long a request may take. 0 counts as 30, as at the gateway.
                request_timeout: $crate::config::Seconds = "30", max "1h";
                /// Accepted for the gateway's sake, without effect: `kms.cache_ttl` and `kms.cache_entries` rule.
                cache_enabled: bool = "true";
                /// Accepted for the gateway's sake, without effect.
                cache_ttl: $crate::config::Seconds = "1h";
                /// Accepted for the gateway's sake, without effect.
                max_cache_size: u32 = "1000";
            }
            check = $check;
        }
    };
}

mod aws;
mod azure;
mod gcp;
mod openbao;

use std::time::Duration;

use figment::value::Dict;

pub use aws::Aws;
pub use azure::Azure;
pub use gcp::Gcp;
pub use openbao::OpenBao;

use crate::{
    config::{
        declare::{Section, section},
        option::Chapter,
        page::Page,
        scope::{Scope, nearest},
    },
    settings::Error,
};

section! {
    /// The key management services that SSE-KMS objects need. Providers and buckets have the names and values of the
    /// `kms` block in the S3 gateway's JSON configuration.
    pub struct Kms {
        /// The provider of objects whose bucket names none. It must be one of the providers.
        default_provider: Option<String>;
        /// How long an unwrapped data key is kept in memory. `0s` keeps none.
        cache_ttl: Duration = "5m", max "24h";
        /// How many unwrapped data keys are kept in memory at most.
        cache_entries: u32 = "1000", max "1000000";
        /// How many data keys one provider is asked for at once.
        max_concurrent: u32 = "32", min "1", max "1000";
    }
    /// The services, by the operator's name for them.
    providers: tables of Provider;
    /// Which provider a bucket uses instead of the default one, by bucket.
    buckets: tables of Bucket;
    check = names_exist;
}

section! {
    /// What one bucket does differently.
    pub struct Bucket {
        /// The name of a provider.
        provider: String;
    }
}

fn names_exist(kms: Kms, scope: &Scope<'_>) -> Result<Kms, Error> {
    let missing = |name: &str| {
        let names: Vec<&str> = kms.providers.keys().map(String::as_str).collect();
        match names.is_empty() {
            true => format!("names provider {name:?}, but there is none; add [kms.providers.{name}]"),
            false => format!("names provider {name:?}, which is not one of: {}", names.join(", ")),
        }
    };
    if let Some(name) = kms.default_provider.as_ref().filter(|name| !kms.providers.contains_key(*name)) {
        return Err(scope.error("default_provider", missing(name)));
    }
    for (bucket, Bucket { provider }) in &kms.buckets {
        if !kms.providers.contains_key(provider) {
            let inner = scope.table("buckets")?.and_then(|buckets| buckets.table(bucket).transpose()).transpose()?;
            return Err(inner.as_ref().unwrap_or(scope).error("provider", missing(provider)));
        }
    }
    Ok(kms)
}

/// Refuses what is no URL, and one with a password in it: URLs are shown. Neither is such a one quoted.
fn url(scope: &Scope<'_>, key: &str, text: &str) -> Result<(), Error> {
    if text.contains('@') {
        let without = "expected a http:// or https:// URL without a user name and password; remove them, and log in by the other keys";
        return Err(scope.error(key, without));
    }
    let authority = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    if authority.is_none_or(|authority| authority.is_empty() || authority.contains(char::is_whitespace)) {
        return Err(scope.error(key, format!("expected a http:// or https:// URL, got {text:?}")));
    }
    Ok(())
}

/// Declares the kinds of providers: the words of `type`, and the section that such a table has.
macro_rules! providers {
    ($( $(#[doc = $doc:literal])+ $Kind:ident = $word:literal $(| $alias:literal)*, )+) => {
        /// One key management service. The variant is the table's `type`.
        pub enum Provider {
            $( $(#[doc = $doc])+ $Kind($Kind), )+
        }

        /// What `type` may be.
        const TYPES: &[&str] = &[$( $word $(, $alias)* ),+];

        impl Provider {
            /// The word of `type`, as envelopes name the provider.
            pub fn kind(&self) -> &'static str {
                match self { $( Self::$Kind(_) => $word, )+ }
            }
        }

        impl Section for Provider {
            fn read(scope: &Scope<'_>) -> Result<Self, Error> {
                match scope.text("type") {
                    $( Some($word $(| $alias)*) => $Kind::read(&scope.without("type")).map(Self::$Kind), )+
                    other => Err(unknown_type(scope, other)),
                }
            }

            fn defaults(present: &Dict) -> Dict {
                match present.get("type").and_then(|kind| kind.as_str()) {
                    $( Some($word $(| $alias)*) => $Kind::defaults(present), )+
                    _ => Dict::new(),
                }
            }

            fn show(&self, page: &mut Page<'_>) {
                page.line("type", Some(format!("\"{}\"", self.kind())));
                match self { $( Self::$Kind(provider) => provider.show(page), )+ }
            }

            fn document(path: &str, chapters: &mut Vec<Chapter>) {
                $(
                    let first = chapters.len();
                    $Kind::document(path, chapters);
                    for chapter in &mut chapters[first..] {
                        chapter.heading.push_str(concat!(", `type = \"", $word, "\"`"));
                    }
                )+
            }
        }
    };
}

providers! {
    /// AWS KMS, or a service that speaks its API.
    Aws = "aws",
    /// OpenBao, or HashiCorp Vault.
    OpenBao = "openbao" | "vault",
    /// Google Cloud KMS.
    Gcp = "gcp",
    /// Azure Key Vault.
    Azure = "azure",
}

fn unknown_type(scope: &Scope<'_>, found: Option<&str>) -> Error {
    let known = TYPES.join(", ");
    match found {
        None => scope.error("type", format!("must be set to the kind of service; known: {known}")),
        Some(found) => match nearest(found, TYPES) {
            Some(near) => scope.error("type", format!("unknown type {found:?}; did you mean {near:?}? known: {known}")),
            None => scope.error("type", format!("unknown type {found:?}; known: {known}")),
        },
    }
}
