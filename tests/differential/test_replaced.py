"""A file that is replaced while it is read: the old one whole, the new one whole, or a cut connection, never a mix."""

import hashlib
import http.client
import threading
import time

import pytest
from filer_rpc import FilerRpc
from files import CUSTOMER_KEY, Writer
from harness import Payload, Tidegate, open_stream, request
from harness.protobuf import message
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


@pytest.mark.parametrize("before", ["link", "in a remote store only"])
def test_what_becomes_an_encrypted_file_while_the_filer_answers_is_not_given_as_it_is_stored(
    before: str, writer: Writer, gates: dict[str, Tidegate]
) -> None:
    """The lookup says that the filer is to answer; then an encrypted object takes the path, and the filer gives what is stored
    of it. Nearly each time it did."""
    file = writer.get("sse-s3-small")
    rpc = FilerRpc(writer.fronts["plain"].filer)
    folder, name = file.target.rsplit("/", 1)
    sealed = message(*((1, "restless") if field == (1, name.encode()) else field for field in rpc.entry(file.target)))
    now = int(time.time())
    if before == "link":
        other = message((1, "restless"), (4, message((2, now), (3, 1 << 27 | 0o777), (6, now), (13, "nowhere"))))
    else:
        remote = message((1, "nowhere"), (3, "abc"), (4, now), (5, len(file.plaintext)))
        other = message((1, "restless"), (4, message((1, len(file.plaintext)), (2, now), (3, 0o660), (6, now))), (10, remote))
    stored = request("GET", writer.fronts["plain"].filer.url + file.target).body
    until = time.monotonic() + SECONDS / 2
    bodies: set[bytes] = set()

    def reading() -> None:
        while time.monotonic() < until:
            bodies.add(request("GET", f"{gates['plain'].url}{folder}/restless").body)

    readers = [threading.Thread(target=reading) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    while time.monotonic() < until:
        for entry in (other, sealed):
            rpc.call("CreateEntry", message((1, folder), (2, entry)))
            time.sleep(0.02)
    for reader in readers:
        reader.join()
    assert file.plaintext in bodies, "the file was read"
    assert stored != file.plaintext and stored not in bodies
