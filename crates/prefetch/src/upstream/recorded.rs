//! An answer out of a record of what came over a connection, for the fuzz targets.

use std::{
    io::{self, Cursor},
    pin::pin,
};

use futures_util::FutureExt;
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, Join, Sink, join, sink};

use super::{body::HttpBody, connection::Connection, head::WireRequest, stream::Stream};

impl Stream for Join<Cursor<Vec<u8>>, Sink> {}

/// Status and body of the answer to a `GET`, where `came` is all that comes. `None`: it is no answer, or no whole one.
#[doc(hidden)]
pub fn recorded_answer(came: &[u8]) -> Option<(StatusCode, Vec<u8>)> {
    let request = WireRequest::of(&Request::get("http://a/").body(()).ok()?, 80).ok()?;
    let read = async {
        let mut connection = Connection::new(join(Cursor::new(came.to_vec()), sink()));
        let head = connection.exchange(&request).await.map_err(|_| io::ErrorKind::InvalidData)?;
        let mut body = pin!(HttpBody::new(head.framing, connection, None));
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes).await?;
        Ok::<_, io::Error>((head.answer.status(), bytes))
    };
    // It never waits: all of it is here.
    read.now_or_never()?.ok()
}
