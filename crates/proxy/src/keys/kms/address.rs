//! Addresses of services, as they are configured.
//!
//! Knows what makes an address. Must not know any service.

use http::StatusCode;
#[cfg(feature = "_post")]
use http::Uri;

use crate::{Blame, Error};

/// The address of a service in the setting of this name: `https://host`, with or without a port and a path.
///
/// # Errors
/// [`Blame::Config`] where it makes no URL, has a query, or somebody's name in it.
#[cfg(feature = "_post")]
pub(super) fn base_address(provider: &str, setting: &str, text: &str) -> crate::Result<Uri> {
    text.parse::<Uri>()
        .ok()
        .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none())
        .filter(|uri| uri.authority().is_some_and(|authority| !authority.as_str().contains('@')))
        .filter(|uri| uri.host().is_some_and(|host| !host.is_empty()))
        .ok_or_else(|| {
            broken(format!("kms.providers.{provider}.{setting} is no address like https://kms.internal:8200"))
        })
}

/// A setting that cannot be used.
pub(super) fn broken(message: String) -> Error {
    Error::new(Blame::Config, StatusCode::INTERNAL_SERVER_ERROR, message)
}
