//! Who is on the other side of a relay: how a request is written for it, and how an error names it.

use http::{HeaderMap, Method, Uri, Version, header::HOST, request::Parts};

use super::headers;
use crate::{Blame, Result, correlation::Correlation, wire::Peer};

/// What a relay leads to.
pub(super) enum FarSide {
    /// Filers. They are told who asked, and by whom the request came; keys that they have no use for stay here.
    Filers(headers::Via),
    /// S3 gateways. What a client signed must arrive as it was, and whatever is added could be what a policy asks for: so
    /// nothing is added here, and only what concerns this hop ends.
    Gateways,
}

impl FarSide {
    /// As the subject of a sentence.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Filers(_) => "the filer",
            Self::Gateways => "the S3 gateway",
        }
    }

    /// The key of the configuration that has their addresses.
    pub(super) fn setting(&self) -> &'static str {
        match self {
            Self::Filers(_) => "filer.addresses",
            Self::Gateways => "s3.gateway",
        }
    }

    /// Whose fault it is when one fails.
    pub(super) fn blame(&self) -> Blame {
        match self {
            Self::Filers(_) => Blame::Filer,
            Self::Gateways => Blame::Gateway,
        }
    }

    /// Whether the request has been here before.
    pub(super) fn sees_loop(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Filers(via) => via.names_us(headers),
            Self::Gateways => false,
        }
    }

    /// Makes `parts` the request that `authority` is to have at `uri`.
    ///
    /// # Errors
    /// 400 when the host cannot be written as a header.
    pub(super) fn prepare(&self, parts: &mut Parts, uri: Uri, authority: &str, peer: &Peer) -> Result<()> {
        let host = headers::host(parts, authority)?;
        match self {
            Self::Filers(via) => {
                headers::end_hop(&mut parts.headers);
                headers::join_cookies(&mut parts.headers);
                if matches!(parts.method, Method::GET | Method::HEAD) {
                    headers::strip_customer_keys(&mut parts.headers);
                }
                headers::tell_origin(&mut parts.headers, &host, peer);
                headers::tell_name(&mut parts.headers, &Correlation::of(&parts.extensions));
                via.append(&mut parts.headers, parts.version);
            }
            Self::Gateways => {
                headers::end_hop_of_fixed_names(&mut parts.headers);
                headers::join_cookies(&mut parts.headers);
            }
        }
        parts.headers.insert(HOST, host);
        parts.uri = uri;
        parts.version = Version::HTTP_11;
        Ok(())
    }
}
