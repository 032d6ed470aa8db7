//! Where the bytes of a fetch go: read and decoded in blocks that were reserved for them, and passed on when full.

use std::{collections::VecDeque, io::IoSliceMut, sync::Arc};

use crate::{
    Decode, FetchError,
    budget::{BLOCK, Block, Reservation},
    crc,
    handover::{Handover, Part, Sender},
};

/// Bytes that are read at once, where they are here: each time costs a call of the system, and a word to the other side.
const AT_ONCE: usize = 4 * BLOCK;
/// Blocks that so many bytes lie in, where they begin in the middle of one.
const SLICES: usize = AT_ONCE / BLOCK + 1;

/// The fetch's way to its download.
pub(crate) struct SpanWriter {
    reservation: Reservation,
    /// Blocks that were filled, taken back and can be filled again.
    spare: Vec<Block>,
    /// Blocks that are being filled, in order. None of them is full, and bytes are in the first alone.
    filling: VecDeque<Block>,
    /// Blocks that are full, where nothing may be passed on before the end.
    withheld: Option<Vec<Block>>,
    /// Bytes of the span, and how many were not taken yet.
    span: u64,
    left: u64,
    sender: Sender,
}

impl SpanWriter {
    /// For a span of that many bytes, which `reservation` covers. With `withhold`, nothing is passed on before the end.
    pub(crate) fn new(span: u64, withhold: bool, reservation: Reservation, sender: Sender) -> Self {
        let withheld = withhold.then(Vec::new);
        let (spare, filling) = (Vec::new(), VecDeque::with_capacity(SLICES));
        Self { reservation, spare, filling, withheld, span, left: span, sender }
    }

    /// Bytes of the span.
    pub(crate) fn len(&self) -> u64 {
        self.span
    }

    /// Where the client waits, if there is something that could be passed on.
    pub(crate) fn wanted(&self) -> Option<Arc<Handover>> {
        let has_some = self.filling.front().is_some_and(|block| !block.filled().is_empty());
        (has_some && self.withheld.is_none() && self.left > 0).then(|| Arc::clone(&self.sender.handover))
    }

    /// Where the next bytes of the span are wanted, `most` at most. The first slice has room where more are to come.
    pub(crate) fn spare(&mut self, most: usize) -> [IoSliceMut<'_>; SLICES] {
        let mut most = most.min(AT_ONCE).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let mut room: usize = self.filling.iter_mut().map(|block| block.spare().len()).sum();
        while room < most {
            let mut block = self.spare.pop().unwrap_or_else(|| self.reservation.block());
            block.clear();
            room += block.spare().len();
            self.filling.push_back(block);
        }
        let mut blocks = self.filling.iter_mut();
        std::array::from_fn(|_| {
            let spare = blocks.next().map(Block::spare).unwrap_or_default();
            let bytes = spare.len().min(most);
            most -= bytes;
            IoSliceMut::new(&mut spare[..bytes])
        })
    }

    /// Takes over as many bytes as were written there. A block that is full is passed on, except the last one: see
    /// [`SpanWriter::finish`]. The CRC-32C of what was written, behind `crc`.
    pub(crate) fn take(
        &mut self,
        mut bytes: usize,
        mut crc: u32,
        mut decoder: Option<&mut (dyn Decode + 'static)>,
    ) -> u32 {
        while bytes > 0
            && let Some(block) = self.filling.front_mut()
        {
            let spare = block.spare();
            let now = spare.len().min(bytes);
            crc = crc::append(crc, &spare[..now]);
            if let Some(decoder) = &mut decoder {
                decoder.apply(&mut spare[..now]);
            }
            self.advance(now);
            bytes -= now;
        }
        crc
    }

    /// Copies bytes in.
    pub(crate) fn copy(&mut self, mut data: &[u8], mut decoder: Option<&mut (dyn Decode + 'static)>) {
        while !data.is_empty() {
            let [spare, ..] = &mut self.spare(data.len());
            if spare.is_empty() {
                return;
            }
            let (now, rest) = data.split_at(spare.len());
            match &mut decoder {
                Some(decoder) => decoder.copy(now, spare),
                None => spare.copy_from_slice(now),
            }
            data = rest;
            self.advance(now.len());
        }
    }

    /// So many bytes more are in the first block.
    fn advance(&mut self, bytes: usize) {
        let Some(block) = self.filling.front_mut() else { return };
        self.left -= bytes as u64;
        block.advance(bytes);
        if block.spare().is_empty() && self.left > 0 {
            self.flush();
        }
    }

    /// Passes on what the first block holds, before the end of the span. One that is not full goes if there is a block to go
    /// on with; else its bytes go when it is.
    pub(crate) fn flush(&mut self) {
        let Some(block) = self.first() else { return };
        if let Some(withheld) = &mut self.withheld {
            return withheld.push(block);
        }
        // What is not filled of it is missed at the end.
        if self.room() < self.left {
            let Some(next) = self.reservation.one_more() else { return self.filling.push_front(block) };
            self.spare.push(next);
        }
        self.sender.handover.push(Part::Block(block));
    }

    /// Takes the first block, if something is in it.
    fn first(&mut self) -> Option<Block> {
        self.filling.front().filter(|block| !block.filled().is_empty())?;
        self.filling.pop_front()
    }

    /// Bytes for which there is memory.
    fn room(&mut self) -> u64 {
        let blocks = self.spare.len() + self.reservation.blocks();
        let filling: usize = self.filling.iter_mut().map(|block| block.spare().len()).sum();
        (blocks * BLOCK + filling) as u64
    }

    /// Passes on the last piece, and what was withheld before it.
    pub(crate) fn finish(&mut self) {
        for block in self.withheld.iter_mut().flat_map(|withheld| withheld.drain(..)) {
            self.sender.handover.push(Part::Block(block));
        }
        if let Some(block) = self.first() {
            self.sender.handover.push(Part::Block(block));
        }
    }

    /// Takes everything back, to begin anew; `false`: some bytes are out already.
    pub(crate) fn take_back(&mut self) -> bool {
        let Some(blocks) = self.sender.handover.take_back() else { return false };
        self.spare.extend(blocks);
        self.spare.extend(self.withheld.iter_mut().flat_map(|withheld| withheld.drain(..)));
        self.spare.extend(self.filling.drain(..));
        self.left = self.span;
        true
    }

    /// Says how the fetch ended.
    pub(crate) fn end(self, result: Result<(), FetchError>) {
        self.sender.end(result);
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use std::task::{Context, Poll, Waker};

    use prometheus::Registry;

    use super::*;
    use crate::{
        Metrics, Share,
        budget::Budget,
        handover::{HandoverItem, RunningFetches},
        urgency::Urgency,
    };

    const SPAN: usize = 6 * BLOCK + 100;

    /// A writer of so many bytes, and the memory that it is in.
    async fn writer_of(span: usize, withhold: bool) -> (SpanWriter, Arc<Handover>, Arc<Budget>) {
        let budget = Budget::new(64 * BLOCK as u64, 0, &Metrics::register(&Registry::new()).unwrap());
        let account = budget.admit(&Share::default()).await;
        let blocks = span.div_ceil(BLOCK);
        let memory = Reservation::take(&account, blocks, blocks, Urgency::Ahead).unwrap();
        let handover = Arc::new(Handover::default());
        let sender = Sender::new(Arc::clone(&handover), "3,01".into(), Arc::new(RunningFetches::default()));
        (SpanWriter::new(span as u64, withhold, memory, sender), handover, budget)
    }

    async fn writer() -> (SpanWriter, Arc<Handover>) {
        let (writer, handover, _) = writer_of(SPAN, false).await;
        (writer, handover)
    }

    /// Writes bytes in pieces, as a body gives them.
    fn write(writer: &mut SpanWriter, mut bytes: &[u8], piece: usize) -> u32 {
        let mut crc = 0;
        while !bytes.is_empty() {
            let mut here = 0;
            for mut slice in writer.spare(bytes.len().min(piece)) {
                let (now, rest) = bytes.split_at(slice.len());
                slice.copy_from_slice(now);
                (bytes, here) = (rest, here + now.len());
            }
            assert!(here > 0, "there is room");
            crc = writer.take(here, crc, None);
        }
        crc
    }

    fn passed_on(handover: &Handover) -> Vec<u8> {
        let mut all = Vec::new();
        while let Poll::Ready(HandoverItem::Bytes(bytes)) = handover.poll(&mut Context::from_waker(Waker::noop())) {
            all.extend_from_slice(&bytes);
        }
        all
    }

    #[tokio::test]
    async fn what_is_read_into_several_blocks_comes_out_in_order() {
        let bytes: Vec<u8> = (0..SPAN).map(|at| (at / 7) as u8).collect();
        for piece in [1000, BLOCK - 1, BLOCK, 3 * BLOCK + 5, SPAN] {
            let (mut writer, handover) = writer().await;
            assert_eq!(write(&mut writer, &bytes, piece), crc32c::crc32c(&bytes));
            writer.finish();
            assert!(passed_on(&handover) == bytes, "{piece}");
        }
    }

    /// The rest of a block that went out early was missed at the end.
    #[tokio::test]
    async fn a_span_that_was_taken_back_has_memory_for_its_end_when_a_part_goes_out_early() {
        let bytes: Vec<u8> = (0..SPAN).map(|at| (at / 7) as u8).collect();
        let (mut writer, handover) = writer().await;
        write(&mut writer, &bytes, BLOCK);
        assert!(writer.take_back());
        write(&mut writer, &bytes[..500], 500);
        writer.flush();
        let mut all = passed_on(&handover);
        assert_eq!(all.len(), 500, "it went out");
        write(&mut writer, &bytes[500..], SPAN);
        writer.finish();
        all.extend(passed_on(&handover));
        assert!(all == bytes);
    }

    /// It is checked before it goes.
    #[tokio::test]
    async fn the_last_block_waits_for_the_end_of_the_span_even_when_it_is_full() {
        let (mut writer, handover, _) = writer_of(2 * BLOCK, false).await;
        write(&mut writer, &[7; 2 * BLOCK], BLOCK);
        assert_eq!(passed_on(&handover).len(), BLOCK);
        writer.finish();
        assert_eq!(passed_on(&handover).len(), BLOCK);
    }

    #[tokio::test]
    async fn nothing_is_passed_on_before_a_block_is_full_unless_it_is_asked_for() {
        let (mut writer, handover, _) = writer_of(SPAN, false).await;
        write(&mut writer, &[7; BLOCK - 1], 1000);
        assert!(passed_on(&handover).is_empty());
        write(&mut writer, &[7], 1);
        assert_eq!(passed_on(&handover).len(), BLOCK);
    }

    #[tokio::test]
    async fn the_client_is_asked_whether_it_waits_where_there_is_something_to_give_before_the_end() {
        let (mut writer, _, _) = writer_of(2000, false).await;
        assert!(writer.wanted().is_none(), "nothing has come");
        write(&mut writer, &[7; 1000], 1000);
        assert!(writer.wanted().is_some());
        write(&mut writer, &[7; 1000], 1000);
        assert!(writer.wanted().is_none(), "the rest goes when it is checked");

        let (mut writer, _, _) = writer_of(2000, true).await;
        write(&mut writer, &[7; 1000], 1000);
        assert!(writer.wanted().is_none(), "nothing is given before all is checked");
    }

    /// How many blocks more a writer takes to pass on a part, which is what it has got of `size` bytes. `blocks`: those that it
    /// filled and took back before. `ahead`: the bytes that it was ready to read.
    async fn taken_for_a_part(size: usize, blocks: usize, ahead: usize) -> usize {
        let (mut writer, handover, budget) = writer_of(SPAN, false).await;
        write(&mut writer, &vec![7; blocks * BLOCK], BLOCK);
        assert!(writer.take_back());
        writer.spare(ahead);
        writer.take(size, 0, None);
        let free = budget.free();
        writer.flush();
        let taken = free - budget.free();
        assert_eq!(passed_on(&handover).len(), size);
        write(&mut writer, &vec![7; SPAN - size], BLOCK);
        writer.finish();
        assert_eq!(passed_on(&handover).len(), SPAN - size);
        taken
    }

    #[tokio::test]
    async fn a_part_that_goes_out_early_takes_a_block_more_only_where_the_rest_would_not_fit() {
        // What the span does not fill of its last block is what a part may leave of its own.
        for blocks in 0..=6 {
            for ahead in [BLOCK, 2 * BLOCK, 4 * BLOCK] {
                assert_eq!(taken_for_a_part(100, blocks, ahead).await, 0, "{blocks} {ahead}");
                assert_eq!(taken_for_a_part(99, blocks, ahead).await, 1, "{blocks} {ahead}");
            }
        }
    }
}
