//! `[server]`

use std::{net::SocketAddr, time::Duration};

use crate::{
    config::{Size, declare::section, scope::Scope, values::choice},
    peers::Network,
    settings::Error,
};

choice! {
    /// Whether connections begin with a header of the PROXY protocol.
    pub enum ProxyProtocol {
        /// They do not.
        Off = "off",
        /// All do, in version 1 or 2, and come from a trusted proxy.
        Required = "required",
    }
    expects "\"off\" or \"required\""
}

section! {
    /// Where tidegate listens, and how it stops.
    pub struct Server {
        /// The filer front: what clients ask instead of the filer. Port 0 takes a free one.
        listen: SocketAddr = "127.0.0.1:8880", restart;
        /// The [status](status.md) page, `/metrics`, `/healthz` and `/readyz`. Keep it away from clients. Port 0 takes a free one.
        admin: SocketAddr = "127.0.0.1:8881", restart;
        /// After SIGTERM `/readyz` answers 503 while everything is served as before for this long, so that whoever sends
        /// clients here sends them elsewhere before they are refused. 0s: no such time. A second SIGTERM cuts all at once.
        lame_duck: Duration = "5s", max "10m";
        /// After that no connection is accepted, and running downloads have this long to finish. systemd is told of both
        /// together, once; it cannot be told of more than 71 minutes.
        drain_timeout: Duration = "120s", max "1h";
        /// A client that takes no byte for this long (twice that where its system still had room for some), or on HTTP/2 no
        /// 32 KiB of a stream, is cut: what was fetched for it holds memory that others wait for.
        write_timeout: Duration = "60s", min "1s", max "1h";
        /// A client that takes fewer bytes per second than this is cut when others have waited two seconds for memory
        /// (`prefetch.memory`) and nobody has more than a fair share of it. Over 10 to 20 seconds, and after what the system
        /// holds for it. 0: only whoever has more than a fair share is cut.
        min_rate: Size = "16KiB", max "1GiB";
        /// Connections of clients at a time; of one more, and while no more files may be open, the client gets 503. The admin
        /// listener has places of its own.
        max_connections: u32 = "10000", min "1", max "1000000";
        /// Of these, connections of one address; all addresses of an IPv6 /64 are one. Behind a proxy all are its, unless it
        /// speaks the PROXY protocol.
        max_connections_per_peer: u32 = "5000", min "1", max "1000000";
        /// A request's header must be here so long after its first byte, a TLS handshake so long after it began.
        header_timeout: Duration = "30s", min "1s", max "1h";
        /// A connection that waits so long for its next request is closed.
        idle_timeout: Duration = "75s", min "2s", max "1h";
        /// A connection that is older ends when its running answers are out, so that clients spread anew over what stands
        /// behind a balancer.
        max_connection_age: Duration = "1h", min "1s", max "24h";
        /// What the headers of all requests that are not answered may take together, beyond the first 8 KiB of each
        /// connection. Who wants more than is left is cut.
        header_memory: Size = "32MiB", min "1MiB";
        /// The proxies in front, by address or network: one of these is believed where it says in `X-Forwarded-For` who asked,
        /// and so is the one that it names. The first from the right that is not in the list is the client, whom log lines
        /// name and `limits` count. Name only machines that append to that header, whoever asks them; see [security](security.md).
        trusted_proxies: Vec<Network> = "";
        /// Whether each connection of the filer front begins with a header of the PROXY protocol (version 1 or 2, before TLS),
        /// which says whom it comes from. `required` closes those that do not, and all that do not come from
        /// `trusted_proxies`.
        proxy_protocol: ProxyProtocol = "off";
        /// The filer front's certificate chain (PEM). With it the front speaks TLS only, HTTP/2 and HTTP/1.1; only a restart
        /// switches that on or off.
        /// Relative names, here and in the next two, are found as those of `_file` keys are.
        tls_cert: Option<String>;
        /// Its private key (PEM, without a passphrase).
        tls_key: Option<String>;
        /// The authorities of client certificates (PEM). Clients may do without one; what a certificate is good for
        /// says `access.managed_keys`.
        tls_client_ca: Option<String>;
    }
    check = whole;
}

fn whole(server: Server, scope: &Scope<'_>) -> Result<Server, Error> {
    if server.proxy_protocol == ProxyProtocol::Required && server.trusted_proxies.is_empty() {
        return Err(scope.error("trusted_proxies", "must name a proxy, because server.proxy_protocol is \"required\""));
    }
    match (&server.tls_cert, &server.tls_key, &server.tls_client_ca) {
        (Some(_), None, _) => Err(scope.error("tls_key", "must be set, because server.tls_cert is")),
        (None, Some(_), _) => Err(scope.error("tls_cert", "must be set, because server.tls_key is")),
        (None, None, Some(_)) => Err(scope.error("tls_client_ca", "needs server.tls_cert and server.tls_key")),
        _ => Ok(server),
    }
}
