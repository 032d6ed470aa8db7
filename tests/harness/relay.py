"""A TCP relay that stands for distance and for bad lines: it holds bytes back, counts, remembers, and cuts.

A volume server is reached at the address it announces. To get in between, the server announces a loopback address
that this relay listens on and binds another one itself (all of 127.0.0.0/8 is loopback on Linux).
"""

import queue
import socket
import threading
import time
from dataclasses import dataclass, field

_PIECE = 64 << 10


@dataclass
class Behaviour:
    """What the relay does to bytes. May be changed while it runs; counts are of both directions' names."""

    delay: float = 0.0
    """Seconds that every piece is held back, in each direction."""
    cut_after: int | None = None
    """Bytes towards the client after which a connection is dropped."""
    remember: bool = False
    """Whether to keep what clients sent."""
    sent_by_clients: bytearray = field(default_factory=bytearray)
    """What clients sent, over all connections, while `remember` was set."""


class Relay:
    """Listens on one address and hands everything on to another."""

    def __init__(self, listen: tuple[str, int], target: tuple[str, int], behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self._target = target
        self._socket = socket.create_server(listen, backlog=128)
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._socket.getsockname()[1]

    def stop(self) -> None:
        """Takes no more connections. Those that are open end with their peers."""
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                if self._socket.fileno() < 0:
                    return
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._spawn(client, server, towards_client=False)
            self._spawn(server, client, towards_client=True)

    def _spawn(self, source: socket.socket, sink: socket.socket, *, towards_client: bool) -> None:
        pieces: queue.Queue[tuple[float, bytes]] = queue.Queue(maxsize=256)
        threading.Thread(target=self._read, args=(source, sink, pieces, towards_client), daemon=True).start()
        threading.Thread(target=_write, args=(sink, source, pieces), daemon=True).start()

    def _read(
        self,
        source: socket.socket,
        sink: socket.socket,
        pieces: "queue.Queue[tuple[float, bytes]]",
        towards_client: bool,
    ) -> None:
        passed = 0
        while True:
            try:
                piece = source.recv(_PIECE)
            except OSError:
                piece = b""
            behaviour = self.behaviour
            if behaviour.remember and not towards_client:
                behaviour.sent_by_clients += piece
            passed += len(piece)
            if towards_client and behaviour.cut_after is not None and passed > behaviour.cut_after:
                keep = max(0, len(piece) - (passed - behaviour.cut_after))
                pieces.put((time.monotonic(), piece[:keep]))
                piece = b""
            pieces.put((time.monotonic() + behaviour.delay, piece))
            if not piece:
                return


def _write(sink: socket.socket, source: socket.socket, pieces: "queue.Queue[tuple[float, bytes]]") -> None:
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
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
    for end in (sink, source):
        end.close()
