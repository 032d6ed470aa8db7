"""A file that is deleted while it is read, its needles vacuumed: whole, or a cut connection; never a mix, and never an
end that looks clean and is short."""

import http.client
import itertools
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from files import BUCKET, CUSTOMER_KEY, MIB, Writer
from harness import Payload, Tidegate, open_stream, request
from harness.s3 import Encryption, sse_arguments

SIZE = 24 * MIB + 4321
"""More than what lies between a volume server and a slow client: socket buffers, and a window of two requests."""
PIECE = 64 << 10
_numbers = itertools.count()

WAYS = ["filer", "tidegate", "s3", "s3-sse-c", "s3-sse-s3"]


@dataclass(frozen=True)
class Doomed:
    """A file that is going to be deleted, and how."""

    path: str
    content: bytes
    headers: dict[str, str]
    delete: Callable[[], None]


def written(way: str, writer: Writer, gate: Tidegate) -> Doomed:
    """A file that the way of deleting belongs to."""
    front, key = writer.fronts["plain"], f"doomed-{next(_numbers)}"
    content = Payload(key, SIZE).bytes()
    if not way.startswith("s3"):
        path = f"/doomed/{key}"
        writer.put(path, content)
        url = (gate.url if way == "tidegate" else front.filer.url) + path

        def delete() -> None:
            assert request("DELETE", url).status == 204

        return Doomed(path, content, {}, delete)
    kind = {"s3": Encryption.NONE, "s3-sse-c": Encryption.SSE_C, "s3-sse-s3": Encryption.SSE_S3}[way]
    writer.get("s3")  # for its bucket
    front.s3.put(BUCKET, key, content, **sse_arguments(kind, customer_key=CUSTOMER_KEY))
    headers = dict(CUSTOMER_KEY.headers()) if kind is Encryption.SSE_C else {}
    return Doomed(
        f"/buckets/{BUCKET}/{key}",
        content,
        headers,
        lambda: front.s3.client.delete_object(Bucket=BUCKET, Key=key) and None,
    )


def vacuumed(writer: Writer, fids: list[str]) -> None:
    """Waits until the needles are gone for good. The filer deletes them a while after the file, and the volume server
    still gives them to who insists, until its volume is vacuumed."""
    deadline = time.monotonic() + 60
    while left := [fid for fid in fids if request("HEAD", f"{writer.volume_of(fid)}/{fid}?readDeleted=true").status != 404]:
        assert time.monotonic() < deadline, f"{len(left)} of {len(fids)} needles are still there"
        assert request("GET", f"{writer.cluster.master.url}/vol/vacuum?garbageThreshold=0.0001").status == 200
        time.sleep(0.2)


@contextmanager
def slow(url: str, headers: dict[str, str]) -> Iterator[http.client.HTTPResponse]:
    """A GET over a connection that takes in little before it is read."""
    at = urlsplit(url)
    with socket.socket() as narrow:
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
        narrow.settimeout(60)
        narrow.connect((at.hostname, at.port))
        connection = http.client.HTTPConnection(at.hostname or "", at.port)
        connection.sock = narrow
        connection.request("GET", at.path, headers=headers)
        with connection.getresponse() as response:
            yield response


def rest_of(response: http.client.HTTPResponse) -> tuple[bytes, bool]:
    """What still comes, and whether that was all that was announced."""
    received = bytearray()
    try:
        while piece := response.read(PIECE):
            received += piece
    except (http.client.HTTPException, OSError):
        return bytes(received), False
    return bytes(received), not response.length


@pytest.mark.parametrize(
    ("way", "read_before"), [*((way, PIECE) for way in WAYS), ("filer", 4 * MIB), ("s3-sse-c", 4 * MIB)]
)
def test_a_slow_reader(way: str, read_before: int, writer: Writer, narrow_gate: Tidegate) -> None:
    gate = narrow_gate
    doomed = written(way, writer, gate)
    fids = writer.chunk_ids(doomed.path)
    with slow(gate.url + doomed.path, doomed.headers) as response:
        assert response.status == 200
        assert response.length == SIZE
        received = response.read(read_before)
        doomed.delete()
        vacuumed(writer, fids)
        rest, ended_well = rest_of(response)
    received += rest
    assert received == doomed.content[: len(received)], "other bytes than the file's"
    assert ended_well == (len(received) == SIZE)
    assert not ended_well, "nothing was left to fetch: this shows nothing"
    assert request("GET", gate.url + doomed.path, doomed.headers).status == 404


@pytest.mark.parametrize("way", ["filer", "s3-sse-s3"])
def test_reads_that_begin_while_it_vanishes(way: str, writer: Writer, gates: dict[str, Tidegate]) -> None:
    """One read after the other, from before until after: each is the file, cut, or an honest refusal, and the last is 404."""
    gate = gates["plain"]
    doomed = written(way, writer, gate)
    fids = writer.chunk_ids(doomed.path)
    seen: dict[str, int] = {}

    def read() -> str:
        with open_stream("GET", gate.url + doomed.path, doomed.headers) as response:
            if response.status != 200:
                assert response.status in (404, 502, 503), response.status
                return str(response.status)
            received, ended_well = rest_of(response)
            assert received == doomed.content[: len(received)], "other bytes than the file's"
            assert ended_well == (len(received) == SIZE)
            return "whole" if ended_well else "cut"

    assert read() == "whole"
    doomed.delete()
    for _ in range(5):
        seen[outcome] = seen.get(outcome := read(), 0) + 1
    vacuumed(writer, fids)
    assert read() == "404", seen


def test_the_filer_cuts_the_connection_too(writer: Writer, gates: dict[str, Tidegate]) -> None:
    doomed = written("filer", writer, gates["plain"])
    fids = writer.chunk_ids(doomed.path)
    with slow(writer.url(doomed.path), {}) as response:
        received = response.read(PIECE)
        doomed.delete()
        vacuumed(writer, fids)
        rest, ended_well = rest_of(response)
    assert PIECE < len(received + rest) < SIZE
    assert not ended_well
