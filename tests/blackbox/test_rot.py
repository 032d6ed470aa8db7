"""One byte of a chunk has rotted in the `.dat` of one of two volume servers, which does not notice."""

import http.client

import pytest
from catalogue import MIB
from conftest import StartTidegate
from harness import Front, Payload, Tidegate, request
from pairs import Breakable
from test_choosing import NO_CACHE, fids

CHUNK = 4 * MIB
SIZE = 2 * CHUNK
ROTTEN = CHUNK + 3_000_000
"""In the middle of the second chunk."""
RANGES = 60


def rot(pair: Breakable, front: Front, path: str, content: bytes) -> None:
    """Flips one bit at the first volume server."""
    volume = fids(front, path)[1].split(",")[0]
    file = pair.cluster.root / "volume0" / f"{volume}.dat"
    around = content[ROTTEN - 32 : ROTTEN + 32]
    at = file.read_bytes().index(around) + 32
    with file.open("r+b") as dat:
        dat.seek(at)
        dat.write(bytes([content[ROTTEN] ^ 1]))


def rotten_file(pair: Breakable, name: str) -> tuple[str, bytes]:
    """A file of two chunks, of which one has a wrong byte at the first volume server."""
    front = pair.fronts[4]
    path, content = f"/rot/{name}", Payload(f"rot-{name}", SIZE).bytes()
    assert request("PUT", front.filer.url + path, body=content).status == 201
    assert len(fids(front, path)) == 2
    rot(pair, front, path, content)
    return path, content


def wrong_ranges(gate: Tidegate, path: str, content: bytes) -> int:
    """How many of the ranges over the byte are wrong."""
    wrong = 0
    for number in range(RANGES):
        start, end = ROTTEN - number, ROTTEN + 64
        answer = request("GET", gate.url + path, {"Range": f"bytes={start}-{end - 1}"})
        assert answer.status == 206
        wrong += answer.body != content[start:end]
    return wrong


def unsound(gate: Tidegate) -> float:
    """Needles that were found wrong."""
    return gate.metrics().sum("tidegate_replica_flaws_total", flaw="unsound")


def started(start_tidegate: StartTidegate, pair: Breakable, verify: str | bool) -> Tidegate:
    """A tidegate that asks the first volume server first."""
    change = {**NO_CACHE, "prefetch": {"verify": verify}, "filer": {"data_center": "dc0"}}
    return start_tidegate(pair.fronts[4], change)


def test_ranges_over_a_rotten_byte_are_right_when_every_chunk_is_checked(
    pair: Breakable, start_tidegate: StartTidegate
) -> None:
    path, content = rotten_file(pair, "always")
    gate = started(start_tidegate, pair, "always")
    assert wrong_ranges(gate, path, content) == 0
    assert unsound(gate) == 1, "it was met, and from then on not asked for there"
    answer = request("GET", gate.url + path)
    assert (answer.status, answer.body == content) == (200, True)


def test_a_large_chunk_is_checked_before_its_first_byte_goes_out(
    pair: Breakable, start_tidegate: StartTidegate
) -> None:
    path, content = rotten_file(pair, "always-whole")
    gate = started(start_tidegate, pair, "always")
    answer = request("GET", gate.url + path)
    assert (answer.status, answer.body == content) == (200, True)
    assert unsound(gate) == 1


@pytest.mark.parametrize("verify", ["whole", True])
def test_ranges_avoid_a_replica_where_a_whole_read_met_rot(
    pair: Breakable, start_tidegate: StartTidegate, verify: str | bool
) -> None:
    path, content = rotten_file(pair, f"whole-{verify}")
    gate = started(start_tidegate, pair, verify)
    assert wrong_ranges(gate, path, content) > 0, "of a range nobody can see it"
    for _ in range(RANGES):
        try:
            assert request("GET", gate.url + path).body == content
        except (http.client.HTTPException, OSError):
            pass  # What was wrong and out already cuts the connection.
        if unsound(gate):
            break
    assert unsound(gate) == 1
    assert wrong_ranges(gate, path, content) == 0
