//! `[s3]`

use std::{net::SocketAddr, time::Duration};

use super::server::ProxyProtocol;
use crate::{
    config::{Domain, GatewayUrl, declare::section, scope::Scope},
    settings::Error,
};

section! {
    /// The S3 front: what S3 clients ask instead of the gateway. It speaks TLS if the filer front does. See [s3](s3.md).
    pub struct S3 {
        /// Where it listens. Without it there is no S3 front. Port 0 takes a free one.
        listen: Option<SocketAddr>, restart;
        /// One or more gateways of the same cluster, `weed s3`. They decide about every request, and answer whatever is not the
        /// read of an object. All speak TLS or none does, as the front: policies may ask how a request came
        /// (`aws:SecureTransport`).
        gateway: Vec<GatewayUrl> = "";
        /// The gateways' `-domainName`: below these names the first part of a host is the bucket. Requests for other
        /// names are relayed.
        domains: Vec<Domain> = "";
        /// The authority of the gateways' certificates (PEM); without it the system's. A relative name is found as those of
        /// `_file` keys are.
        gateway_ca: Option<String>;
        /// As `server.proxy_protocol`, for connections of this front.
        proxy_protocol: ProxyProtocol = "off";
        /// How long a gateway may take for its decision about a read (504 then; in a bucket with a policy the request itself is
        /// relayed).
        decision_timeout: Duration = "10s", min "100ms", max "5m";
    }
    check = whole;
}

fn whole(s3: S3, scope: &Scope<'_>) -> Result<S3, Error> {
    if s3.listen.is_none() {
        let needs_listen = !s3.gateway.is_empty()
            || !s3.domains.is_empty()
            || s3.gateway_ca.is_some()
            || s3.proxy_protocol != ProxyProtocol::Off;
        return if needs_listen {
            Err(scope.error("listen", "must be set, because other keys of s3 are"))
        } else {
            Ok(s3)
        };
    }
    let Some(first) = s3.gateway.first() else {
        return Err(scope.error("gateway", "must name a gateway, because s3.listen is set"));
    };
    if s3.gateway.iter().any(|gateway| gateway.tls != first.tls) {
        return Err(
            scope.error("gateway", "has http:// and https://; policies that ask for TLS would differ: use one of them")
        );
    }
    if s3.gateway_ca.is_some() && !first.tls {
        return Err(scope.error("gateway_ca", "is for gateways with https:// in s3.gateway"));
    }
    Ok(s3)
}
