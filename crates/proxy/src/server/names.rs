//! By which names the admin listener is asked.
//!
//! A web page of anybody's can have its own name lead to this listener, once an operator's browser has loaded it, and is then
//! allowed to read what comes (DNS rebinding). What gives it away is `Host`, which has the page's name.

use std::net::{IpAddr, Ipv6Addr};

use http::{
    HeaderMap, HeaderValue, Uri,
    header::HOST,
    uri::{Authority, InvalidUri},
};

use crate::config::Domain;

/// The name that `uri` and `headers` ask for, if it is neither an address, nor `localhost`, nor one of `known`. Who names
/// nothing is no browser.
pub(super) fn stranger(uri: &Uri, headers: &HeaderMap, known: &[Domain]) -> Option<String> {
    let written = headers.get_all(HOST).iter().map(named);
    let mut names = uri.authority().cloned().map(Ok).into_iter().chain(written);
    names.find_map(|name| match name {
        Ok(name) => Some(name.host().to_owned()).filter(|host| !is_known(host, known)),
        Err(_) => Some(String::new()),
    })
}

fn named(header: &HeaderValue) -> Result<Authority, InvalidUri> {
    Authority::try_from(header.as_bytes())
}

fn is_known(host: &str, known: &[Domain]) -> bool {
    if let Some(inside) = host.strip_prefix('[') {
        return inside.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let mut names = known.iter().map(Domain::as_str).chain(["localhost"]);
    names.any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(host: &str, known: &[&str]) -> Option<String> {
        let known: Vec<Domain> = known.iter().map(|name| name.parse().unwrap()).collect();
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())]);
        stranger(&Uri::from_static("/"), &headers, &known)
    }

    #[test]
    fn an_address_localhost_and_a_name_of_the_list_are_known() {
        for host in ["127.0.0.1", "10.0.0.7:8881", "[::1]:8881", "[::1]", "localhost:8881", "LOCALHOST", "localhost."] {
            assert_eq!(asked(host, &[]), None, "{host}");
        }
        for host in ["gate.example", "Gate.Example:8881", "gate.example.:8881", "pods"] {
            assert_eq!(asked(host, &["pods", "gate.example"]), None, "{host}");
        }
    }

    #[test]
    fn any_other_name_is_a_stranger_s() {
        for (host, name) in [
            ("evil.example:8881", "evil.example"),
            ("a.gate.example", "a.gate.example"),
            ("gate.example.evil", "gate.example.evil"),
            ("localhost.evil.example", "localhost.evil.example"),
            ("127.0.0.1.evil.example", "127.0.0.1.evil.example"),
            ("127.0.0.1@evil.example", "evil.example"),
            ("gate.example..", "gate.example.."),
            ("2130706433", "2130706433"),
            ("", ""),
            ("a b", ""),
        ] {
            assert_eq!(asked(host, &["gate.example"]), Some(name.to_owned()), "{host}");
        }
    }

    #[test]
    fn all_that_names_it_counts() {
        let uri = |text: &'static str| Uri::from_static(text);
        let none = HeaderMap::new();
        assert_eq!(stranger(&uri("/"), &none, &[]), None, "HTTP/1.0 may name nothing");
        assert_eq!(stranger(&uri("http://evil.example/"), &none, &[]), Some("evil.example".into()));
        let mut two = HeaderMap::new();
        two.append(HOST, HeaderValue::from_static("localhost"));
        assert_eq!(stranger(&uri("http://[::1]:1/"), &two, &[]), None);
        assert_eq!(stranger(&uri("http://evil.example/"), &two, &[]), Some("evil.example".into()));
        two.append(HOST, HeaderValue::from_static("evil.example"));
        assert_eq!(stranger(&uri("/"), &two, &[]), Some("evil.example".into()));
    }

    proptest! {
        #[test]
        fn whoever_has_a_name_of_his_own_is_a_stranger(name in "[a-z0-9-]{1,9}(\\.[a-z0-9-]{1,9}){0,3}\\.[a-z]{1,9}", port: u16) {
            let expected = if name == "gate.example" { None } else { Some(name.clone()) };
            prop_assert_eq!(asked(&format!("{name}:{port}"), &["gate.example"]), expected);
        }

        #[test]
        fn nothing_that_is_written_there_panics(host in "[ -~]{0,24}") {
            asked(&host, &["gate.example"]);
        }
    }
}
