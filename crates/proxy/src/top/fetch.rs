//! Asks a daemon for its status.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header::HOST, uri::Authority};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use crate::status::Status;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest, bytes.
const LONGEST: usize = 8 << 20;

/// A daemon's admin listener.
pub struct Source {
    authority: Authority,
    /// Where it connects to: an IPv6 address without its brackets.
    place: (String, u16),
}

impl Source {
    /// The daemon whose admin listener is at `url`, `http://host:port`.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(url: &str) -> Result<Self, String> {
        let refused = || format!("--url {url:?} is not http://host:port");
        let uri: Uri = url.parse().map_err(|_| refused())?;
        let is_plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/" | "/status.json");
        let authority = uri.authority().filter(|authority| is_plain && !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(refused)?.clone();
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let place = (host, authority.port_u16().unwrap_or(80));
        Ok(Self { authority, place })
    }

    /// The status now.
    ///
    /// # Errors
    /// In one sentence, when the daemon does not tell it.
    pub(super) async fn status(&self) -> Result<Status, String> {
        let at = &self.authority;
        match timeout(PATIENCE, self.ask()).await {
            Ok(Ok((StatusCode::OK, body))) => serde_json::from_slice(&body)
                .map_err(|_| format!("what answers at {at} is not tidegate's admin listener (server.admin)")),
            Ok(Ok((StatusCode::MISDIRECTED_REQUEST, _))) => Err(format!(
                "{at} does not answer to this name: give its address, or add the name to admin.hosts of its configuration"
            )),
            Ok(Ok((status, _))) => Err(format!(
                "{at} answered {status}: name the admin listener (server.admin) of a tidegate that has a status"
            )),
            Ok(Err(error)) => {
                Err(format!("cannot ask {at}: {error}; is the daemon running, with server.admin at this address?"))
            }
            Err(_) => Err(format!("{at} did not answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn ask(&self) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let (host, port) = &self.place;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get("/status.json").header(HOST, self.authority.as_str()).body(Empty::<Bytes>::new())?;
        let answer = async {
            let answer = send.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST).collect().await?.to_bytes();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((status, body))
        };
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            answered = &mut answer => answered,
            ended = connection => {
                ended?;
                answer.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_an_admin_listener() {
        for (url, host, port) in [
            ("http://127.0.0.1:8881", "127.0.0.1", 8881),
            ("http://[::1]:8881/", "::1", 8881),
            ("http://gate.example/status.json", "gate.example", 80),
        ] {
            assert_eq!(Source::new(url).ok().unwrap().place, (host.to_owned(), port), "{url}");
        }
        for url in ["", "127.0.0.1:8881", "https://gate:1", "http://gate:1/metrics", "http://a@gate:1", "http://"] {
            assert!(Source::new(url).is_err(), "{url}");
        }
    }
}
