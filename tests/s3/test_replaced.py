"""An object that is replaced while it is read: the old one or the new one, each by its own rights, never a mix."""

import hashlib
import http.client
import threading
import time
from collections.abc import Callable

import pytest

from bucket import TAG, Bucket
from harness import Payload, open_stream
from harness.line import Line, Request
from harness.relay import Behaviour, Relay
from harness.sigv import signed
from people import ADMIN, READER
from sides import Sides

MIB = 1 << 20
SECONDS = 4.0
SIZE = 2 * MIB + 333


def versions(name: str, count: int) -> dict[str, bytes]:
    """Contents of one length by their digest."""
    contents = [Payload(f"{name} {number}", SIZE).bytes() for number in range(count)]
    return {hashlib.sha256(content).hexdigest(): content for content in contents}


def until_over(seconds: float, *works: Callable[[], None]) -> None:
    """Does all of it over and over again, side by side."""
    end = time.monotonic() + seconds
    failures: list[BaseException] = []

    def over_and_over(work: Callable[[], None]) -> None:
        try:
            while time.monotonic() < end:
                work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=over_and_over, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures, failures[0]


def read(address: str, request: Request) -> tuple[int, str, bytes]:
    """Status, ETag and body; (0, "", b"") where the connection was cut."""
    try:
        headers = dict(request.headers)
        with open_stream("GET", f"http://{address}{request.target}", headers) as response:
            return response.status, response.headers.get("ETag", ""), response.read()
    except (http.client.HTTPException, OSError):
        return 0, "", b""


def test_never_a_mix(bucket: Bucket) -> None:
    """Two writers, three readers: whatever ends well is one version, under its own ETag."""
    sides, known = bucket.sides, versions("mixed", 6)
    md5s = {hashlib.md5(content).hexdigest(): digest for digest, content in known.items()}
    contents = list(known.values())
    bucket.put("replaced", contents[0])
    seen, bad = [0, 0], []

    def writing(line: Line, mine: list[bytes]) -> Callable[[], None]:
        def write() -> None:
            for content in mine:
                request = Request(f"/{bucket.name}/replaced", "PUT", (("x-amz-server-side-encryption", "AES256"),), content)
                assert line.ask(signed(request, ADMIN, sides.host)).status == 200

        return write

    def reading() -> None:
        status, etag, body = read(sides.gate.address, bucket.by(READER, "replaced"))
        if status == 0 or status >= 500:
            seen[1] += 1
            return
        seen[0] += 1
        digest = hashlib.sha256(body).hexdigest()
        if status != 200 or digest not in known or md5s.get(etag.strip('"')) != digest:
            bad.append((status, etag, len(body)))

    writers = [writing(Line(sides.gateway.address), contents[:3]), writing(Line(sides.gate.address), contents[3:])]
    until_over(SECONDS, *writers, reading, reading, reading)
    assert not bad, f"{len(bad)} of {seen[0]}: {bad[:3]}"
    assert seen[0] >= 20, f"{seen[0]} whole, {seen[1]} not: too few to tell"


def test_never_a_forbidden_version(bucket: Bucket) -> None:
    """The object is by turns one that all may read and one that a policy denies by its tag, of the same length. Nobody
    gets a byte of the second, however decision and body lie in time."""
    sides = bucket.sides
    free, forbidden = Payload("free", SIZE).bytes(), Payload("forbidden", SIZE).bytes()
    condition = {"StringEquals": {f"s3:ExistingObjectTag/{TAG[0]}": TAG[1]}}
    bucket.allow_and_deny(bucket.statement("Allow"), bucket.statement("Deny", Condition=condition))
    tagging = ("x-amz-tagging", "=".join(TAG))
    statuses: dict[int, int] = {}
    wrong: list[int] = []

    def write(line: Line, content: bytes, *headers: tuple[str, str]) -> None:
        bare = Request(f"/{bucket.name}/turns", "PUT", (("x-amz-server-side-encryption", "AES256"), *headers), content)
        assert line.ask(signed(bare, ADMIN, sides.host)).status == 200

    line = Line(sides.gateway.address)
    write(line, free)

    def writing() -> None:
        write(line, forbidden, tagging)
        write(line, free)

    def reading() -> None:
        status, _, body = read(sides.gate.address, bucket.get("turns"))
        statuses[status] = statuses.get(status, 0) + 1
        if status == 200 and body != free:
            wrong.append(next((at for at in range(SIZE) if body[at : at + 1] != free[at : at + 1]), SIZE))

    def reading_in_parts() -> None:
        status, _, body = read(sides.gate.address, bucket.get("turns", "", ("Range", f"bytes={MIB}-{MIB + 999}")))
        if status == 206 and body != free[MIB : MIB + 1000]:
            wrong.append(-1)

    until_over(SECONDS, writing, reading, reading, reading_in_parts)
    assert not wrong, f"{len(wrong)} answers with forbidden bytes, from {wrong[:3]}"
    assert statuses.get(200, 0) >= 3 and statuses.get(403, 0) >= 3, statuses


@pytest.fixture(scope="module")
def slow(sides: Sides, start_gate, listen: str):
    """A tidegate whose gateway is behind a line that holds answers back, and what that line does."""
    behaviour = Behaviour()
    host, _, port = sides.gateway.address.rpartition(":")
    relay = Relay(("127.0.0.1", 0), (host, int(port)), behaviour)
    if listen == sides.gateway.address:  # compared with itself
        yield f"127.0.0.1:{relay.port}", behaviour
    else:
        _, address = start_gate(f"http://127.0.0.1:{relay.port}")
        yield address, behaviour
    relay.stop()


@pytest.mark.parametrize("tagged", [False, True], ids=["free", "forbidden"])
@pytest.mark.parametrize("with_policy", [False, True], ids=["without-policy", "with-policy"])
def test_replaced_between_decision_and_body(
    bucket: Bucket, slow: tuple[str, Behaviour], with_policy: bool, tagged: bool
) -> None:
    """The gateway has decided about the old object, and its word is under way when the new one comes."""
    address, behaviour = slow
    old, new = Payload("old", SIZE).bytes(), Payload("new", SIZE).bytes()
    if with_policy:
        condition = {"StringEquals": {f"s3:ExistingObjectTag/{TAG[0]}": TAG[1]}}
        bucket.allow_and_deny(bucket.statement("Deny", Condition=condition))
    bucket.put("raced", old)
    request = bucket.by(READER, "raced")
    assert read(address, request)[2] == old
    got: list[tuple[int, str, bytes]] = []
    behaviour.delay = 0.5
    try:
        reader = threading.Thread(target=lambda: got.append(read(address, request)))
        reader.start()
        time.sleep(0.75)  # the gateway has answered by now, and tidegate has not heard it
        bucket.put("raced", new, *([("x-amz-tagging", "=".join(TAG))] if tagged else []))
        reader.join(30)
    finally:
        behaviour.calm()
    status, etag, body = got[0]
    if status == 200:
        content = {hashlib.md5(content).hexdigest(): content for content in (old, new)}[etag.strip('"')]
        assert body == content
        assert not (with_policy and tagged and body == new), "a byte of what the policy denies"
    else:
        assert status in (0, 403, 502, 503) and old[:100] not in body and new[:100] not in body
