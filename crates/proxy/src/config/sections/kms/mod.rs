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

use std::{collections::BTreeMap, time::Duration};

pub use aws::Aws;
pub use azure::Azure;
pub use gcp::Gcp;
pub use openbao::OpenBao;

use crate::{
    config::{
        declare::{Table, section},
        key::Chapter,
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
    tables {
        /// The services, by the operator's name for them.
        providers: BTreeMap<String, Provider>;
        /// Which provider a bucket uses instead of the default one, by bucket.
        buckets: BTreeMap<String, Bucket>;
    }
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
            return Err(scope.inside("buckets")?.inside(bucket)?.error("provider", missing(provider)));
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

/// One key management service. The variant is the table's `type`.
pub enum Provider {
    /// AWS KMS, or a service that speaks its API.
    Aws(Aws),
    /// OpenBao, or HashiCorp Vault.
    OpenBao(OpenBao),
    /// Google Cloud KMS.
    Gcp(Gcp),
    /// Azure Key Vault.
    Azure(Azure),
}

/// What `type` may be.
const TYPES: &[&str] = &["aws", "openbao", "vault", "gcp", "azure"];

impl Provider {
    /// The word of `type`, as envelopes name the provider.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Aws(_) => "aws",
            Self::OpenBao(_) => "openbao",
            Self::Gcp(_) => "gcp",
            Self::Azure(_) => "azure",
        }
    }
}

impl Table for Provider {
    fn read(scope: &Scope<'_>) -> Result<Self, Error> {
        let own = scope.without("type");
        match scope.text("type") {
            Some("aws") => Aws::read(&own).map(Self::Aws),
            Some("openbao" | "vault") => OpenBao::read(&own).map(Self::OpenBao),
            Some("gcp") => Gcp::read(&own).map(Self::Gcp),
            Some("azure") => Azure::read(&own).map(Self::Azure),
            other => Err(unknown_type(scope, other)),
        }
    }

    fn show(&self, page: &mut Page<'_>) {
        page.line("type", &self.kind().to_owned());
        match self {
            Self::Aws(aws) => aws.show(page),
            Self::OpenBao(bao) => bao.show(page),
            Self::Gcp(gcp) => gcp.show(page),
            Self::Azure(azure) => azure.show(page),
        }
    }

    fn document(path: &str, chapters: &mut Vec<Chapter>) {
        let mut kind = |kind, document: fn(&str, &mut Vec<Chapter>)| {
            let first = chapters.len();
            document(path, chapters);
            chapters[first..].iter_mut().for_each(|chapter| chapter.kind = Some(kind));
        };
        kind("aws", Aws::document);
        kind("openbao", OpenBao::document);
        kind("gcp", Gcp::document);
        kind("azure", Azure::document);
    }
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
