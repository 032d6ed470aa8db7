"""Chunks that the filer stores as gzip: fetched once as they are stored, and inflated here."""

import threading

import pytest
from conftest import StartTidegate
from expect import same_bytes
from harness import Front, Tidegate, request

MIB = 1 << 20
LINE = b"%d: the same words again and again, which compress well.\n"
CHUNKS = 3


def words(size: int, seed: int = 0) -> bytes:
    """Text, no two lines of it alike."""
    lines = b"".join(LINE % number for number in range(seed * size, seed * size + size // len(LINE)))
    return lines[:size].ljust(size, b".")


@pytest.fixture(scope="module")
def text(front_4mb: Front) -> tuple[str, bytes]:
    """The path and the content of a text of some chunks."""
    content = words(CHUNKS * 4 * MIB - 777)
    path = written(front_4mb, "words", content)
    return path, content


def written(front: Front, name: str, content: bytes) -> str:
    """Writes a text at the filer; answers its path."""
    path = f"/compressed/{name}.txt"
    assert request("PUT", front.filer.url + path, {"Content-Type": "text/plain"}, content).status == 201
    chunks = front.chunks(path)
    assert all(chunk.get("is_compressed") for chunk in chunks), "nothing was compressed"
    return path


class Fetched:
    """What tidegate fetches from now on."""

    def __init__(self, gate: Tidegate) -> None:
        self._gate = gate
        self._before = self._now()

    def _now(self) -> tuple[float, float]:
        metrics = self._gate.metrics()
        return metrics.sum("tidegate_fetches_total"), metrics.sum("tidegate_fetch_bytes_total")

    def since(self) -> tuple[float, float]:
        """Fetches and bytes."""
        (fetches, size), (fetches_before, size_before) = self._now(), self._before
        return fetches - fetches_before, size - size_before


def test_a_volume_server_does_not_inflate_a_text_anew_for_each_span(
    front_4mb: Front, gates: dict[str, Tidegate], text: tuple[str, bytes]
) -> None:
    path, content = text
    gate = gates.of(front_4mb)
    fetched = Fetched(gate)
    same_bytes(request("GET", gate.url + path).body, content)
    fetches, size = fetched.since()
    assert (fetches, size < len(content) / 3) == (CHUNKS, True), f"{size} bytes of gzip for {len(content)}"


@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 0)],
        [(4 * MIB - 3, 4 * MIB + 4)],
        [(11 * MIB, CHUNKS * 4 * MIB - 778)],
        [(5 * MIB, 9 * MIB)],
        [(3 * MIB, 3 * MIB + 5), (7, 2 * MIB), (MIB, MIB)],
    ],
    ids=["first-byte", "over-an-edge", "end", "middle", "back-and-forth"],
)
def test_ranges_of_a_text_come_out_of_one_fetch_for_each_chunk(
    front_4mb: Front, gates: dict[str, Tidegate], text: tuple[str, bytes], ranges: list[tuple[int, int]]
) -> None:
    path, content = text
    gate = gates.of(front_4mb)
    fetched = Fetched(gate)
    header = ", ".join(f"{first}-{last}" for first, last in ranges)
    answer = request("GET", gate.url + path, {"Range": f"bytes={header}"})
    assert answer.status == 206
    if len(ranges) == 1:
        same_bytes(answer.body, content[ranges[0][0] : ranges[0][1] + 1])
    for first, last in ranges:
        assert content[first : last + 1] in answer.body
    touched = {offset // (4 * MIB) for first, last in ranges for offset in (first, last)}
    assert fetched.since()[0] == len(touched)


def test_texts_are_fetched_once_when_memory_is_short(front_4mb: Front, start_tidegate: StartTidegate) -> None:
    files = 6
    texts = {written(front_4mb, f"of-many-{n}", words(8 * MIB, n)): words(8 * MIB, n) for n in range(files)}
    gate = start_tidegate(front_4mb, {"prefetch": {"memory": "24MiB"}})
    fetched = Fetched(gate)
    wrong: list[str] = []

    def read(path: str, content: bytes) -> None:
        if request("GET", gate.url + path).body != content:
            wrong.append(path)

    clients = [threading.Thread(target=read, args=one) for one in texts.items()]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert not wrong
    assert fetched.since()[0] == 2 * files
