"""Sealed chunks whose size in the entry is not that of what was sealed: files that a mount has cut short in place, and
those of SeaweedFS 4.05 to 4.07, which recorded the size of what is stored."""

import json

import pytest
from catalogue import Catalogue, Object
from expect import read, same_bytes
from harness import Encryption, Front, Payload, Tidegate, request
from harness.entry_tool import change_entry
from harness.tidegate import run
from harness.wire import Answer

MIB = 1 << 20
WORDS = b"the same words again and again, which compress well. "


@pytest.fixture(scope="module")
def gate(sealing: Front, gates) -> Tidegate:
    """A tidegate on it."""
    return gates.of(sealing)


def words(size: int) -> bytes:
    """Text, no two lines of it alike."""
    lines = b"".join(b"%d: %s\n" % (number, WORDS) for number in range(size // len(WORDS) + 1))
    return lines[:size]


def chunks_of(front: Front, path: str) -> list[dict[str, object]]:
    """The chunks as the filer lists them."""
    chunks = front.chunks(path)
    assert chunks and all(chunk.get("cipher_key") for chunk in chunks), "nothing was sealed"
    return chunks


def resize(front: Front, path: str, sizes: list[int], file_size: int) -> None:
    """Gives the entry's chunks these sizes."""
    change_entry(f"{front.filer.host}:{front.filer.grpc_port}", path, sizes=sizes, file_size=file_size)


def stored_length(front: Front, fid: str) -> int:
    """Bytes of a needle as it is stored."""
    found = json.loads(request("GET", f"{front.master_url}/dir/lookup?volumeId={fid.partition(',')[0]}").body)
    return len(request("GET", f"http://{found['locations'][0]['url']}/{fid}").body)


def written(front: Front, name: str, content: bytes, mime: str = "application/octet-stream") -> str:
    """Writes a file at the filer; answers its path."""
    path = f"/odd-sizes/{name}"
    assert request("PUT", front.filer.url + path, {"Content-Type": mime}, content).status == 201
    return path


def right_in_ranges(gate: Tidegate, path: str, content: bytes, ranges: list[tuple[int, int]]) -> None:
    """The whole file and each of the ranges (first, last) have the right bytes."""
    whole = request("GET", gate.url + path)
    assert whole.status == 200, whole.body[:300]
    same_bytes(whole.body, content)
    head = request("HEAD", gate.url + path)
    assert (head.status, head.header("Content-Length")) == (200, str(len(content)))
    for first, last in ranges:
        part = request("GET", gate.url + path, {"Range": f"bytes={first}-{last}"})
        assert part.status == 206, part.body[:300]
        same_bytes(part.body, content[first : last + 1])


def cut_last(front: Front, path: str, to: int) -> None:
    """Cuts the file to that many bytes in its last chunk, as a mount does: the chunk's size and the file's."""
    chunks = chunks_of(front, path)
    last = max(range(len(chunks)), key=lambda index: chunks[index].get("offset", 0))
    sizes = [int(chunk["size"]) for chunk in chunks]
    sizes[last] = to - int(chunks[last].get("offset", 0))
    assert 0 < sizes[last] < int(chunks[last]["size"])
    resize(front, path, sizes, to)


@pytest.mark.parametrize(
    ("name", "content", "to"),
    [
        ("one-thousand.bin", Payload("cut", 1000).bytes(), 600),
        ("three-chunks.bin", Payload("cut", 3 * MIB - 5).bytes(), 2 * MIB + 99),
        ("words.txt", words(900_000), 1000),
        ("words-of-three-chunks.txt", words(3 * MIB - 5), 2 * MIB + 99),
    ],
)
def test_a_sealed_file_that_was_cut_short_in_place(
    sealing: Front, gate: Tidegate, name: str, content: bytes, to: int
) -> None:
    path = written(sealing, name, content, "text/plain" if name.endswith("txt") else "application/octet-stream")
    if name.endswith("txt"):
        assert all(chunk.get("is_compressed") for chunk in chunks_of(sealing, path)), "nothing was compressed"
    cut_last(sealing, path, to)
    right_in_ranges(gate, path, content[:to], [(0, 0), (5, 99), (to - 7, to - 1), (to // 2, to - 2)])
    report = json.loads(explained(gate, path))
    assert (report["readable"], report["size"]) == (True, to)


@pytest.mark.parametrize("encryption", [Encryption.SSE_C, Encryption.SSE_KMS, Encryption.SSE_S3], ids=lambda e: e.title)
def test_a_sealed_object_under_sse_that_was_cut_short_in_place(
    sealing: Front, gate: Tidegate, objects: Catalogue, encryption: Encryption
) -> None:
    thing: Object = objects.sized(sealing, encryption, 2 * MIB + 5000, name="cut-short")
    to = 2 * MIB + 1234
    cut_last(sealing, thing.path(), to)
    whole = read(gate, thing)
    assert whole.status == 200, whole.body[:300]
    same_bytes(whole.body, thing.content[:to])
    for first, last in [(0, 99), (MIB - 3, MIB + 4), (2 * MIB + 17, to - 1)]:
        part: Answer = read(gate, thing, Range=f"bytes={first}-{last}")
        assert part.status == 206
        same_bytes(part.body, thing.content[first : last + 1])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("one-thousand.bin", Payload("4.05", 1000).bytes()),
        ("three-chunks.bin", Payload("4.05", 2 * MIB + 1000).bytes()),
        ("words.txt", words(900_000)),
        ("words-of-three-chunks.txt", words(2 * MIB + 300_000)),
    ],
)
def test_a_sealed_file_whose_chunks_have_the_size_of_what_is_stored(
    sealing: Front, gate: Tidegate, name: str, content: bytes
) -> None:
    path = written(sealing, f"4.05-{name}", content, "text/plain" if name.endswith("txt") else "")
    sizes = [stored_length(sealing, str(chunk["file_id"])) for chunk in chunks_of(sealing, path)]
    resize(sealing, path, sizes, len(content))
    size = len(content)
    inside = [(first, first + 40) for first in range(MIB - 20, size - 40, MIB)]
    right_in_ranges(gate, path, content, [(0, 9), (size - 100, size - 1), (size // 2, size - 2), *inside])


def test_a_hole_behind_a_sealed_text_that_was_cut_short_is_still_a_hole(sealing: Front, gate: Tidegate) -> None:
    content = words(500_000)
    path = written(sealing, "hole.txt", content, "text/plain")
    resize(sealing, path, [1000], 400_000)
    right_in_ranges(gate, path, content[:1000] + bytes(399_000), [(990, 1010), (0, 5), (300_000, 300_999)])


def explained(gate: Tidegate, path: str) -> str:
    """What `tidegate explain` says of a file, as JSON."""
    done = run("explain", "--config", gate.config_file, path, "--json")
    return done.stdout
