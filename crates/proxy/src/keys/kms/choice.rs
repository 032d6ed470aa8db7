//! Which of the configured providers opens a data key.
//!
//! Knows the `[kms]` table's names. Must not know what the providers do.
//!
//! The S3 gateway decrypts with its default provider, whatever the bucket, and refuses when the envelope is of another
//! kind. Its configuration also maps buckets to providers. Here the bucket's provider comes first, then the default; if
//! that one is not of the envelope's kind, the only provider of that kind does it, so that objects written before a
//! change of KMS stay readable.

use std::{collections::BTreeMap, sync::Arc};

use http::StatusCode;

use super::{Provider, Service, WaitingLine, error::sanitized};
use crate::{Blame, Error, Result};

/// The configured providers.
#[derive(Default)]
pub struct Providers {
    by_name: BTreeMap<Arc<str>, Arc<dyn Provider>>,
    default: Option<Arc<str>>,
    buckets: BTreeMap<String, Arc<str>>,
}

impl Providers {
    /// The providers, the name of the default one (`kms.default_provider`) and the providers of single buckets
    /// (`kms.buckets.<bucket>.provider`).
    ///
    /// # Errors
    /// [`Blame::Config`] if two have the same name or a name is used that none has.
    pub fn new(
        providers: Vec<Arc<dyn Provider>>,
        default: Option<&str>,
        buckets: BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut by_name = BTreeMap::new();
        for provider in providers {
            let name: Arc<str> = provider.about().name.as_str().into();
            if by_name.insert(name.clone(), provider).is_some() {
                return Err(broken(format!("kms.providers has {name:?} twice")));
            }
        }
        let known = |name: &str, setting: &str| match by_name.get_key_value(name) {
            Some((name, _)) => Ok(name.clone()),
            None => Err(broken(format!("{setting} names {name:?}, which is not in kms.providers"))),
        };
        let default = default.map(|name| known(name, "kms.default_provider")).transpose()?;
        let buckets = buckets
            .into_iter()
            .map(|(bucket, name)| {
                let name = known(&name, &format!("kms.buckets.{bucket}.provider"))?;
                Ok((bucket, name))
            })
            .collect::<Result<_>>()?;
        Ok(Self { by_name, default, buckets })
    }

    /// How each stands, by its name.
    pub(in crate::keys) fn services(&self) -> Vec<Service> {
        let service = |provider: &Arc<dyn Provider>| {
            let (about, line) = (provider.about(), provider.line());
            let last_failure = line.and_then(WaitingLine::last_failure);
            Service {
                name: about.name.clone(),
                kind: about.kind,
                is_down: line.is_some_and(|line| line.circuit.is_open()),
                last_failure: last_failure.map(|(failure, age)| (failure.in_words(), age)),
            }
        };
        self.by_name.values().map(service).collect()
    }

    /// Asks again those that were found to be down.
    pub(in crate::keys) fn forget_outages(&self) {
        self.by_name.values().filter_map(|provider| provider.line()).for_each(WaitingLine::forget_outage);
    }

    /// The provider that opens an envelope of this kind for an object in this bucket, and its name.
    ///
    /// # Errors
    /// [`Blame::Config`] if none or several would do.
    pub(in crate::keys) fn choose(&self, bucket: Option<&str>, kind: &str) -> Result<(Arc<str>, Arc<dyn Provider>)> {
        let kind = if kind == "vault" { "openbao" } else { kind };
        let preferred = bucket.and_then(|bucket| self.buckets.get(bucket)).or(self.default.as_ref());
        if let Some(name) = preferred
            && let Some(provider) = self.by_name.get(name)
            && provider.about().kind == kind
        {
            return Ok((name.clone(), provider.clone()));
        }
        let mut fitting = self.by_name.iter().filter(|(_, provider)| provider.about().kind == kind);
        match (fitting.next(), fitting.next()) {
            (Some((name, provider)), None) => Ok((name.clone(), provider.clone())),
            (Some((one, _)), Some((other, _))) => Err(refused(format!(
                "the object's data key is wrapped by a KMS of type {kind:?}, and both {one:?} and {other:?} are; name one \
                 in kms.default_provider"
            ))),
            (None, _) if kind == "local" => Err(refused(
                "the object's data key is wrapped by a KMS of type \"local\", which is in the memory of the S3 gateway that \
                 wrote the object; nobody else can read it"
                    .to_owned(),
            )),
            (None, _) => Err(refused(format!(
                "the object's data key is wrapped by a KMS of type {:?}, and kms.providers has none",
                sanitized(kind)
            ))),
        }
    }
}

fn broken(message: String) -> Error {
    Error::new(Blame::Config, StatusCode::INTERNAL_SERVER_ERROR, message)
}

fn refused(message: String) -> Error {
    Error::new(Blame::Config, StatusCode::FORBIDDEN, message).code("KmsNotConfigured")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crypto::KmsKey;
    use futures_util::future::BoxFuture;

    use super::*;
    use crate::keys::kms::{KmsError, ProviderInfo, UnwrappedKey};

    struct Named(ProviderInfo);

    fn named(name: &str, kind: &'static str) -> Named {
        Named(ProviderInfo { name: name.to_owned(), kind, max_retries: 0, patience: Duration::ZERO })
    }

    impl Provider for Named {
        fn about(&self) -> &ProviderInfo {
            &self.0
        }

        fn decrypt<'a>(&'a self, _: &'a KmsKey) -> BoxFuture<'a, Result<UnwrappedKey, KmsError>> {
            unreachable!("these tests only choose")
        }
    }

    fn providers(
        of: &[(&'static str, &'static str)],
        default: Option<&str>,
        buckets: &[(&str, &str)],
    ) -> Result<Providers> {
        let of = of.iter().map(|(name, kind)| Arc::new(named(name, kind)) as Arc<dyn Provider>).collect();
        let buckets = buckets.iter().map(|(bucket, name)| (bucket.to_string(), name.to_string())).collect();
        Providers::new(of, default, buckets)
    }

    #[test]
    fn bucket_before_default_before_kind() {
        let three = [("main", "aws"), ("second", "aws"), ("bao", "openbao")];
        let all = providers(&three, Some("main"), &[("b", "second"), ("c", "bao")]).unwrap();
        let chosen = |bucket, kind| all.choose(bucket, kind).unwrap().0.to_string();
        assert_eq!(chosen(None, "aws"), "main");
        assert_eq!(chosen(Some("other"), "aws"), "main");
        assert_eq!(chosen(Some("b"), "aws"), "second");
        assert_eq!(chosen(None, "openbao"), "bao");
        assert_eq!(chosen(Some("c"), "vault"), "bao");
        assert_eq!(chosen(Some("b"), "openbao"), "bao");
    }

    #[test]
    fn none_or_several_are_refused() {
        let both = providers(&[("one", "aws"), ("two", "aws")], None, &[]).unwrap();
        let error = both.choose(None, "aws").err().unwrap();
        assert_eq!((error.status().as_u16(), error.blame()), (403, Blame::Config));
        assert_eq!(error.short_code(), Some("KmsNotConfigured"));
        assert!(error.message().contains("kms.default_provider"));
        for kind in ["gcp", "local"] {
            let error = both.choose(None, kind).err().unwrap();
            assert_eq!(error.short_code(), Some("KmsNotConfigured"), "{error}");
        }
        assert!(Providers::default().choose(None, "aws").is_err());
    }

    #[test]
    fn names_must_exist_once() {
        assert!(providers(&[("one", "aws"), ("one", "openbao")], None, &[]).is_err());
        let error = providers(&[("one", "aws")], Some("two"), &[]).err().unwrap();
        assert!(error.message().contains("kms.default_provider"), "{error}");
        let error = providers(&[("one", "aws")], None, &[("b", "two")]).err().unwrap();
        assert!(error.message().contains("kms.buckets.b.provider"), "{error}");
    }
}
