"""Small chunks that are asked for often stay in memory, whatever passes by."""

from collections.abc import Callable

import pytest
from conftest import StartTidegate
from harness import Front, Payload, Tidegate, request
from harness.wire import open_stream

MIB = 1 << 20
HOT = "/hot-chunk"
STREAM = "/stream-of-chunks"
CONTENT = Payload("hot", 4096).bytes()
STREAMED = 256
"""Chunks of 1 MiB, each of which could be kept: four times the memory that there is for them."""


def asked(gate: Tidegate, outcome: str) -> float:
    """How often a chunk was looked for in memory, with that outcome."""
    return gate.metrics().sum("tidegate_cache_requests_total", cache="chunks", outcome=outcome)


@pytest.fixture(scope="module")
def front(front_1mb: Front) -> Front:
    """A filer with the two files on it."""
    piece = Payload("stream", MIB).bytes()
    assert request("PUT", front_1mb.filer.url + HOT, body=CONTENT).status == 201
    length = {"Content-Length": str(STREAMED * MIB), "Content-Type": "application/octet-stream"}
    assert request("PUT", front_1mb.filer.url + STREAM, length, (piece for _ in range(STREAMED))).status == 201
    return front_1mb


@pytest.fixture
def gate(front: Front, start_tidegate: StartTidegate) -> Tidegate:
    """A tidegate that keeps a quarter of the stream at most."""
    return start_tidegate(front, {"cache": {"chunks": "64MiB"}})


def is_a_hit(gate: Tidegate) -> bool:
    """Reads the small file; says whether its bytes came from memory."""
    before = asked(gate, "hit"), asked(gate, "miss")
    assert request("GET", gate.url + HOT).body == CONTENT
    hits, misses = asked(gate, "hit") - before[0], asked(gate, "miss") - before[1]
    assert hits + misses == 1
    return hits == 1


def stream(gate: Tidegate, meanwhile: Callable[[int], None] = lambda at: None) -> None:
    """Reads the large file, and does something else after each MiB. All of its chunks are candidates for memory."""
    before, received = asked(gate, "miss") + asked(gate, "hit"), 0
    with open_stream("GET", gate.url + STREAM) as response:
        while got := response.read(MIB):
            received += len(got)
            meanwhile(received // MIB)
    assert received == STREAMED * MIB
    assert asked(gate, "miss") + asked(gate, "hit") >= before + STREAMED


def test_a_big_stream_does_not_flush_what_was_hot(gate: Tidegate) -> None:
    """Nobody asks for the small file while the stream passes; that it was asked for often before is enough."""
    stream(gate)
    for _ in range(20):
        request("GET", gate.url + HOT)
    assert is_a_hit(gate)
    stream(gate)
    assert is_a_hit(gate)
    stream(gate)
    assert is_a_hit(gate)


def test_a_big_stream_through_a_cold_cache_does_not_flush_what_is_hot(gate: Tidegate) -> None:
    """Nothing has been counted yet: the small file stays because it is asked for in between."""
    assert not is_a_hit(gate)
    misses: list[int] = []

    def ask(at: int) -> None:
        # The stream itself, which passes for the first time, hits nothing.
        before = asked(gate, "hit")
        assert request("GET", gate.url + HOT).body == CONTENT
        if asked(gate, "hit") != before + 1:
            misses.append(at)

    stream(gate, lambda at: ask(at) if at % 16 == 0 else None)
    assert not misses, f"fetched again after so many MiB of the stream: {misses}"
    assert is_a_hit(gate)
