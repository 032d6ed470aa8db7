"""Clients that read files one after the other and compare what they get."""

import http.client
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .cluster import Front
from .payload import Payload
from .tidegate import Tidegate
from .wire import request


def small_files(front: Front, name: str, count: int, size: int) -> list[tuple[str, bytes]]:
    """Files of one chunk each, as the filer has taken them."""
    files = [(f"/{name}/{at}", Payload(f"{name}-{at}", size).bytes()) for at in range(count)]
    with ThreadPoolExecutor(16) as pool:
        written = set(pool.map(lambda file: request("PUT", front.filer.url + file[0], body=file[1]).status, files))
    assert written == {201}, f"the filer did not take the files: {written}"
    return files


@dataclass
class Readers:
    """They read, each on a connection of its own, until they are told to stop or have read all so many times."""

    gate: Tidegate
    files: Sequence[tuple[str, bytes]]
    rounds: int | None = None
    took: list[float] = field(default_factory=list)
    """Seconds of each read. Another list may take its place: a read stands in the one that was there when it began."""
    wrong: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def start(self, clients: int) -> "Readers":
        """Starts so many."""
        self._threads = [threading.Thread(target=self._read, args=(at,), daemon=True) for at in range(clients)]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Ends them, each after the read that it is at."""
        self._over.set()
        self.join()

    def join(self) -> None:
        """Returns when all are through."""
        for thread in self._threads:
            thread.join(timeout=120)
            assert not thread.is_alive(), "a read has no end"

    def _read(self, first: int) -> None:
        connection = http.client.HTTPConnection(urlsplit(self.gate.url).netloc, timeout=100)
        step = len(self._threads)
        at = first
        while not self._over.is_set() and (self.rounds is None or at < self.rounds * len(self.files)):
            path, content = self.files[at % len(self.files)]
            took, begin = self.took, time.monotonic()
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                if answer.read() != content or answer.status != 200:
                    self.wrong.append(f"{path}: {answer.status}")
            except (http.client.HTTPException, OSError) as error:
                self.wrong.append(f"{path}: {error!r}")
                connection.close()
            took.append(time.monotonic() - begin)
            at += step
