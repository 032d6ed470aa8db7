"""A file that is replaced while it is read: the old one whole, the new one whole, or a cut connection, never a mix."""

import hashlib
import http.client
import threading
import time

import pytest
from files import CUSTOMER_KEY, Writer
from harness import Payload, Tidegate, open_stream, request
from harness.s3 import Encryption, sse_arguments

MIB = 1 << 20
SIZE = 6 * MIB + 12_345
VERSIONS = 6
SECONDS = 6.0
READERS = 4


def versions(name: str) -> dict[str, bytes]:
    """Contents of one size by their digest. Sizes differ by nothing, so that length alone tells no mix."""
    contents = [Payload(f"{name} {number}", SIZE).bytes() for number in range(VERSIONS)]
    return {hashlib.sha256(content).hexdigest(): content for content in contents}


@pytest.mark.parametrize("encryption", ["plain", "sse-c", "sse-s3"])
def test_never_a_mix(encryption: str, writer: Writer, gates: dict[str, Tidegate]) -> None:
    """Two writers replace the file without a pause while slow and fast readers read it whole and in two ranges."""
    front, gate = writer.fronts["plain"], gates["plain"]
    known = versions(encryption)
    key = f"replaced-{encryption}"
    writer.get("s3")  # for its bucket
    if encryption == "plain":
        path, headers = f"/{key}", {}

        def write(content: bytes) -> None:
            assert request("PUT", front.filer.url + path, body=content).status == 201

    else:
        kind = Encryption.SSE_C if encryption == "sse-c" else Encryption.SSE_S3
        arguments = sse_arguments(kind, customer_key=CUSTOMER_KEY)
        path = f"/buckets/differential/{key}"
        headers = dict(CUSTOMER_KEY.headers()) if encryption == "sse-c" else {}

        def write(content: bytes) -> None:
            front.s3.put("differential", key, content, **arguments)

    write(next(iter(known.values())))
    until = time.monotonic() + SECONDS
    whole, cut, mixed, wrong = [0], [0], [], []

    def writing() -> None:
        while time.monotonic() < until:
            for content in known.values():
                write(content)

    def reading(pause: float) -> None:
        while time.monotonic() < until:
            digest = hashlib.sha256()
            try:
                with open_stream("GET", gate.url + path, headers) as response:
                    if response.status in (502, 503):
                        cut[0] += 1  # refused before the first header
                        continue
                    if response.status != 200:
                        wrong.append(response.status)
                        continue
                    while piece := response.read(256 << 10):
                        digest.update(piece)
                        time.sleep(pause)
                    if response.length:
                        cut[0] += 1
                        continue
            except (http.client.HTTPException, OSError):
                cut[0] += 1
                continue
            whole[0] += 1
            if digest.hexdigest() not in known:
                mixed.append(digest.hexdigest())

    threads = [threading.Thread(target=writing)]
    threads += [threading.Thread(target=reading, args=(0.02 if number % 2 else 0,)) for number in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not mixed, f"{len(mixed)} of {whole[0]} answers that ended well were of no version"
    assert not wrong, wrong
    assert whole[0] >= 5, f"{whole[0]} whole, {cut[0]} cut: too few to tell"


def test_parts_name_the_version_that_they_are_of(writer: Writer, gates: dict[str, Tidegate]) -> None:
    """With If-Range, a part of another version is never joined to what the client has."""
    front, gate = writer.fronts["plain"], gates["plain"]
    old, new = Payload("old part", 2 * MIB).bytes(), Payload("new part", 2 * MIB).bytes()
    request("PUT", front.filer.url + "/resumed", body=old)
    first = request("GET", gate.url + "/resumed", {"Range": "bytes=0-999999"})
    assert (first.status, first.body) == (206, old[:1_000_000])
    resume = {"Range": "bytes=1000000-", "If-Range": first.header("ETag")}
    assert request("GET", gate.url + "/resumed", resume).body == old[1_000_000:]
    # Through tidegate, where the next read sees it: a write to the filer itself is seen when the filer's event has come.
    assert request("PUT", gate.url + "/resumed", body=new).status == 201
    again = request("GET", gate.url + "/resumed", resume)
    assert (again.status, again.body) == (200, new)
