"""A TCP relay that stands for distance and for bad lines: it holds bytes back, counts, remembers, cuts, and flips bits.

A volume server is reached at the address it announces. To get in between, the server announces a loopback address
that this relay listens on and binds another one itself (all of 127.0.0.0/8 is loopback on Linux).
"""

import queue
import random
import socket
import threading
import time
from dataclasses import dataclass, field

from .flip import BodyFlipper

_PIECE = 64 << 10
_BURST = 0.01
"""Seconds that a line of a certain rate may have been idle and then go faster."""


@dataclass
class Behaviour:
    """What the relay does to bytes. May be changed while it runs; counts are of both directions' names."""

    delay: float = 0.0
    """Seconds that every piece is held back, in each direction."""
    cut_after: int | None = None
    """Bytes towards the client after which a connection is dropped."""
    cut_between: tuple[int, int] | None = None
    """The same, after a random number of bytes between these, another for each connection."""
    pace: float | None = None
    """Bytes per second towards the client, of each connection. What is above waits at its sender."""
    rate: float | None = None
    """Bytes per second towards clients of all connections together, a piece of each in turn."""
    flip: bool = False
    """Whether to change one bit in the middle of each HTTP body towards the client, small ones excepted."""
    remember: bool = False
    """Whether to keep what clients sent."""
    sent_by_clients: bytearray = field(default_factory=bytearray)
    """What clients sent, over all connections, while `remember` was set."""
    passed: int = 0
    """Bytes towards clients, over all connections."""
    _turns: threading.Lock = field(default_factory=threading.Lock)
    _free_at: float = 0.0

    def calm(self) -> None:
        """Hands everything on as it comes again, and counts from 0."""
        self.delay, self.cut_after, self.cut_between, self.pace, self.flip = 0.0, None, None, None, False
        self.rate = None
        self.passed = 0


    def wait_for_turn(self, size: int) -> None:
        """Waits until `size` bytes more may pass within the rate. A wait that was too long is made up for."""
        if self.rate is None:
            return
        with self._turns:
            self._free_at = max(self._free_at, time.monotonic() - _BURST) + size / self.rate
            due = self._free_at
        time.sleep(max(0.0, due - time.monotonic()))


class Relay:
    """Listens on one address and hands everything on to another."""

    def __init__(self, listen: tuple[str, int], target: tuple[str, int], behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self._target = target
        self._open: set[socket.socket] = set()
        self._frozen: set[socket.socket] = set()
        self._stopped = threading.Event()
        self._listen(listen)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._socket.getsockname()[1]

    @classmethod
    def before(cls, address: str, behaviour: Behaviour | None = None) -> "Relay":
        """One on a free port, which hands everything on to `host:port`."""
        host, _, port = address.rpartition(":")
        return cls(("127.0.0.1", 0), (host, int(port)), behaviour)

    def stop(self) -> None:
        """Takes no more connections. Those that are open end with their peers."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept, which closing does not
        except OSError:
            pass
        self._socket.close()
        self._stopped.set()

    def drop(self) -> None:
        """Takes no more connections, and ends those that are open at once: the machine behind it is gone."""
        self._address = self._socket.getsockname()
        self.stop()
        for end in list(self._open):
            _shut(end)

    def resume(self) -> None:
        """Listens again after `drop`."""
        self._listen(self._address)

    def freeze(self) -> int:
        """Hands nothing on any more over the connections that are open, and does not say so: the machine behind it went
        without a word. New ones are served. Answers how many stand still now."""
        self._frozen |= self._open
        return len(self._open) // 2

    def _listen(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_server(address, backlog=128)
        threading.Thread(target=self._accept, args=(self._socket,), name="relay", daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open.add(end)
            self._spawn(client, server, towards_client=False)
            self._spawn(server, client, towards_client=True)

    def _spawn(self, source: socket.socket, sink: socket.socket, *, towards_client: bool) -> None:
        pieces: queue.Queue[tuple[float, bytes]] = queue.Queue(maxsize=256)
        threading.Thread(target=self._read, args=(source, sink, pieces, towards_client), daemon=True).start()
        threading.Thread(target=self._write, args=(sink, source, pieces), daemon=True).start()

    def _read(
        self,
        source: socket.socket,
        sink: socket.socket,
        pieces: "queue.Queue[tuple[float, bytes]]",
        towards_client: bool,
    ) -> None:
        passed = 0
        cut: int | None = None
        flipper = BodyFlipper()
        while True:
            try:
                piece = source.recv(_PIECE)
            except OSError:
                piece = b""
            if source in self._frozen:
                self._stopped.wait()
                return
            behaviour = self.behaviour
            if behaviour.remember and not towards_client:
                behaviour.sent_by_clients += piece
            if towards_client:
                piece = flipper.feed(piece, flip=behaviour.flip)
                if behaviour.cut_between is None:
                    cut = behaviour.cut_after
                elif cut is None:
                    cut = passed + random.randint(*behaviour.cut_between)
                behaviour.passed += len(piece)
                passed += len(piece)
                if cut is not None and passed > cut:
                    keep = max(0, len(piece) - (passed - cut))
                    pieces.put((time.monotonic(), piece[:keep]))
                    piece = b""
            pieces.put((time.monotonic() + behaviour.delay, piece))
            if not piece:
                return
            if towards_client:
                behaviour.wait_for_turn(len(piece))
            if towards_client and behaviour.pace is not None:
                time.sleep(len(piece) / behaviour.pace)

    def _write(self, sink: socket.socket, source: socket.socket, pieces: "queue.Queue[tuple[float, bytes]]") -> None:
        """Sends each piece at its time. The empty piece, or a peer that is gone, ends the connection both ways."""
        while True:
            due, piece = pieces.get()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if not piece:
                    break
                sink.sendall(piece)
            except OSError:
                break
        for end in (sink, source):
            _shut(end)
            self._open.discard(end)
        for end in (sink, source):
            end.close()


def _shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
