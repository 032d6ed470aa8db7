"""Several ranges in one request: right to the byte, plain and encrypted, and no more is fetched than they need."""

import re
from contextlib import closing

import pytest
from compare import Pair
from differences import MAX_PARTS
from files import Writer
from harness import Front, Payload, Tidegate
from harness.line import Reply, Request

MIB = 1 << 20
ENCRYPTED = ["sse-c", "sse-kms", "sse-s3", "sse-c-multipart", "sse-kms-multipart", "sse-s3-multipart"]


def parts_of(reply: Reply) -> list[tuple[int, int, bytes]]:
    """First and last byte of each part, and its content, read strictly."""
    match = re.fullmatch(r"multipart/byteranges; boundary=([0-9a-f]{60})", reply.header("content-type"))
    assert match, reply.header("content-type")
    boundary, at, found = match[1].encode(), 0, []
    assert int(reply.header("content-length")) == len(reply.body)
    while True:
        opening = (b"\r\n--" if found else b"--") + boundary
        assert reply.body.startswith(opening, at)
        at += len(opening)
        if reply.body[at:] == b"--\r\n":
            return found
        head = re.compile(rb"\r\nContent-Range: bytes (\d+)-(\d+)/(\d+)\r\nContent-Type: [^\r]+\r\n\r\n").match(reply.body, at)
        assert head, reply.body[at : at + 200]
        first, last = int(head[1]), int(head[2])
        found.append((first, last, reply.body[head.end() : head.end() + last - first + 1]))
        at = head.end() + last - first + 1


@pytest.mark.parametrize("kind", ENCRYPTED)
def test_parts_of_an_encrypted_object(kind: str, writer: Writer, pairs: dict[str, Pair]) -> None:
    file = writer.get(kind)
    plain = file.plaintext
    assert plain is not None
    size = len(plain)
    wanted = [(size - 20, size - 1), (0, 0), (MIB - 1, MIB), (15, 16), (2 * MIB - 3, 2 * MIB + 99)]
    header = "bytes=" + ",".join(f"{first}-{last}" for first, last in wanted)
    reply = pairs["plain"].gate.ask(Request(file.target, headers=(*file.key_headers, ("Range", header))))
    assert reply.status == 206
    assert parts_of(reply) == [(first, last, plain[first : last + 1]) for first, last in wanted]


def fetched(gate: Tidegate) -> float:
    """Bytes that tidegate has taken from volume servers."""
    return gate.metrics().sum("tidegate_fetch_bytes_total")


@pytest.mark.parametrize("kind", ["many-chunks", "sse-c", "sse-kms", "sse-s3"])
def test_only_the_bytes_of_the_parts_are_fetched(
    kind: str, writer: Writer, fronts: dict[str, Front], narrow_gate: Tidegate
) -> None:
    """By a tidegate that keeps no chunks: what is kept need not be fetched at all."""
    file = writer.get(kind)
    before = fetched(narrow_gate)
    ranges = "bytes=100-199,1048570-1048585,2000000-2000099"
    with closing(Pair(fronts["plain"].filer.address, narrow_gate.listen)) as pair:
        reply = pair.gate.ask(Request(file.target, headers=(*file.key_headers, ("Range", ranges))))
    assert [last - first + 1 for first, last, _ in parts_of(reply)] == [100, 16, 100]
    assert fetched(narrow_gate) - before == 216


def fetches(gate: Tidegate) -> float:
    """Requests to volume servers that ended well."""
    return gate.metrics().sum("tidegate_fetches_total", outcome="ok")


@pytest.mark.parametrize("parts", [3, 100])
def test_a_sealed_chunk_is_opened_once_for_all_parts_in_it(
    parts: int, writer: Writer, pairs: dict[str, Pair], gates: dict[str, Tidegate]
) -> None:
    """Two chunks, each of which can only be fetched whole: one request for each, however many parts it has."""
    file, gate = writer.get("sealed-chunks"), gates["sealed"]
    wanted = [(at * 10_000, at * 10_000 + 99) for at in range(parts)]
    wanted += [(MIB + 20_000 - at * 100, MIB + 20_000 - at * 90) for at in range(1, 20)]
    header = "bytes=" + ",".join(f"{first}-{last}" for first, last in wanted)
    before = fetches(gate), fetched(gate)
    reply = pairs["sealed"].gate.ask(Request(file.target, headers=(("Range", header),)))
    assert reply.status == 206
    content = pairs["sealed"].filer.ask(Request(file.target)).body
    assert parts_of(reply) == [(first, last, content[first : last + 1]) for first, last in wanted]
    assert fetches(gate) - before[0] == 2
    assert fetched(gate) - before[1] < 2 * (MIB + 4096)


def test_the_number_of_parts_is_limited(writer: Writer, pairs: dict[str, Pair]) -> None:
    file = writer.get("many-chunks")
    for count, status in ((MAX_PARTS, 206), (MAX_PARTS + 1, 200)):
        header = "bytes=" + ",".join(f"{at * 7}-{at * 7}" for at in range(count))
        reply = pairs["plain"].gate.ask(Request(file.target, headers=(("Range", header),)))
        assert reply.status == status
        if status == 206:
            assert len(parts_of(reply)) == count


def test_overlapping_ranges_beyond_the_size_are_the_whole_file(writer: Writer, pairs: dict[str, Pair]) -> None:
    """The filer answers 200 with nothing, which looks like an empty file."""
    file = writer.get("sse-s3-small")
    request = Request(file.target, headers=(("Range", "bytes=0-600,100-700"),))
    reply = pairs["plain"].gate.ask(request)
    assert (reply.status, reply.body) == (200, file.plaintext)
    assert pairs["plain"].filer.ask(request).body == b""


def test_a_part_in_a_lost_chunk_is_refused_before_the_first_header(writer: Writer, pairs: dict[str, Pair]) -> None:
    good = writer.rpc.needle(Payload("kept", 1000).bytes())
    lost = writer.rpc.needle(b"lost" * 250, 1000)
    volume, rest = lost.fid.split(",")
    writer.rpc.create("/half-lost", [good, type(lost)(f"{volume},{rest[:-1]}{'0' if rest[-1] != '0' else '1'}", 1000, 1000)])
    for header in ("bytes=1000-1001,0-1", "bytes=0-1,1000-1001"):
        reply = pairs["plain"].gate.ask(Request("/half-lost", headers=(("Range", header),)))
        assert reply.status in (0, 502, 503), "an answer that ends cleanly"
    assert pairs["plain"].gate.ask(Request("/half-lost", headers=(("Range", "bytes=0-1,5-6"),))).status == 206
