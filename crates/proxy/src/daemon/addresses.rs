//! Where tidegate listens and whom it asks must not be in each other's way.
//!
//! Knows addresses as they are configured. Looks up no name, so that `localhost` is the only one it knows.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::{Config, FilerAddress};

type Listener = (&'static str, SocketAddr);

/// The first address that cannot be what it is set to, with what to do. It begins with the key.
pub(super) fn conflict(config: &Config) -> Option<String> {
    let listeners = listeners(config);
    taken(&listeners).or_else(|| tidegate_itself(config, &listeners)).or_else(|| filer_for_gateway(config))
}

fn taken(listeners: &[Listener]) -> Option<String> {
    listeners.iter().enumerate().find_map(|(index, (key, address))| {
        let (name, taken) = listeners[..index].iter().find(|(_, other)| cannot_both_listen(*other, *address))?;
        let taken = if taken == address { format!("{name} too") } else { format!("taken by {name}, {taken}") };
        Some(format!("{key} {address} is {taken}; choose another port"))
    })
}

fn tidegate_itself(config: &Config, listeners: &[Listener]) -> Option<String> {
    let filers = filers(config).map(|filer| ("filer.addresses", filer, "filer"));
    let gateways = gateways(config).map(|gateway| ("s3.gateway", gateway, "S3 gateway"));
    filers.chain(gateways).find_map(|(key, authority, wanted)| {
        let (name, _) = listeners.iter().find(|(_, listener)| leads_to(&authority, *listener))?;
        Some(format!("{key} {authority} is {name}, where tidegate itself listens; name the {wanted}"))
    })
}

fn filer_for_gateway(config: &Config) -> Option<String> {
    let filer = gateways(config).find(|gateway| filers(config).any(|filer| filer == *gateway))?;
    Some(format!("s3.gateway {filer} is one of filer.addresses; name the S3 gateway, which has a port of its own"))
}

fn filers(config: &Config) -> impl Iterator<Item = String> {
    config.filer.addresses.iter().map(FilerAddress::http_authority)
}

fn gateways(config: &Config) -> impl Iterator<Item = String> {
    config.s3.gateway.iter().map(|gateway| gateway.authority.clone())
}

/// Those that the system is to choose a port for are nowhere yet.
fn listeners(config: &Config) -> Vec<Listener> {
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
