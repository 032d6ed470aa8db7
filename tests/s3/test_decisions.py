"""When the gateway is asked, and what happens where it does not answer: nothing is read before its word, and none is kept."""

import threading
from collections.abc import Iterator

import pytest

from bucket import PRIVATE, PUBLIC, Bucket, content
from harness import Encryption, Kms, Tidegate
from harness.line import Line, Reply, Request
from harness.ports import HOST, free_port
from harness.relay import Relay
from harness.sigv import presigned, signed
from objects import Writer
from people import ADMIN, LIMITED, NOBODY, READER
from sides import Sides


def ask(address: str, request: Request) -> Reply:
    """One request on a connection of its own."""
    line = Line(address)
    try:
        return line.ask(request)
    finally:
        line.close()


def test_no_key_is_opened_for_who_may_not(writer: Writer, sides: Sides, kms: Kms, gate: tuple[Tidegate, str]) -> None:
    """The KMS is asked once for an object's key, by the first who may read it, and for a HEAD not at all."""
    sse = writer.sse(Encryption.SSE_KMS)
    writer.client.put_object(Bucket=writer.bucket("plain"), Key="sealed", Body=b"s" * 300_000, **sse)
    bare = Request("/plain/sealed")
    before = kms.calls()
    for request in (bare, signed(bare, NOBODY, sides.host), presigned(bare, READER, sides.host, at=0.0)):
        assert sides.gate.ask(request).status == 403
    assert sides.gate.ask(signed(Request("/plain/sealed", "HEAD"), READER, sides.host)).status == 200
    unchanged = Request("/plain/sealed", headers=(("If-None-Match", "*"),))
    assert sides.gate.ask(signed(unchanged, READER, sides.host)).status == 304
    assert kms.calls() == before
    for _ in range(3):
        assert sides.gate.ask(signed(bare, READER, sides.host)).body == b"s" * 300_000
        ranged = Request("/plain/sealed", headers=(("Range", "bytes=9-19"),))
        assert sides.gate.ask(signed(ranged, READER, sides.host)).body == b"s" * 11
    assert kms.calls() == before + 1


@pytest.fixture(scope="module")
def breakable(sides: Sides, start_gate) -> Iterator[tuple[str, Relay]]:
    """A tidegate whose gateway can be taken away."""
    host, _, port = sides.gateway.address.rpartition(":")
    relay = Relay((HOST, 0), (host, int(port)))
    _, address = start_gate(f"http://{HOST}:{relay.port}")
    yield address, relay
    relay.stop()


def test_no_gateway_no_byte(cases: Bucket, breakable: tuple[str, Relay]) -> None:
    """What was allowed a moment ago is not given when nobody is there to allow it again."""
    address, relay = breakable
    assert ask(address, cases.by(READER)).body == content("cases", PUBLIC)
    relay.drop()
    try:
        for request in (cases.by(READER), cases.by(ADMIN, PUBLIC, "", ("Range", "bytes=0-9")), cases.by(NOBODY), cases.get()):
            answer = ask(address, request)
            assert answer.status in (502, 503) and content("cases", PUBLIC)[:10] not in answer.body
            assert b"<Error>" in answer.body, "no S3 client understands this"
    finally:
        relay.resume()
    assert ask(address, cases.by(READER)).body == content("cases", PUBLIC)


def test_gateway_that_says_nothing(cases: Bucket, breakable: tuple[str, Relay]) -> None:
    """A decision that breaks off in the middle is none."""
    address, relay = breakable
    assert ask(address, cases.by(READER)).status == 200
    relay.behaviour.cut_after = 20
    try:
        answer = ask(address, cases.by(READER))
        assert answer.status in (0, 502, 503) and content("cases", PUBLIC)[:10] not in answer.body
    finally:
        relay.behaviour.calm()
        relay.drop()
        relay.resume()
    assert ask(address, cases.by(READER)).body == content("cases", PUBLIC)


def test_another_gateway(cases: Bucket, sides: Sides, start_gate) -> None:
    """Of several, one that is there is asked."""
    _, address = start_gate(f"http://{HOST}:{free_port()}", f"http://{sides.gateway.address}")
    for who, expected in ((READER, 200), (NOBODY, 403), (LIMITED, 200)) * 4:
        answer = ask(address, cases.by(who))
        assert answer.status == expected and (expected == 403 or answer.body == content("cases", PUBLIC))


def test_everybody_at_once(cases: Bucket, sides: Sides) -> None:
    """Sixteen connections with other rights, other objects and other ranges each."""
    wrong: list[str] = []

    def read(number: int) -> None:
        line = Line(sides.gate.address)
        key, who = (PUBLIC, PRIVATE)[number % 2], (READER, LIMITED, NOBODY, ADMIN)[number // 2 % 4]
        for turn in range(25):
            first = (number * 997 + turn * 4093) % 60_000
            request = cases.by(who, key, "", ("Range", f"bytes={first}-{first + 4095}"))
            answer = line.ask(request)
            may = who in (READER, ADMIN) or (who is LIMITED and key == PUBLIC)
            if answer.status != (206 if may else 403) or (may and answer.body != content("cases", key)[first : first + 4096]):
                wrong.append(f"{who.name} {key} {first}: {answer.status}")
        line.close()

    threads = [threading.Thread(target=read, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong, wrong[:5]
