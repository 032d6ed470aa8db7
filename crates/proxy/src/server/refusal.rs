//! What a connection is told for which there is no place.
//!
//! Knows sockets. Must not know why.

use std::sync::Arc;

use tokio::{net::TcpStream, sync::Semaphore};

use super::socket;

/// How many are being told at a time. Clones are the same.
#[derive(Clone)]
pub(super) struct Refusals(Arc<Semaphore>);

impl Default for Refusals {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// Of those that come at the same time so many are told; the others are closed.
const AT_ONCE: usize = 64;

/// Fits into an empty socket at once. The client is asked to try again, by what stands in front of it or by itself.
const ANSWER: &[u8] = concat!(
    "HTTP/1.1 503 Service Unavailable\r\nServer: tidegate/",
    env!("CARGO_PKG_VERSION"),
    "\r\nContent-Type: application/json\r\nContent-Length: 90\r\nRetry-After: 1\r\nConnection: close\r\n\r\n",
    "{\"error\":\"there are too many connections\",\"code\":\"SlowDown\",\"blame\":\"client\",\"retry\":true}",
)
.as_bytes();

/// Answers the request that the client is about to send, and closes the connection.
pub(super) fn send(stream: TcpStream, refusals: &Refusals) {
    let Ok(permit) = Arc::clone(&refusals.0).try_acquire_owned() else { return };
    if stream.try_write(ANSWER).is_ok_and(|written| written == ANSWER.len()) {
        tokio::spawn(async move {
            let _permit = permit;
            socket::read_away(stream).await
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let answer = std::str::from_utf8(ANSWER).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
