"""Who goes first where a volume server has no more to give."""

import subprocess
import threading
import time
from contextlib import contextmanager
from collections.abc import Iterator

import pytest
from catalogue import MIB, Catalogue, Object
from conftest import StartTidegate
from expect import read, same_bytes
from harness import Encryption, Tidegate
from pairs import Breakable
from waiting import until

RATE = 100e6
"""Bytes per second of the line to the volume server."""
READS = 200
ROUNDS = 3
"""A busy machine may spoil two of them. Behind large downloads small reads would be late in each."""
BLINK = 0.015
"""Seconds that a read may take on a busy machine whatever is done for it: shorter times are not told apart."""


def percentile_99(gate: Tidegate, thing: Object) -> float:
    """Of the seconds that one read after the other takes."""
    times = []
    for _ in range(READS):
        started = time.monotonic()
        answer = read(gate, thing)
        times.append(time.monotonic() - started)
        same_bytes(answer.body, thing.content)
    return sorted(times)[READS * 99 // 100 - 1]


@contextmanager
def downloaded_again_and_again(gate: Tidegate, things: list[Object]) -> Iterator[None]:
    """Downloads each of the objects without end."""
    done = threading.Event()
    running: set[subprocess.Popen[bytes]] = set()

    def download(thing: Object) -> None:
        while not done.is_set():
            curl = subprocess.Popen(["curl", "-sf", "-o", "/dev/null", gate.url + thing.path()])
            running.add(curl)
            curl.wait()
            running.discard(curl)

    threads = [threading.Thread(target=download, args=[thing]) for thing in things]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for curl in list(running):
            curl.kill()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("per_server", [4, 16])
def test_small_reads_do_not_wait_behind_what_lies_ahead_of_large_downloads(
    lone: Breakable, objects: Catalogue, start_tidegate: StartTidegate, per_server: int
) -> None:
    front = lone.fronts[4]
    large = [objects.sized(front, Encryption.NONE, 64 * MIB, f"large-{number}") for number in range(2)]
    small = objects.sized(front, Encryption.NONE, 4096, "small")
    gate = start_tidegate(front, {"prefetch": {"per_server": per_server}})
    for line in lone.lines:
        line.rate = RATE
    for _ in range(ROUNDS):
        alone = percentile_99(gate, small)
        before = gate.metrics().sum("tidegate_fetch_bytes_total")
        with downloaded_again_and_again(gate, large):
            until(
                lambda: gate.metrics().sum("tidegate_fetch_bytes_total") > before + 32 * MIB,
                "the large downloads are under way",
            )
            beside = percentile_99(gate, small)
        print(f"p99 alone {alone * 1e3:.1f} ms, beside {beside * 1e3:.1f} ms")
        if beside <= 3 * max(alone, BLINK):
            break
    assert beside <= 3 * max(alone, BLINK), (alone, beside)
