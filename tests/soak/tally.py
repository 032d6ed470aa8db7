"""What a soak counts: requests and how they ended, under which fault; memory and descriptors of tidegate."""

import os
import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

CALM = "no fault"
AFTERWARDS = 5.0
"""Seconds after the last of two replicas came back in which what it was asked for before may still be cut."""
MEMORY_GROWS, DESCRIPTORS_GROW = (1.2, 16.0), (1.2, 40.0)
"""What counts as flat: at most that many times as much, and so many MiB or descriptors more."""


@dataclass
class Tally:
    """All counts, by many threads."""

    requests: Counter[str] = field(default_factory=Counter)
    """By kind of client."""
    failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Answers that were none of the wanted, and none at all: by what was broken when they were asked, and the status."""
    bytes: int = 0
    wrong: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    """Bodies that ended early while each chunk had a replica that lived."""
    cut_in_the_dark: int = 0
    """The same where none may have lived."""
    faults: Counter[str] = field(default_factory=Counter)
    fault: str = CALM
    _dark: list[tuple[float, float]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, fault: str, *, dark: bool) -> None:
        """A fault begins; `dark` where some chunks have no replica that lives."""
        with self._lock:
            self.fault = fault
            self.faults[fault] += 1
            if dark:
                self._dark.append((time.monotonic(), float("inf")))

    def end(self) -> None:
        """It is over."""
        with self._lock:
            self.fault = CALM
            if self._dark and self._dark[-1][1] == float("inf"):
                self._dark[-1] = (self._dark[-1][0], time.monotonic() + AFTERWARDS)

    def asked(self, kind: str) -> None:
        """A request goes out."""
        with self._lock:
            self.requests[kind] += 1

    def received(self, size: int) -> None:
        """Bytes that were compared and right."""
        with self._lock:
            self.bytes += size

    def refused(self, fault: str, kind: str, status: str) -> None:
        """An answer that is none of those wanted, to a client of this kind. Where nothing was broken when it asked, what
        broke since then counts."""
        with self._lock:
            self.failed[self.fault if fault == CALM else fault, f"{status} ({kind})"] += 1

    def is_wrong(self, what: str) -> None:
        """Bytes that are not those written."""
        with self._lock:
            self.wrong.append(what)

    def is_cut(self, what: str, begun: float) -> None:
        """A body that ended early, of a request that went out at `begun`."""
        with self._lock:
            if any(begun <= end and time.monotonic() >= begin for begin, end in self._dark):
                self.cut_in_the_dark += 1
            else:
                self.cut.append(f"{what} [{self.fault}]")


class Watch(threading.Thread):
    """Resident memory (MiB) and open descriptors of a process, once a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(name="watch", daemon=True)
        self.memory: list[float] = []
        self.descriptors: list[float] = []
        self._pid = pid
        self._warm = 0
        self._over = threading.Event()

    def run(self) -> None:
        """Samples until `stop`."""
        while not self._over.wait(1):
            pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
            self.memory.append(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20))
            self.descriptors.append(len(os.listdir(f"/proc/{self._pid}/fd")))

    def stop(self) -> None:
        """Ends it."""
        self._over.set()
        self.join()

    def warm(self) -> None:
        """What came before is not compared: caches and pools fill, and each fault takes what it takes once."""
        self._warm = len(self.memory)

    def flat(self) -> tuple[bool, list[str]]:
        """Whether the last third has no more than the first, and two lines for each of the two."""
        good, lines = True, []
        kinds = (("memory, MiB", self.memory, MEMORY_GROWS), ("descriptors", self.descriptors, DESCRIPTORS_GROW))
        for name, samples, (times, more) in kinds:
            samples = samples[self._warm :]
            third = max(1, len(samples) // 3)
            first, last = statistics.median(samples[:third]), statistics.median(samples[-third:])
            flat = last <= max(first * times, first + more)
            good = good and flat
            figures = f"first third {first:.0f}, last third {last:.0f}, peak {max(samples):.0f}"
            lines.append(f"{name:<22}{figures}: {'flat' if flat else 'NOT FLAT'}")
            tenths = [f"{samples[at * (len(samples) - 1) // 10]:.0f}" for at in range(11)]
            lines.append(f"  every tenth of the time {' '.join(tenths)}")
        return good, lines
