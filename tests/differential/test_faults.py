"""Differences that no generated request meets, each shown on both sides: the filer's way, and what is answered instead."""

import json
import socket
import time

import pytest
from compare import Pair
from files import Writer
from filer_rpc import Chunk
from harness import Front, Payload, Tidegate
from harness.line import Reply, Request


@pytest.fixture
def pair(pairs: dict[str, Pair]) -> Pair:
    """Filer and tidegate."""
    return pairs["plain"]


def both(pair: Pair, request: Request) -> tuple[Reply, Reply]:
    """The filer's answer and ours."""
    return pair.filer.ask(request), pair.gate.ask(request)


def missing(writer: Writer) -> Chunk:
    """A chunk whose needle was never written."""
    chunk = writer.rpc.needle(Payload("somewhere", 3000).bytes())
    volume, rest = chunk.fid.split(",")
    return Chunk(f"{volume},{int(rest[:-8], 16) + 0x10000:x}{rest[-8:]}", 0, 3000)


def test_errors_name_the_culprit(writer: Writer, pair: Pair) -> None:
    file = writer.get("sse-c-small")
    reply = pair.gate.ask(Request(file.target))
    assert reply.status == 400
    assert json.loads(reply.body).keys() == {"error", "code", "blame", "retry"}


def test_ciphertext_never_goes_out(writer: Writer, pair: Pair) -> None:
    """The filer sends what is stored, as 200, under the plaintext's ETag."""
    file = writer.get("sse-c-small")
    theirs, ours = both(pair, Request(file.target))
    assert theirs.status == 200 and theirs.body != file.plaintext
    assert ours.status == 400


def test_what_may_not_be_read_is_not_described(writer: Writer, pair: Pair) -> None:
    """The filer tells of an object whatever the caller brings, and so do its 304, 412 and 416."""
    file = writer.get("sse-c-small")
    for header, status in [(("If-None-Match", "*"), 200), (("Range", "bytes=99999-"), 416), (("If-Match", '"x"'), 412)]:
        theirs, ours = both(pair, Request(file.target, headers=(header,)))
        assert (theirs.status, ours.status) == (status, 400), header
        assert "etag" not in ours.headers and "content-range" not in ours.headers


def test_an_unreadable_chunk_is_an_error(writer: Writer, pair: Pair) -> None:
    writer.rpc.create("/faults/unreadable", [missing(writer)])
    theirs, ours = both(pair, Request("/faults/unreadable"))
    assert theirs.status in (0, 200, 500)
    assert ours.status == 502
    assert json.loads(ours.body)["blame"] == "volume"


def test_a_body_that_breaks_off_cuts_the_connection(writer: Writer, pair: Pair) -> None:
    """The filer has sent the length by then, and fills up with the text of its error."""
    first = writer.rpc.needle(Payload("first", 9 << 20).bytes())
    gone = missing(writer)
    writer.rpc.create("/faults/broken", [first, Chunk(gone.fid, 9 << 20, 3000)])
    assert pair.gate.ask(Request("/faults/broken")).status in (0, 502, 503)


def test_short_content(writer: Writer, pair: Pair) -> None:
    writer.rpc.create("/faults/short", content=b"only this", size=20)
    theirs, ours = both(pair, Request("/faults/short"))
    assert ours.body == b"only this".ljust(20, b"\0")
    assert theirs.body == bytes(20)


def test_content_that_was_appended_to_by_chunks(writer: Writer, pair: Pair) -> None:
    """As a file that was kept in its entry and then appended to by gRPC: the chunks begin at its beginning. What was kept
    came out, and zeros behind it."""
    writer.rpc.create("/faults/appended", [writer.rpc.needle(b"B" * 1000)], content=b"a" * 100, size=1000)
    for header in ((), (("Range", "bytes=90-109"),), (("Range", "bytes=200-209"),)):
        theirs, ours = both(pair, Request("/faults/appended", headers=header))
        assert (ours.status, ours.body) == (theirs.status, theirs.body) and set(ours.body) == {ord("B")}, header
    theirs, ours = both(pair, Request("/faults/appended", headers=(("Range", "bytes=0-9"),)))
    assert (theirs.body, ours.body) == (b"a" * 10, b"B" * 10)


def test_a_size_that_no_file_has(writer: Writer, pair: Pair) -> None:
    writer.rpc.create("/faults/endless", [writer.rpc.needle(b"x")], size=2**64 - 1)
    ranges = (("Range", f"bytes=0-{2**63 - 2},{2**63 - 1}-"),)
    for headers in ((), ranges):
        assert pair.gate.ask(Request("/faults/endless", headers=headers)).status == 502


def test_a_date_that_is_none(writer: Writer, pair: Pair) -> None:
    """The 29th of October 1994 was a Saturday."""
    writer.rpc.create("/faults/dated", [writer.rpc.needle(b"x")])
    for date, answers in (("Sat, 29 Oct 1994 19:43:31 GMT", (412, 412)), ("Mon, 29 Oct 1994 19:43:31 GMT", (412, 200))):
        theirs, ours = both(pair, Request("/faults/dated", headers=(("If-Unmodified-Since", date),)))
        assert (theirs.status, ours.status) == answers, date


def test_a_file_of_before_1970(writer: Writer, pair: Pair) -> None:
    writer.rpc.create("/faults/old", [writer.rpc.needle(b"x")], age=int(time.time()) + 86400)
    theirs, ours = both(pair, Request("/faults/old", headers=(("If-Modified-Since", "Sat, 29 Oct 1994 19:43:31 GMT"),)))
    assert (theirs.status, ours.status) == (304, 200)
    theirs, ours = both(pair, Request("/faults/old"))
    assert theirs.header("last-modified").split()[3] == "1969" and not ours.header("last-modified")


def test_a_chunk_before_the_file(writer: Writer, pair: Pair) -> None:
    chunk = writer.rpc.needle(b"x" * 100)
    writer.rpc.create("/faults/before", [Chunk(chunk.fid, -10, 100)])
    theirs, ours = both(pair, Request("/faults/before"))
    assert theirs.status == 200
    assert ours.status == 502


def test_control_bytes_in_headers(writer: Writer, pair: Pair) -> None:
    writer.rpc.create("/faults/control", [writer.rpc.needle(b"x")], extended={"Seaweed-Odd": b"a\x01b"})
    theirs, ours = both(pair, Request("/faults/control"))
    assert theirs.header("seaweed-odd") == "a\x01b"
    assert ours.header("seaweed-odd") == "a b"


def test_fragments(writer: Writer, pair: Pair) -> None:
    writer.rpc.create("/faults/name#of", [writer.rpc.needle(b"whose name has a #")])
    theirs, ours = both(pair, Request("/faults/name#of"))
    assert (theirs.status, theirs.body, ours.status) == (200, b"whose name has a #", 400)
    theirs, ours = both(pair, Request("/faults/name%23of"))
    assert theirs.body == ours.body == b"whose name has a #"


@pytest.mark.parametrize("character", list('<>^`\\|"'))
def test_raw_characters(pair: Pair, character: str) -> None:
    theirs, ours = both(pair, Request(f"/faults/a{character}b"))
    assert theirs.status == 404
    assert ours.status in (400, 404)


def test_the_size_of_headers(writer: Writer, pair: Pair) -> None:
    target = writer.get("one-byte").target
    theirs, ours = both(pair, Request(target, headers=(("X-Huge", "h" * 700_000),)))
    assert theirs.status == 200
    assert ours.status in (0, 431)
    theirs, ours = both(pair, Request(target, headers=tuple((f"X-{number}", "h") for number in range(300))))
    assert (theirs.status, ours.status) == (200, 431)


def test_a_client_that_has_said_all_it_will_say_is_gone(writer: Writer, gates: dict[str, Tidegate]) -> None:
    request = Request(writer.get("one-byte").target, headers=(("Connection", "close"),))
    answers = []
    for address in (writer.fronts["plain"].filer.address, gates["plain"].listen):
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(request.wire(address))
            connection.shutdown(socket.SHUT_WR)
            answers.append(connection.makefile("rb").readline())
    assert answers == [b"HTTP/1.1 200 OK\r\n", b""]


def test_deleted_but_not_yet_vacuumed(writer: Writer, pair: Pair) -> None:
    chunk = writer.rpc.needle(b"deleted at the volume server")
    assert writer.delete_needle(chunk.fid) == 202
    writer.rpc.create("/faults/deleted", [chunk])
    theirs, ours = both(pair, Request("/faults/deleted"))
    assert theirs.status == 200
    assert ours.status == 502


def test_a_cache_is_told_of_the_origin(fronts_with_origins: tuple[Front, Tidegate]) -> None:
    front, gate = fronts_with_origins
    pair = Pair(front.filer.address, gate.listen)
    theirs, ours = both(pair, Request("/no-such-file", headers=(("Origin", "https://a.example"),)))
    pair.close()
    assert theirs.header("access-control-allow-origin") == ours.header("access-control-allow-origin")
    assert theirs.header("vary") == ""
    assert ours.header("vary") == "Origin"
