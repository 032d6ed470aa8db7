//! Where tidegate listens and whom it asks must not be in each other's way.
//!
//! Knows addresses as they are configured. Looks up no name, so that `localhost` is the only one it knows.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::Config;

/// The first address that cannot be what it is set to, with what to do. It begins with the key.
pub(super) fn conflict(config: &Config) -> Option<String> {
    let listeners = listeners(config);
    for (index, (key, address)) in listeners.iter().enumerate() {
        let Some((name, taken)) = listeners[..index].iter().find(|(_, other)| cannot_both_listen(*other, *address))
        else {
            continue;
        };
        let taken = if taken == address { format!("{name} too") } else { format!("taken by {name}, {taken}") };
        return Some(format!("{key} {address} is {taken}; choose another port"));
    }
    let filers = config.filer.addresses.iter().map(|filer| ("filer.addresses", filer.http_authority(), "filer"));
    let gateways = config.s3.gateway.iter().map(|gateway| ("s3.gateway", gateway.authority.clone(), "S3 gateway"));
    filers.chain(gateways).find_map(|(key, authority, wanted)| {
        let (name, _) = listeners.iter().find(|(_, listener)| leads_to(&authority, *listener))?;
        Some(format!("{key} {authority} is {name}, where tidegate itself listens; name the {wanted}"))
    })
}

/// Those that the system is to choose a port for are nowhere yet.
fn listeners(config: &Config) -> Vec<(&'static str, SocketAddr)> {
    let server = [("server.listen", config.server.listen), ("server.admin", config.server.admin)];
    let all = server.into_iter().chain(config.s3.listen.map(|listen| ("s3.listen", listen)));
    all.filter(|(_, address)| address.port() != 0).collect()
}

/// An address of all interfaces takes its port on each one of its family. Whether `[::]` takes those of IPv4 too is the system's
/// to say.
fn cannot_both_listen(one: SocketAddr, other: SocketAddr) -> bool {
    let all = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (one.ip() == other.ip() || (all && one.is_ipv4() == other.is_ipv4()))
}

/// Whether who asks `host:port` reaches `listener`.
fn leads_to(authority: &str, listener: SocketAddr) -> bool {
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    let host =
        if host == "localhost" { Some(Ipv4Addr::LOCALHOST.into()) } else { trimmed(host).parse::<IpAddr>().ok() };
    let is_there = |host: IpAddr| host == listener.ip() || (host.is_loopback() && listener.ip().is_unspecified());
    port == listener.port().to_string() && host.is_some_and(is_there)
}

fn trimmed(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}
