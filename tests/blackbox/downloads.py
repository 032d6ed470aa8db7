"""Many downloads at once, by clients that read as fast as they are told, while something is broken behind them."""

import hashlib
import http.client
import threading
import time
from collections.abc import Sequence

from catalogue import MIB, Object
from harness import Tidegate, open_stream
from waiting import until

_PIECE = 64 << 10


class Download(threading.Thread):
    """One client. `ending` is None while it runs, then `right`, `wrong`, `cut` or the status that was no 200."""

    def __init__(self, gate: Tidegate, thing: Object, pace: "Pace") -> None:
        super().__init__(name=f"download of {thing.key}", daemon=True)
        self.thing = thing
        self.received = 0
        self.ending: str | int | None = None
        self._gate = gate
        self._pace = pace

    def run(self) -> None:
        try:
            self.ending = self._read()
        except (http.client.HTTPException, OSError):
            self.ending = "cut"

    def _read(self) -> str | int:
        digest = hashlib.sha256()
        with open_stream("GET", self._gate.url + self.thing.path(), self.thing.key_headers, timeout=90) as response:
            if response.status != 200:
                return response.status
            assert response.length == len(self.thing.content), "the answer says how long it is"
            while piece := response.read(_PIECE):
                digest.update(piece)
                self.received += len(piece)
                self._pace.rest(len(piece))
        if self.received < len(self.thing.content):
            return "cut"
        return "right" if digest.digest() == hashlib.sha256(self.thing.content).digest() else "wrong"


class Pace:
    """Bytes per second that each client reads; None for as fast as they come."""

    def __init__(self, rate: float | None) -> None:
        self.rate = rate

    def rest(self, read: int) -> None:
        """Takes the time that reading so many bytes takes."""
        if (rate := self.rate) is not None:
            time.sleep(read / rate)


class Downloads:
    """Several of them, started at once."""

    def __init__(self, gate: Tidegate, things: Sequence[Object], rate: float | None = None) -> None:
        self.gate = gate
        self.things = things
        self.pace = Pace(rate)
        self.all = [Download(gate, thing, self.pace) for thing in things]
        self.size = sum(len(thing.content) for thing in things)
        self._fetched_before = gate.metrics().sum("tidegate_fetch_bytes_total")
        for download in self.all:
            download.start()

    def under_way(self, received: int = MIB) -> None:
        """Returns when every client has that many bytes. None has ended then, and not all is fetched."""
        until(lambda: all(one.received >= received or one.ending for one in self.all), "all have begun", timeout=30)
        self.in_the_middle()

    def in_the_middle(self) -> None:
        """Fails unless what happens now hits running downloads: each has bytes, none has ended, much is to be fetched."""
        assert [one.ending for one in self.all] == [None] * len(self.all)
        assert all(one.received for one in self.all)
        assert self.fetched() < 0.75 * self.size

    def fetched(self) -> float:
        """Bytes fetched from volume servers since the downloads began."""
        return self.gate.metrics().sum("tidegate_fetch_bytes_total") - self._fetched_before

    def endings(self, timeout: float = 60.0) -> list[str | int]:
        """How each ended, when all have; by then nothing is in flight or in memory any more."""
        until(lambda: all(one.ending for one in self.all), f"all have ended: {self}", timeout=timeout)
        metrics = self.gate.metrics
        until(lambda: metrics().sum("tidegate_fetches_in_flight") == 0, "no fetch is in flight")
        until(lambda: metrics().sum("tidegate_prefetch_buffer_bytes") == 0, "the buffers are given back")
        return [one.ending or "" for one in self.all]

    def all_right(self, timeout: float = 60.0) -> None:
        """Every download ends, whole and with the right SHA-256."""
        endings = self.endings(timeout)
        assert endings == ["right"] * len(self.all), f"{endings}: {self}"

    def __str__(self) -> str:
        return ", ".join(f"{one.thing.key} {one.received}/{len(one.thing.content)} {one.ending}" for one in self.all)
