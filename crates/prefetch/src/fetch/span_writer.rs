//! Where the bytes of a fetch go: decoded in the copy into blocks that were reserved for them, and passed on when full.

use crate::{
    Decode, FetchError,
    budget::{Block, Reservation},
    handover::{Part, Sender},
};

/// The fetch's way to its download.
pub(crate) struct SpanWriter {
    reservation: Reservation,
    /// Blocks that were filled, taken back and can be filled again.
    spare: Vec<Block>,
    block: Option<Block>,
    /// Blocks that are full, where nothing may be passed on before the end.
    withheld: Option<Vec<Block>>,
    /// Bytes of the span, and how many were not copied yet.
    span: u64,
    left: u64,
    sender: Sender,
}

impl SpanWriter {
    /// For a span of that many bytes, which `reservation` covers. With `withhold`, nothing is passed on before the end.
    pub(crate) fn new(span: u64, withhold: bool, reservation: Reservation, sender: Sender) -> Self {
        let withheld = withhold.then(Vec::new);
        Self { reservation, spare: Vec::new(), block: None, withheld, span, left: span, sender }
    }

    /// Resolves when the client waits and there is something to pass on.
    pub(crate) async fn wanted(&self) {
        if self.withheld.is_some()
            || self.left == 0
            || self.block.as_ref().is_none_or(|block| block.filled().is_empty())
        {
            return std::future::pending().await;
        }
        self.sender.handover.hungry().await;
    }

    /// Copies bytes in. A block that is full is passed on, except the last one: see [`SpanWriter::finish`].
    pub(crate) fn copy(&mut self, mut data: &[u8], mut decoder: Option<&mut (dyn Decode + 'static)>) {
        while !data.is_empty() {
            let block = self.block.get_or_insert_with(|| {
                let mut block = self.spare.pop().unwrap_or_else(|| self.reservation.block());
                block.clear();
                block
            });
            let spare = block.spare();
            let bytes = spare.len().min(data.len());
            let (now, rest) = data.split_at(bytes);
            match &mut decoder {
                Some(decoder) => decoder.copy(now, &mut spare[..bytes]),
                None => spare[..bytes].copy_from_slice(now),
            }
            block.advance(bytes);
            self.left -= bytes as u64;
            data = rest;
            if block.spare().is_empty() && self.left > 0 {
                self.flush();
            }
        }
    }

    /// Passes on what the block holds, before the end of the span. One that is not full goes if there is a block to go on
    /// with; else its bytes go when it is.
    pub(crate) fn flush(&mut self) {
        let Some(mut block) = self.block.take_if(|block| !block.filled().is_empty()) else { return };
        if let Some(withheld) = &mut self.withheld {
            return withheld.push(block);
        }
        if !block.spare().is_empty() {
            self.block = self.spare.pop().or_else(|| self.reservation.one_more());
            let Some(next) = &mut self.block else {
                self.block = Some(block);
                return;
            };
            next.clear();
        }
        self.sender.handover.push(Part::Block(block));
    }

    /// Passes on the last piece, and what was withheld before it.
    pub(crate) fn finish(&mut self) {
        for block in self.withheld.iter_mut().flat_map(|withheld| withheld.drain(..)) {
            self.sender.handover.push(Part::Block(block));
        }
        if let Some(block) = self.block.take_if(|block| !block.filled().is_empty()) {
            self.sender.handover.push(Part::Block(block));
        }
    }

    /// Takes everything back, to begin anew; `false`: some bytes are out already.
    pub(crate) fn take_back(&mut self) -> bool {
        let Some(blocks) = self.sender.handover.take_back() else { return false };
        self.spare.extend(blocks);
        self.spare.extend(self.withheld.iter_mut().flat_map(|withheld| withheld.drain(..)));
        self.spare.extend(self.block.take());
        self.left = self.span;
        true
    }

    /// Says how the fetch ended.
    pub(crate) fn end(self, result: Result<(), FetchError>) {
        self.sender.end(result);
    }
}
