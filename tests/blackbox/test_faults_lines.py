"""Lines that drop connections or change bits: the other replica mends it; where there is none, the answer is cut."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from catalogue import MIB, Catalogue
from conftest import StartTidegate
from downloads import Downloads
from expect import same_bytes
from harness import Encryption, open_stream, request
from harness.weed import answers
from pairs import SIZE, SMALL_MEMORY, Breakable

DROPS_BETWEEN = (64 << 10, 3 * MIB)

each_chunk_size = pytest.mark.parametrize("chunk", [1, 4], ids=lambda size: f"{size}-MiB-chunks")


def test_a_server_that_drops_every_connection_fails_nobody(
    pair: Breakable, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    things = pair.eight(objects)
    gate = start_tidegate(pair.fronts[4], SMALL_MEMORY)
    pair.lines[0].cut_between = DROPS_BETWEEN
    Downloads(gate, things).all_right()
    assert gate.metrics().sum("tidegate_fetch_retries_total") > 0, "connections were dropped"


def test_the_only_server_dropping_every_connection_never_ends_a_wrong_download_well(
    lone: Breakable, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    """What comes between two drops may be enough to get through in the end, or not."""
    things = lone.eight(objects)
    gate = start_tidegate(lone.fronts[4], SMALL_MEMORY)
    lone.lines[0].cut_between = DROPS_BETWEEN
    assert set(Downloads(gate, things).endings()) <= {"right", "cut", 502, 503}
    assert gate.metrics().sum("tidegate_fetch_retries_total") > 0, "connections were dropped"
    lone.mend()
    Downloads(gate, things).all_right()


def test_lines_that_break_while_the_filer_is_away_cut_nobody(
    lone: Breakable, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    """Nobody can say where else a volume is. But its server is there."""
    front, thing = lone.fronts[4], lone.eight(objects)[0]
    gate = start_tidegate(front, {**SMALL_MEMORY, "cache": {"chunks": "off"}})
    # Then it is known where the volumes of all its chunks are.
    same_bytes(request("GET", gate.url + thing.path(), thing.key_headers).body, thing.content)
    lone.slow_down()
    try:
        with open_stream("GET", gate.url + thing.path(), thing.key_headers, timeout=60) as response:
            got = response.read(MIB)
            front.filer.kill()
            lone.lines[0].cut_after = MIB
            got += response.read()
        same_bytes(got, thing.content)
        assert gate.metrics().sum("tidegate_fetch_retries_total", reason="broken") > 0, "lines broke"
    finally:
        front.filer.start()
        front.filer.wait_ready(lambda: answers(front.filer.url + "/"))


def test_a_chunk_that_arrives_wrong_is_taken_from_the_other_replica(
    pair: Breakable, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    """Chunks of 1 MiB are checked before any of their bytes go out."""
    things = pair.eight(objects, chunk=1)
    gate = start_tidegate(pair.fronts[1])
    pair.lines[0].flip = True
    Downloads(gate, things).all_right()
    assert gate.metrics().sum("tidegate_fetch_crc_failures_total") > 0
    assert gate.metrics().sum("tidegate_responses_cut_total") == 0


@each_chunk_size
def test_a_chunk_that_arrives_wrong_never_ends_a_wrong_download_well(
    pair: Breakable, objects: Catalogue, start_tidegate: StartTidegate, chunk: int
) -> None:
    """Bytes of a chunk may go out before its end is there: where that is too late for a replica, the answer is cut."""
    things = pair.eight(objects, chunk)
    gate = start_tidegate(pair.fronts[chunk])
    pair.lines[0].flip = True
    assert set(Downloads(gate, things).endings()) <= {"right", "cut", 502, 503}
    assert gate.metrics().sum("tidegate_fetch_crc_failures_total") > 0
    pair.mend()
    Downloads(gate, things).all_right()


@each_chunk_size
def test_wrong_bytes_from_the_only_server_never_end_well(
    lone: Breakable, objects: Catalogue, start_tidegate: StartTidegate, chunk: int
) -> None:
    things = lone.eight(objects, chunk)
    gate = start_tidegate(lone.fronts[chunk])
    lone.lines[0].flip = True
    assert set(Downloads(gate, things).endings()) <= {"cut", 502, 503}
    assert gate.metrics().sum("tidegate_fetch_crc_failures_total") > 0
    lone.mend()
    Downloads(gate, things).all_right()


def test_connections_that_stand_still_are_not_waited_for(
    lone: Breakable, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    """The only server of all chunks can be reached, but not over the connections that are there."""
    thing = objects.sized(lone.fronts[1], Encryption.NONE, SIZE, "frozen")
    gate = start_tidegate(lone.fronts[1], {"prefetch": {"per_server": 32}, "cache": {"chunks": "off"}})

    def read(number: int) -> tuple[bool, float]:
        start, begun = number * 300_000, time.monotonic()
        answer = request("GET", gate.url + thing.path(), {"Range": f"bytes={start}-{start + 99}"}, timeout=40)
        return answer.body == thing.content[start : start + 100], time.monotonic() - begun

    lone.lines[0].delay = 0.3
    with ThreadPoolExecutor(40) as clients:
        assert all(right for right, _ in clients.map(read, range(40)))
        lone.lines[0].calm()
        assert lone.cluster.freeze_volume(0) >= 25
        slow = [answer for answer in clients.map(read, range(40)) if not answer[0] or answer[1] > 10]
    assert not slow, slow
