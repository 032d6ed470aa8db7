//! Lines on their way to a writer that may be slow, such as a terminal, a pipe or a full disk. Nobody waits for it.
//!
//! Knows how much may wait, and what became of it. Must not know what the lines say.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus::IntCounter;

/// A buffer that was larger than this once, bytes, is given back.
const KEPT: usize = 64 << 10;

/// Takes lines and has a thread write them, in their order. What finds no room is lost, and counted. Clones are the same spool,
/// whose thread ends with the last of them, when all is written.
#[derive(Clone)]
pub(crate) struct Spool(Arc<Producer>);

/// Whoever may still bring lines.
struct Producer(Arc<Queue>);

struct Queue {
    state: Mutex<State>,
    came: Condvar,
    gone: Condvar,
    /// Most bytes that wait; as many may be in the writer's hands.
    room: usize,
    lost: IntCounter,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    lines: u64,
    /// Bytes that were taken since the start, and those that the writer is done with.
    taken: u64,
    done: u64,
    /// Nothing comes any more.
    closed: bool,
}

impl Spool {
    /// Has a thread of this `name` write to `writer` what comes. `room`: the most that waits, bytes. Lines for which there is no
    /// room, or that cannot be written, are counted in `lost`.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(crate) fn start(
        name: &str,
        writer: impl Write + Send + 'static,
        room: usize,
        lost: IntCounter,
    ) -> io::Result<Self> {
        let state = Mutex::new(State::default());
        let shared = Arc::new(Queue { state, came: Condvar::new(), gone: Condvar::new(), room, lost });
        let writing = Arc::clone(&shared);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || writing.write_to(writer))?;
        Ok(Self(Arc::new(Producer(shared))))
    }

    /// Takes one line, with its line break, or loses it.
    pub(crate) fn push(&self, line: &[u8]) {
        let shared = &self.0.0;
        let mut state = shared.state();
        if line.len() > shared.room - state.waiting.len() {
            shared.lost.inc();
            return;
        }
        state.waiting.extend_from_slice(line);
        state.lines += 1;
        state.taken += line.len() as u64;
        drop(state);
        shared.came.notify_one();
    }

    /// Waits until all that was taken is written, for `patience` at most.
    pub(crate) fn flush(&self, patience: Duration) {
        let shared = &self.0.0;
        let state = shared.state();
        let taken = state.taken;
        let waited = shared.gone.wait_timeout_while(state, patience, |state| state.done < taken);
        drop(waited);
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.came.notify_one();
    }
}

impl Queue {
    /// No code that could panic runs under the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut writer: impl Write) {
        let mut batch = Vec::new();
        loop {
            let waited = self.came.wait_while(self.state(), |state| state.waiting.is_empty() && !state.closed);
            let mut state = waited.unwrap_or_else(PoisonError::into_inner);
            if state.waiting.is_empty() {
                return;
            }
            std::mem::swap(&mut batch, &mut state.waiting);
            let lines = std::mem::take(&mut state.lines);
            drop(state);
            if writer.write_all(&batch).and_then(|()| writer.flush()).is_err() {
                self.lost.inc_by(lines);
            }
            self.state().done += batch.len() as u64;
            self.gone.notify_all();
            batch.clear();
            batch.shrink_to(KEPT);
        }
    }
}

/// Each write is a line.
impl Write for Spool {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Says what it is given, and takes it when it is told to.
    struct Slow {
        given: mpsc::Sender<Vec<u8>>,
        go_on: mpsc::Receiver<io::Result<()>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.given.send(bytes.to_vec());
            self.go_on.recv().unwrap_or(Ok(())).map(|()| bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow(room: usize) -> (Spool, mpsc::Receiver<Vec<u8>>, mpsc::Sender<io::Result<()>>, IntCounter) {
        let ((given, seen), (let_go, go_on)) = (mpsc::channel(), mpsc::channel());
        let lost = IntCounter::new("lost", "lost").unwrap();
        let spool = Spool::start("test", Slow { given, go_on }, room, lost.clone()).unwrap();
        (spool, seen, let_go, lost)
    }

    #[test]
    fn what_finds_no_room_is_lost_and_counted_and_nobody_waits() {
        let (spool, seen, let_go, lost) = slow(8);
        spool.push(b"first\n");
        assert_eq!(seen.recv_timeout(LONG).unwrap(), b"first\n");
        for line in ["a\n", "too long a line\n", "bcd\n", "ef\n", "g\n", "h\n"] {
            spool.push(line.as_bytes());
        }
        assert_eq!(lost.get(), 3, "the long one, the third that fits no more, and the last");
        let_go.send(Ok(())).unwrap();
        assert_eq!(seen.recv_timeout(LONG).unwrap(), b"a\nbcd\ng\n");
        let_go.send(Ok(())).unwrap();
        spool.flush(LONG);
        spool.push(b"again\n");
        assert_eq!(seen.recv_timeout(LONG).unwrap(), b"again\n");
        assert_eq!(lost.get(), 3);
    }

    #[test]
    fn what_cannot_be_written_is_counted_by_lines_and_the_next_is_tried() {
        let (spool, seen, let_go, lost) = slow(100);
        spool.push(b"first\n");
        seen.recv_timeout(LONG).unwrap();
        spool.push(b"a\n");
        spool.push(b"b\n");
        let_go.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        assert_eq!(seen.recv_timeout(LONG).unwrap(), b"a\nb\n");
        let_go.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        spool.flush(LONG);
        assert_eq!(lost.get(), 3);
        spool.push(b"c\n");
        assert_eq!(seen.recv_timeout(LONG).unwrap(), b"c\n");
    }

    #[test]
    fn the_thread_ends_when_nobody_brings_lines_any_more_and_all_is_written() {
        let (spool, seen, let_go, _) = slow(100);
        let other = spool.clone();
        spool.push(b"first\n");
        seen.recv_timeout(LONG).unwrap();
        drop(spool);
        other.push(b"last\n");
        drop(other);
        let_go.send(Ok(())).unwrap();
        assert_eq!(seen.recv_timeout(LONG).unwrap(), b"last\n");
        let_go.send(Ok(())).unwrap();
        assert_eq!(seen.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn a_flush_waits_for_what_was_taken_and_no_longer_than_it_may() {
        let (spool, seen, let_go, _) = slow(100);
        spool.push(b"first\n");
        spool.flush(Duration::ZERO);
        seen.recv_timeout(LONG).unwrap();
        spool.push(b"second\n");
        let_go.send(Ok(())).unwrap();
        let_go.send(Ok(())).unwrap();
        spool.flush(LONG);
        assert_eq!(seen.try_recv().unwrap(), b"second\n");
    }
}
