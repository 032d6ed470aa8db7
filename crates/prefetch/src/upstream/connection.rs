//! One connection to a volume server, over which requests go one after the other.
//!
//! What is read ahead of its place, with a head or between chunks, lies in a small buffer. All other bytes of a body go from
//! the system straight to where they are wanted.

use std::{
    io::{self, IoSliceMut},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use http::Response;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use super::{
    framing::{BodyItem, Framing, FramingError},
    head::{Head, HeadError, WireRequest},
    stream::Stream,
};

/// Bytes of the buffer: room for a head, and for a small body that comes with it.
const BUFFER: usize = 16 << 10;
/// The most that is read of a head at first, where the body before was larger than the buffer: of this one nothing is then read
/// that would be copied.
const HEAD: usize = 1 << 10;
/// Slices that are read into at once, the buffer among them.
const SLICES: usize = 8;
/// The most that it grows to for a head.
const LONGEST_HEAD: usize = 256 << 10;

/// The connection.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    /// Written once, so that nothing is cleared for each read.
    buffer: Box<[u8]>,
    /// Where in it bytes lie that were not taken yet.
    start: usize,
    end: usize,
    /// Bytes that are read of a head at first.
    first_read: usize,
}

/// The head of an answer, and where its body ends.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) answer: Response<()>,
    pub(super) framing: Framing,
}

/// A request that was not answered.
#[derive(Debug)]
pub(super) struct ExchangeFailure {
    pub(super) error: LineError,
    /// Whether not a byte of an answer came.
    pub(super) nothing_came: bool,
}

/// Why no answer, or no more of one, comes over a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the connection was closed before the answer")]
    Closed,
    #[error("the head of the answer is longer than 256 KiB")]
    LongHead,
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error(transparent)]
    Framing(#[from] FramingError),
}

impl LineError {
    /// As a reader of a body gets it.
    pub(super) fn into_io(self) -> io::Error {
        match self {
            Self::Io(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        }
    }
}

impl Connection {
    pub(super) fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: vec![0; BUFFER].into(), start: 0, end: 0, first_read: BUFFER }
    }

    /// Sends a request and reads the head of the answer. Nothing of an answer before may be left on the line.
    pub(super) async fn exchange(&mut self, request: &WireRequest) -> Result<AnswerHead, ExchangeFailure> {
        let sent = async {
            self.stream.write_all(&request.bytes).await?;
            self.stream.flush().await
        };
        if let Err(error) = sent.await {
            return Err(ExchangeFailure { error: error.into(), nothing_came: true });
        }
        let mut came = 0;
        self.head(request, &mut came).await.map_err(|error| ExchangeFailure { error, nothing_came: came == 0 })
    }

    async fn head(&mut self, request: &WireRequest, came: &mut usize) -> Result<AnswerHead, LineError> {
        // Where the head begins that is being read: those before it were of words in between.
        (self.start, self.end) = (0, 0);
        loop {
            if self.end == self.buffer.len() {
                self.grow()?;
            }
            let most = if self.end == 0 { self.first_read } else { self.buffer.len() };
            let read = self.stream.read(&mut self.buffer[self.end..most]).await?;
            if read == 0 {
                return Err(LineError::Closed);
            }
            *came += read;
            let new = self.end..self.end + read;
            self.end = new.end;
            // A line more, or nothing to look at.
            if !self.buffer[new].contains(&b'\n') {
                continue;
            }
            while self.start < self.end
                && let Some(head) = Head::parse(&self.buffer[self.start..self.end])?
            {
                self.start += head.len;
                if !head.is_informational() {
                    let framing = Framing::of(&request.method, &head.answer)?;
                    self.first_read = if matches!(framing.next(), BodyItem::Data(more) if more > BUFFER as u64) {
                        HEAD
                    } else {
                        BUFFER
                    };
                    return Ok(AnswerHead { answer: head.answer, framing });
                }
                // Nobody has asked for another protocol.
                if head.answer.status() == http::StatusCode::SWITCHING_PROTOCOLS {
                    return Err(HeadError::Status(101).into());
                }
            }
        }
    }

    fn grow(&mut self) -> Result<(), LineError> {
        if self.buffer.len() >= LONGEST_HEAD {
            return Err(LineError::LongHead);
        }
        let mut buffer = std::mem::take(&mut self.buffer).into_vec();
        buffer.resize(2 * buffer.len(), 0);
        self.buffer = buffer.into();
        Ok(())
    }

    /// Reads the next bytes of a body into `into`, which has room; none are its end.
    pub(super) fn poll_body(
        &mut self,
        framing: &mut Framing,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), LineError>> {
        let most = ready!(self.poll_data(framing, cx))?;
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(into.remaining());
        if most == 0 {
            return Poll::Ready(Ok(()));
        }
        let read = if self.has_more() {
            let ahead = self.ahead(most);
            into.put_slice(ahead);
            ahead.len()
        } else if most < into.remaining() {
            let mut part = ReadBuf::new(into.initialize_unfilled_to(most));
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            into.advance(read);
            read
        } else {
            let before = into.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
            into.filled().len() - before
        };
        Poll::Ready(took(framing, read).map(drop))
    }

    /// Reads the next bytes of a body into `slices`, of which the first has room. How many; none are its end.
    pub(super) fn poll_body_many(
        &mut self,
        framing: &mut Framing,
        cx: &mut Context<'_>,
        slices: &mut [IoSliceMut<'_>],
    ) -> Poll<Result<usize, LineError>> {
        let most = usize::try_from(ready!(self.poll_data(framing, cx))?).unwrap_or(usize::MAX);
        let room: usize = slices.iter().map(|slice| slice.len()).sum();
        let Some(first) = slices.first_mut() else { return Poll::Ready(Ok(0)) };
        let first_most = most.min(first.len());
        if first_most == 0 {
            return Poll::Ready(Ok(0));
        }
        let read = if self.has_more() {
            let ahead = self.ahead(first_most);
            first[..ahead.len()].copy_from_slice(ahead);
            ahead.len()
        } else if most < room {
            let mut part = ReadBuf::new(&mut first[..first_most]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
            part.filled().len()
        } else if most == room {
            ready!(self.poll_read_to_end(cx, slices, room))?
        } else {
            ready!(self.stream.poll_read_many(cx, slices))?
        };
        Poll::Ready(took(framing, read))
    }

    /// Reads into `slices`, which have `room` for all that is next. There is room behind them, too: a read that does not fill it has
    /// found the line empty, so that whoever looks for more need not ask the system.
    fn poll_read_to_end(
        &mut self,
        cx: &mut Context<'_>,
        slices: &mut [IoSliceMut<'_>],
        room: usize,
    ) -> Poll<io::Result<usize>> {
        let mut slices = slices.iter_mut().map(|slice| IoSliceMut::new(slice));
        let mut many: [_; SLICES] = std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
        if slices.next().is_none()
            && let Some(last) = many.last_mut().filter(|last| last.is_empty())
        {
            *last = IoSliceMut::new(&mut self.buffer);
        }
        let read = ready!(self.stream.poll_read_many(cx, &mut many))?;
        (self.start, self.end) = (0, read.saturating_sub(room));
        Poll::Ready(Ok(read.min(room)))
    }

    /// Goes on to where bytes of the body are next. How many of them, at most; none: it has ended.
    fn poll_data(&mut self, framing: &mut Framing, cx: &mut Context<'_>) -> Poll<Result<u64, LineError>> {
        loop {
            match framing.next() {
                BodyItem::End => return Poll::Ready(Ok(0)),
                BodyItem::Data(most) => return Poll::Ready(Ok(most)),
                BodyItem::Words => {
                    if self.start == self.end && ready!(self.poll_more(cx))? == 0 {
                        return Poll::Ready(framing.closed().map(|()| 0).map_err(Into::into));
                    }
                    self.start += framing.words(&self.buffer[self.start..self.end])?;
                }
            }
        }
    }

    /// Takes up to `most` bytes of what was read ahead.
    fn ahead(&mut self, most: usize) -> &[u8] {
        let start = self.start;
        self.start = self.end.min(start.saturating_add(most));
        &self.buffer[start..self.start]
    }

    /// Reads ahead, where nothing is left of what was.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        (self.start, self.end) = (0, buffer.filled().len());
        Poll::Ready(Ok(self.end))
    }

    /// Whether another request may go over it: nothing lies on the line that no request asked for, and it is not closed.
    pub(super) fn is_clean(&mut self) -> bool {
        let mut byte = [0];
        let looked =
            Pin::new(&mut self.stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut ReadBuf::new(&mut byte));
        self.start == self.end && looked.is_pending()
    }

    /// Gives back what a long head took, before it rests.
    pub(super) fn rest(&mut self) {
        if self.buffer.len() > BUFFER && self.start == self.end {
            self.buffer = vec![0; BUFFER].into();
            (self.start, self.end) = (0, 0);
        }
    }

    /// Passes over what is left of a body, as far as it was read ahead.
    pub(super) fn pass_over(&mut self, framing: &mut Framing) -> Result<(), FramingError> {
        while self.start < self.end {
            let ahead = &self.buffer[self.start..self.end];
            self.start += match framing.next() {
                BodyItem::End => return Ok(()),
                BodyItem::Words => framing.words(ahead)?,
                BodyItem::Data(most) => {
                    let bytes = usize::try_from(most).unwrap_or(usize::MAX).min(ahead.len());
                    framing.took(bytes as u64);
                    bytes
                }
            };
        }
        Ok(())
    }

    /// Whether bytes were read that are of no answer.
    pub(super) fn has_more(&self) -> bool {
        self.start < self.end
    }
}

/// So many bytes were read where bytes of the body were next.
fn took(framing: &mut Framing, bytes: usize) -> Result<usize, LineError> {
    if bytes == 0 {
        framing.closed()?;
    } else {
        framing.took(bytes as u64);
    }
    Ok(bytes)
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;

    fn with_buffer(len: usize) -> Connection {
        let mut connection = Connection::new(tokio::io::duplex(64).0);
        connection.buffer = vec![0; len].into();
        connection
    }

    #[test]
    fn what_a_long_head_took_is_given_back_when_nothing_is_in_it() {
        let mut connection = with_buffer(4 * BUFFER);
        (connection.start, connection.end) = (100, 200);
        connection.rest();
        assert_eq!(connection.buffer.len(), 4 * BUFFER, "bytes are left in it");
        connection.start = 200;
        connection.rest();
        assert_eq!((connection.buffer.len(), connection.start, connection.end), (BUFFER, 0, 0));
        let mut usual = with_buffer(BUFFER);
        let memory = usual.buffer.as_ptr();
        usual.rest();
        assert_eq!((usual.buffer.len(), usual.buffer.as_ptr()), (BUFFER, memory), "it stays as it is");
    }
}
