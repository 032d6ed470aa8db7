"""What goes on between tidegate and the volume servers: how much is fetched, how many at once, and until when."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from catalogue import Catalogue, Object, Shape
from conftest import StartTidegate
from distance import CHUNK, distant_cluster
from expect import read, same_bytes
from harness import Encryption, Front, Kms, Tidegate, open_stream
from harness.relay import Behaviour
from waiting import until

MIB = 1 << 20
AES_BLOCK = 16

every_encryption = pytest.mark.parametrize("encryption", Encryption, ids=lambda e: e.title)


@pytest.fixture(scope="module")
def far(root: Path, kms: Kms) -> Iterator[tuple[Front, Behaviour]]:
    """A front whose volume server is far away, and how far."""
    with distant_cluster(root / "distant", kms) as made:
        yield made


@every_encryption
def test_a_range_fetches_only_its_bytes(
    front: Front, objects: Catalogue, start_tidegate: StartTidegate, encryption: Encryption
) -> None:
    """Within a chunk, to its end, and over the edge of two; never more than an AES block at each end."""
    thing = objects.get(front, encryption, Shape.MANY)
    gate = start_tidegate(front, {"prefetch": {"window": 1}})
    chunk = MIB * (1 if front.name == "1mb" else 4)
    for first, length in ((5, 1), (100_001, 65_537), (chunk - 77, 77), (chunk - 1000, 3000), (2 * chunk, 16)):
        before = gate.metrics().sum("tidegate_fetch_bytes_total")
        answer = read(gate, thing, Range=f"bytes={first}-{first + length - 1}")
        same_bytes(answer.body, thing.content[first : first + length])
        fetched = gate.metrics().sum("tidegate_fetch_bytes_total") - before
        chunks = (first + length - 1) // chunk - first // chunk + 1
        assert length <= fetched <= length + 2 * AES_BLOCK * chunks, (first, length)


@every_encryption
def test_a_whole_read_fetches_every_byte_once(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, encryption: Encryption
) -> None:
    thing = objects.get(front_1mb, encryption, Shape.MULTIPART)
    gate = start_tidegate(front_1mb)
    same_bytes(read(gate, thing).body, thing.content)
    assert gate.metrics().sum("tidegate_fetch_bytes_total") == len(thing.content)


def test_a_head_fetches_nothing(front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_1mb)
    for encryption in Encryption:
        assert read(gate, objects.get(front_1mb, encryption, Shape.MANY), "HEAD").status == 200
    assert gate.metrics().sum("tidegate_fetch_bytes_total") == 0


def most_in_flight(gate: Tidegate, thing: Object) -> tuple[float, float]:
    """Reads the object and answers the highest `tidegate_fetches_in_flight` seen meanwhile, and the seconds taken."""
    seen = [0.0]
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.append(gate.metrics().sum("tidegate_fetches_in_flight"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        started = time.monotonic()
        answer = read(gate, thing)
        took = time.monotonic() - started
    finally:
        done.set()
        watcher.join()
    same_bytes(answer.body, thing.content)
    return max(seen), took


@pytest.mark.parametrize("encryption", [Encryption.NONE, Encryption.SSE_C], ids=lambda e: e.title)
def test_fetches_overlap_as_far_as_the_window_allows(
    far: tuple[Front, Behaviour], objects: Catalogue, start_tidegate: StartTidegate, encryption: Encryption
) -> None:
    front, line = far
    thing = objects.sized(front, encryption, 16 * CHUNK, "distant")
    alone = start_tidegate(front, {"prefetch": {"window": 1}})
    four = start_tidegate(front, {"prefetch": {"window": 4}})
    auto = start_tidegate(front, {"prefetch": {"window": "auto"}})
    line.delay = 0.05
    try:
        one_at_once, sequential = most_in_flight(alone, thing)
        four_at_once, overlapped = most_in_flight(four, thing)
        many_at_once, automatic = most_in_flight(auto, thing)
    finally:
        line.delay = 0.0
    assert one_at_once == 1
    assert 2 <= four_at_once <= 4
    assert many_at_once >= 2
    assert overlapped < sequential / 2
    assert automatic < sequential / 2


def test_a_client_that_leaves_takes_its_fetches_with_it(
    far: tuple[Front, Behaviour], objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    front, line = far
    thing = objects.sized(front, Encryption.SSE_C, 48 * CHUNK, "left")
    gate = start_tidegate(front, {"prefetch": {"window": 8}})
    line.delay = 0.2
    try:
        with open_stream("GET", gate.url + thing.path(), thing.key_headers) as response:
            same_bytes(response.read(CHUNK), thing.content[:CHUNK])
            until(lambda: gate.metrics().sum("tidegate_fetches_in_flight") > 0, "a fetch is in flight")
        until(lambda: gate.metrics().sum("tidegate_fetches_in_flight") == 0, "no fetch is in flight", timeout=5)
    finally:
        line.delay = 0.0
    until(lambda: gate.metrics().sum("tidegate_prefetch_buffer_bytes") == 0, "the buffers are given back", timeout=5)
    fetched = gate.metrics().sum("tidegate_fetch_bytes_total")
    assert fetched < len(thing.content) / 2
    time.sleep(0.5)
    assert gate.metrics().sum("tidegate_fetch_bytes_total") == fetched


def test_a_slow_client_holds_no_more_than_the_memory_allowed(
    front_4mb: Front, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    thing = objects.sized(front_4mb, Encryption.SSE_S3, 96 * MIB, "slow")
    gate = start_tidegate(front_4mb, {"prefetch": {"memory": "16MiB", "window": 16}})
    with open_stream("GET", gate.url + thing.path()) as response:
        same_bytes(response.read(MIB), thing.content[:MIB])
        time.sleep(1.0)
        assert 0 < gate.metrics().sum("tidegate_prefetch_buffer_bytes") <= 16 * MIB
        same_bytes(response.read(), thing.content[MIB:])
    until(lambda: gate.metrics().sum("tidegate_prefetch_buffer_bytes") == 0, "the buffers are given back")
