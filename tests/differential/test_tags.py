"""Entity tags that say nothing of some of a file's bytes: two versions have one at the filer, and must not be joined."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from compare import Pair
from files import MIB, Writer
from filer_rpc import FilerRpc
from harness import Answer, Front, Payload, Tidegate, request
from harness.protobuf import Field, fields_of, message
from harness.line import Request

NO_DIGESTS = '"d41d8cd98f00b204e9800998ecf8427e-2"'
_CHUNKS, _ATTRIBUTES = 3, 4
_CHUNK_ETAG, _ATTRIBUTES_MD5 = 5, 14


@pytest.fixture(scope="module")
def sealed_rpc(writer: Writer, fronts: dict[str, Front]) -> Iterator[FilerRpc]:
    """The gRPC of the filer that seals its chunks."""
    rpc = FilerRpc(fronts["sealed"].filer)
    yield rpc
    rpc.close()


def without_digests(rpc: FilerRpc, front: Front, path: str, content: bytes) -> None:
    """Writes a file and takes the MD5s out of its entry, as whoever computes none leaves it."""
    assert request("PUT", front.filer.url + path, body=content).status == 201
    kept: list[Field] = []
    for number, value in rpc.entry(path):
        taken = {_CHUNKS: _CHUNK_ETAG, _ATTRIBUTES: _ATTRIBUTES_MD5}.get(number)
        if taken and isinstance(value, bytes):
            value = message(*(field for field in fields_of(value) if field[0] != taken))
        kept.append((number, value))
    rpc.update(path, kept)


def is_seen(gate: Tidegate, path: str, content: bytes) -> None:
    """Waits for what was written past tidegate: the filer's event comes some milliseconds later (docs/caching.md)."""
    until = time.monotonic() + 10
    while request("GET", gate.url + path).body != content:
        assert time.monotonic() < until, "what was written to the filer itself is never seen"
        time.sleep(0.01)


def is_not_joined(gate: Tidegate, path: str, write: Callable[[bytes], None], first: bytes, second: bytes) -> Answer:
    """Reads the first version's tag, and asks with it for what is the second by then. Answers the last whole read."""
    write(first)
    before = request("HEAD", gate.url + path)
    assert before.header("ETag")
    tag = {"If-Range": before.header("ETag")}
    assert request("GET", gate.url + path, {**tag, "Range": "bytes=5-9"}).status == 206, "an unchanged file goes on"
    assert request("GET", gate.url + path, {"If-None-Match": before.header("ETag")}).status == 304
    write(second)
    is_seen(gate, path, second)
    resumed = request("GET", gate.url + path, {**tag, "Range": "bytes=5-9"})
    assert (resumed.status, resumed.body == second) == (200, True), "two versions are joined"
    again = request("GET", gate.url + path, {"If-None-Match": before.header("ETag")})
    assert (again.status, again.body == second) == (200, True), "another version is taken for the one at hand"
    assert request("GET", gate.url + path, {"If-Match": before.header("ETag")}).status == 412
    return again


def test_sealed_chunks_without_digests_do_not_join_two_versions(
    sealed_rpc: FilerRpc, fronts: dict[str, Front], gates: dict[str, Tidegate]
) -> None:
    front, path = fronts["sealed"], "/tags/sealed"
    contents = [Payload(f"sealed {number}", 2 * MIB).bytes() for number in range(2)]
    is_not_joined(
        gates["sealed"], path, lambda content: without_digests(sealed_rpc, front, path, content), contents[0], contents[1]
    )
    by_filer = request("HEAD", front.filer.url + path).header("ETag")
    assert by_filer == NO_DIGESTS, "the filer no longer gives every such file one tag"
    for condition, status in [("If-None-Match", 206), ("If-Range", 200)]:
        asked = {condition: by_filer, "Range": "bytes=5-9"}
        assert request("GET", gates["sealed"].url + path, asked).status == status, condition


@pytest.mark.parametrize("chunks", [20_000, 20_001])
def test_manifests_of_the_filer_do_not_join_two_versions(
    chunks: int, writer: Writer, gates: dict[str, Tidegate]
) -> None:
    """The filer folds 10,000 chunks into a manifest without an MD5; of 20,001 its tag is that of the last alone."""
    path = f"/tags/folded-{chunks}"
    last = writer.rpc.needle(b"\n", offset=(chunks - 1) * 16, modified=chunks)

    def write(content: bytes) -> None:
        needle = writer.rpc.needle(content[:16])
        whole = [needle.at(16 * number, number + 1) for number in range(chunks - 1)]
        writer.rpc.create(path, [*whole, last], size=(chunks - 1) * 16 + 1)

    first, second = (letter * 16 * (chunks - 1) + b"\n" for letter in (b"1", b"2"))
    is_not_joined(gates["plain"], path, write, first, second)


def test_files_kept_in_their_entries_do_not_join_two_versions(writer: Writer, gates: dict[str, Tidegate]) -> None:
    path = "/tags/inside"

    def write(content: bytes) -> None:
        writer.rpc.create(path, content=content, size=len(content))

    is_not_joined(gates["plain"], path, write, b"the first version", b"the other version")
    assert request("HEAD", writer.url(path)).header("ETag") == NO_DIGESTS.replace("-2", "-0")


def test_an_empty_tag_is_not_that_of_a_file_without_one(writer: Writer, pairs: dict[str, Pair]) -> None:
    """`tag-of-nothing`: the filer has it match."""
    writer.rpc.create("/tags/none", [replace(writer.rpc.needle(b"no tag"), etag="")])
    pair = pairs["plain"]
    assert pair.gate.ask(Request("/tags/none", "HEAD")).header("etag") == ""
    for header, theirs, ours in [("If-None-Match", 304, 200), ("If-Match", 200, 412)]:
        asked = Request("/tags/none", headers=((header, '""'),))
        assert (pair.filer.ask(asked).status, pair.gate.ask(asked).status) == (theirs, ours), header
