"""Requests whose end two readers may see in two places: what tidegate passes on is never two where it answered one.

Behind each front is a relay that hears what is sent to the filer or the gateway. Each request hides another one, a DELETE, in what
may be its body. Whoever is right about where it ends, both must be of one mind.
"""

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from conftest import StartTidegate
from harness import Front, Tidegate
from harness.relay import Behaviour, Relay

HOST = "127.0.0.1"
PLACE = b"/smuggling/"
NAMED = b"/fragments/"
HIDDEN = b"DELETE /smuggling/hidden HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
NO_CHUNK = b"0\r\n\r\n"
AFTER = NO_CHUNK + HIDDEN
"""To who reads chunks an empty body and a second request."""
SHORT, LONG = b"Content-Length: %d\r\n" % len(NO_CHUNK), b"Content-Length: %d\r\n" % len(AFTER)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
REFUSALS = {400, 501}
READ_OTHERWISE = {
    # One reading, by RFC 9112: zeros before a size do not count. Go's server reads 16 digits at most.
    "a chunk's size with many zeros",
}
"""What tidegate takes and Go's servers refuse. It is passed on in a form that has one reading."""
QUIET = 1.5
"""Seconds without a byte after which no further answer is expected."""


def asked(headers: bytes, body: bytes = AFTER, line: bytes = b"PUT /smuggling/outer HTTP/1.1\r\n") -> bytes:
    return line + b"Host: a\r\nContent-Type: application/octet-stream\r\n" + headers + b"\r\n" + body


def chunks(body: bytes) -> bytes:
    return asked(CHUNKED, body + HIDDEN)


REQUESTS = {
    "one length": asked(SHORT),
    "all is body": asked(LONG + b"Connection: close\r\n"),
    "two lengths, short first": asked(SHORT + LONG),
    "two lengths, long first": asked(LONG + SHORT),
    "the same length twice": asked(SHORT + SHORT),
    "a list of lengths": asked(b"Content-Length: %d, %d\r\n" % (len(NO_CHUNK), len(AFTER))),
    "a list of one length": asked(b"Content-Length: 5, 5\r\n"),
    "a length with a plus": asked(b"Content-Length: +5\r\n"),
    "a length with a minus": asked(b"Content-Length: -5\r\n"),
    "a length in hexadecimal": asked(b"Content-Length: 0x5\r\n"),
    "a length with a space inside": asked(b"Content-Length: 5 5\r\n"),
    "a length beyond 64 bits": asked(b"Content-Length: 18446744073709551621\r\n"),
    "an empty length": asked(b"Content-Length:\r\n"),
    "a space before the colon of a length": asked(b"Content-Length : %d\r\n" % len(AFTER)),
    "chunks": asked(CHUNKED),
    "a long length and chunks": asked(LONG + CHUNKED),
    "chunks and a short length": asked(CHUNKED + SHORT),
    "chunks and a long length": asked(CHUNKED + LONG),
    "chunked twice in one header": asked(b"Transfer-Encoding: chunked, chunked\r\n"),
    "chunked in two headers": asked(CHUNKED + CHUNKED),
    "identity, then chunked": asked(LONG + b"Transfer-Encoding: identity, chunked\r\n"),
    "chunked, then identity": asked(LONG + b"Transfer-Encoding: chunked, identity\r\n"),
    "gzip, then chunked": asked(b"Transfer-Encoding: gzip, chunked\r\n"),
    "something like chunked": asked(LONG + b"Transfer-Encoding: xchunked\r\n"),
    "identity": asked(LONG + b"Transfer-Encoding: identity\r\n"),
    "chunked in quotes": asked(LONG + b'Transfer-Encoding: "chunked"\r\n'),
    "chunked after a vertical tab": asked(LONG + b"Transfer-Encoding: \x0bchunked\r\n"),
    "chunked in capitals": asked(b"Transfer-Encoding: CHUNKED\r\n"),
    "a space before the colon of the encoding": asked(LONG + b"Transfer-Encoding : chunked\r\n"),
    "chunks in HTTP/1.0": asked(LONG + CHUNKED, line=b"PUT /smuggling/outer HTTP/1.0\r\n"),
    "an encoding folded": asked(LONG + b"Transfer-Encoding:\r\n chunked\r\n"),
    "a length folded into another header": asked(SHORT + b"X-A: b\r\n Content-Length: %d\r\n" % len(AFTER)),
    "an encoding folded into another header": asked(LONG + b"X-A: b\r\n\tTransfer-Encoding: chunked\r\n"),
    "a fold as the first header": asked(SHORT, line=b"PUT /smuggling/outer HTTP/1.1\r\n X-A: b\r\n"),
    "bare LF before an encoding": asked(LONG + b"X-A: b\nTransfer-Encoding: chunked\r\n"),
    "bare CR before an encoding": asked(LONG + b"X-A: b\rTransfer-Encoding: chunked\r\n"),
    "bare LF at the end of the header": asked(SHORT)[: -len(AFTER) - 2] + b"\n" + AFTER,
    "bare CR at the end of the header": asked(SHORT)[: -len(AFTER) - 2] + b"\r" + AFTER,
    "bare CR in a name": asked(SHORT + b"X-\rA: b\r\n"),
    "NUL in a value": asked(SHORT + b"X-A: b\0c\r\n"),
    "NUL in a name": asked(SHORT + b"X-\0A: b\r\n"),
    "NUL before an encoding": asked(LONG + b"\0Transfer-Encoding: chunked\r\n"),
    "NUL in the target": asked(SHORT, line=b"PUT /smuggling/out\0er HTTP/1.1\r\n"),
    "bare CR in the target": asked(SHORT, line=b"PUT /smuggling/out\rer HTTP/1.1\r\n"),
    "a space in a name": asked(LONG + b"X A: b\r\n"),
    "a header without a colon": asked(SHORT + b"Transfer-Encoding chunked\r\n"),
    "an empty name": asked(SHORT + b": chunked\r\n"),
    "a chunk of more than 64 bits": chunks(b"10000000000000005\r\nhello\r\n" + NO_CHUNK),
    "a chunk of nearly 64 bits": chunks(b"fffffffffffffff0\r\nhello\r\n" + NO_CHUNK),
    "a chunk's size with many zeros": chunks(b"0" * 40 + b"5\r\nhello\r\n" + NO_CHUNK),
    "a chunk's size with a minus": chunks(b"-5\r\nhello\r\n" + NO_CHUNK),
    "a chunk's size with 0x": chunks(b"0x5\r\nhello\r\n" + NO_CHUNK),
    "a chunk's size with an underscore": chunks(b"0_5\r\nhello\r\n" + NO_CHUNK),
    "an empty chunk size": chunks(b"\r\nhello\r\n" + NO_CHUNK),
    "bare LF in a chunk's extension": chunks(b"5;a\nb\r\nhello\r\n" + NO_CHUNK),
    "bare CR in a chunk's extension": chunks(b"5;a\rb\r\nhello\r\n" + NO_CHUNK),
    "bare LF after a chunk's size": chunks(b"5\nhello\r\n" + NO_CHUNK),
    "bare LF after a chunk": chunks(b"5\r\nhello\n" + NO_CHUNK),
    "nothing after a chunk": chunks(b"5\r\nhello" + NO_CHUNK),
    "a chunk longer than it says": chunks(b"5\r\nhello, world\r\n" + NO_CHUNK),
    "a length in the trailer": chunks(b"5\r\nhello\r\n0\r\nContent-Length: 500\r\nTransfer-Encoding: x\r\n\r\n"),
    "bare LF at the end of the chunks": chunks(b"5\r\nhello\r\n0\n\n"),
}


@dataclass
class Heard:
    """A front, what it relays to, and the ear in between."""

    front: str
    server: str
    relay: Relay

    def by_tidegate(self, *sent: bytes) -> tuple[list[int], bytes]:
        """The statuses of tidegate's answers, and what it sent behind itself for them."""
        ear = self.relay.behaviour = Behaviour(remember=True)
        answered = statuses(self.front, *sent)
        return answered, bytes(ear.sent_by_clients)


@pytest.fixture(scope="module", params=["filer", "s3"])
def heard(request: pytest.FixtureRequest, front_1mb: Front, start_shared: StartTidegate) -> Iterator[Heard]:
    """The filer front and the S3 front, each before a relay."""
    behind = front_1mb.filer if request.param == "filer" else front_1mb.gateway
    relay = Relay((HOST, 0), (HOST, behind.port))
    try:
        if request.param == "filer":
            address = f"{HOST}:{relay.port}.{front_1mb.filer.grpc_port}"
            yield Heard(start_shared(front_1mb, {"filer": {"addresses": [address]}}).listen, behind.address, relay)
        else:
            gate = start_shared(front_1mb, {"s3": {"gateway": [f"http://{HOST}:{relay.port}"]}})
            yield Heard(gate.s3_listen, behind.address, relay)
    finally:
        relay.stop()


def statuses(address: str, *sent: bytes) -> list[int]:
    """Of all answers to these bytes, sent piece by piece, until the connection ends or nothing more comes."""
    host, _, port = address.rpartition(":")
    received = bytearray()
    with socket.create_connection((host, int(port)), timeout=QUIET) as line:
        try:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in sent:
                line.sendall(piece)
            while piece := line.recv(1 << 16):
                received += piece
        except (TimeoutError, ConnectionError):
            pass
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", received) if status != b"100"]


def requests(sent: bytes) -> list[bytes]:
    """The targets of the requests in a stream, read as strictly as can be. Fails where two readers may differ."""
    found = []
    sent = re.sub(rb"HEAD /\.tidegate/.*?\r\n\r\n", b"", sent, flags=re.DOTALL)  # now and then, on another connection
    while sent:
        head, ended, sent = sent.partition(b"\r\n\r\n")
        assert ended, f"a header without an end: {head!r}"
        line, *fields = head.split(b"\r\n")
        assert not re.search(rb"[\r\n\0]", b"".join([line, *fields])), f"a bare CR, LF or NUL: {head!r}"
        assert re.fullmatch(rb"[A-Z]+ [!-~]+ HTTP/1\.1", line), line
        found.append(line.split(b" ")[1])
        names = [re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*", field) for field in fields]
        assert all(names), f"a field that is none, or is folded: {head!r}"
        values = [(name[1].lower(), name[2]) for name in names if name]
        lengths = [value for name, value in values if name == b"content-length"]
        encodings = [value for name, value in values if name == b"transfer-encoding"]
        assert len(lengths) + len(encodings) <= 1, f"more than one end: {head!r}"
        if encodings:
            assert encodings == [b"chunked"], head
            sent = after_chunks(sent)
        elif lengths:
            assert lengths[0].isdigit(), head
            sent = sent[int(lengths[0]) :]
    return found


def after_chunks(sent: bytes) -> bytes:
    """What follows a chunked body, nothing where the body has no end."""
    while sent:
        size, ended, rest = sent.partition(b"\r\n")
        assert ended and re.fullmatch(rb"[0-9A-Fa-f]{1,16}", size), f"a chunk's size: {size!r}"
        if int(size, 16) == 0:
            assert rest.startswith(b"\r\n"), f"a trailer: {rest!r}"
            return rest[2:]
        end = int(size, 16)
        assert rest[end : end + 2] in (b"\r\n", b""), f"a chunk's end: {rest[end:]!r}"
        sent = rest[end + 2 :]
    return b""


@pytest.mark.parametrize("name", REQUESTS)
def test_both_see_as_many_requests(heard: Heard, name: str) -> None:
    """Those passed on are as many as were answered, or fewer. The answers are the filer's or the gateway's own, or a refusal.
    After one of them tidegate may hang up, where the other would go on to read."""
    sent = REQUESTS[name]
    wanted = statuses(heard.server, sent)
    answered, passed_on = heard.by_tidegate(sent)
    passed = [target for target in requests(passed_on) if target.startswith(PLACE)]
    if not wanted and not answered:
        assert len(passed) <= 1, "the body has no end, and no request is behind it"
        return
    assert answered and len(passed) <= len(answered), (passed, answered)
    if name not in READ_OTHERWISE:
        assert answered == wanted[: len(answered)] or answered[0] in REFUSALS and len(answered) == 1, (answered, wanted)


def with_fragment(target: bytes, method: bytes = b"DELETE", body: bytes = b"") -> bytes:
    return b"%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (method, target, len(body), body)


def named(passed: bytes) -> list[bytes]:
    """The targets of these tests. What else is passed on meanwhile is not theirs."""
    return re.findall(rb"[A-Z]+ (%b[!-~]*) HTTP/1\.1\r\n" % NAMED, passed)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"DELETE"])
@pytest.mark.parametrize("target", [b"a#", b"a#b", b"a?b=c#d", b"a%20b##c?d", b"#a"])
def test_a_target_with_a_fragment_is_refused(heard: Heard, method: bytes, target: bytes) -> None:
    """To who stands behind, the `#` is a part of the name: without it, another file would be meant."""
    answered, passed = heard.by_tidegate(with_fragment(NAMED + target, method))
    assert (answered, named(passed)) == ([400], [])


def test_a_target_with_a_host_and_a_fragment_is_refused(heard: Heard) -> None:
    answered, passed = heard.by_tidegate(with_fragment(b"http://a" + NAMED + b"a#b"))
    assert (answered, named(passed)) == ([400], [])


def cut(sent: bytes, size: int) -> list[bytes]:
    return [sent[at : at + size] for at in range(0, len(sent), size)]


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_a_fragment_is_refused_behind_other_requests(heard: Heard, size: int) -> None:
    """Also one of those that has the same target without it, and however they are cut. They are answered."""
    sent = b"".join(with_fragment(NAMED + name, b"GET") for name in (b"a", b"a#b", b"a", b"b#", b"c"))
    answered, passed = heard.by_tidegate(*cut(sent, size))
    assert [status == 400 for status in answered] == [False, True, False, True, False], answered
    assert named(passed) in ([], [NAMED + name for name in (b"a", b"a", b"c")])


@pytest.mark.parametrize("size", [7, 1 << 16])
def test_a_fragment_is_refused_behind_a_body(gate_1mb: Tidegate, size: int) -> None:
    """The file whose name is the target without it stays; and what a body has in it is a fragment of no target."""
    one, two = NAMED + b"one", NAMED + b"two"
    body = b"".join(with_fragment(NAMED + name) for name in (b"one#a", b"three#b"))
    sent = with_fragment(two, b"PUT", body) + with_fragment(two + b"#a") + with_fragment(two, b"GET")
    assert statuses(gate_1mb.listen, with_fragment(one, b"PUT", b"content")) == [201]
    assert statuses(gate_1mb.listen, *cut(sent, size)) == [201, 400, 200]
    assert statuses(gate_1mb.listen, with_fragment(one, b"GET")) == [200]


def test_the_ear_hears(heard: Heard) -> None:
    """Two requests one after the other are two behind tidegate, and the body of one is no request."""
    answered, passed = heard.by_tidegate(HIDDEN.replace(b"Connection: close\r\n", b"") + HIDDEN)
    assert (len(answered), requests(passed)) == (2, 2 * [PLACE + b"hidden"])
    answered, passed = heard.by_tidegate(REQUESTS["all is body"])
    assert (len(answered), requests(passed)) == (1, [PLACE + b"outer"])
