"""Entries that no gateway writes: cut short in place, as `weed mount` does it, or made to get at what they must not."""

import base64
import http.client
import json
import socket
from dataclasses import replace

import pytest
from filer_rpc import Chunk
from files import CUSTOMER_KEY, MIB, Writer
from harness import Encryption, Tidegate, request
from harness.protobuf import Fixed32, message
from harness.s3 import sse_arguments


@pytest.mark.parametrize("size, kept", [(1000, 600), (3 * MIB, 2 * MIB)], ids=["small", "large"])
def test_a_file_that_was_cut_short_in_place_is_served(
    size: int, kept: int, writer: Writer, gates: dict[str, Tidegate]
) -> None:
    """The chunk says how much of its needle is the file's."""
    (content,) = writer.needles(size)
    path = f"/cut-short/{size}"
    writer.rpc.create(path, [replace(writer.rpc.needle(content), size=kept)], size=kept)
    whole = request("GET", gates["plain"].url + path)
    assert (whole.status, whole.body) == (200, content[:kept])
    part = {"Range": "bytes=10-19"}
    by_filer = request("GET", writer.fronts["plain"].filer.url + path, part)
    by_gate = request("GET", gates["plain"].url + path, part)
    assert (by_gate.status, by_gate.body) == (by_filer.status, by_filer.body) == (206, content[10:20])


def test_a_sealed_file_with_other_sizes_than_what_was_sealed_is_served(
    writer: Writer, gates: dict[str, Tidegate]
) -> None:
    """The filer breaks off a file that was cut short, and takes what sealing adds for bytes of the file."""
    (content,) = writer.needles(1000)
    sealed = writer.fronts["sealed"].filer.url + "/sealed-sizes"
    assert request("PUT", sealed, {"Content-Type": "application/octet-stream"}, content).status == 201
    (stored,) = json.loads(request("GET", f"{sealed}?metadata=true").body)["chunks"]
    chunk = Chunk(stored["file_id"], 0, 1000, etag=stored["e_tag"], cipher_key=base64.b64decode(stored["cipher_key"]))
    for size, kept in ((600, 600), (1028, 1000)):
        path = f"/sealed-sizes/{size}"
        writer.rpc.create(path, [replace(chunk, size=size)], size=kept)
        head = request("HEAD", gates["plain"].url + path)
        whole = request("GET", gates["plain"].url + path)
        part = request("GET", gates["plain"].url + path, {"Range": "bytes=10-599"})
        assert (head.status, head.header("Content-Length")) == (200, str(kept))
        assert (whole.status, whole.body) == (200, content[:kept])
        assert (part.status, part.body) == (206, content[10:600])
        assert not is_read_by_filer(writer.fronts["plain"].filer.url + path, content[:kept]), "the filer was mended"


def is_read_by_filer(url: str, content: bytes) -> bool:
    """Whether the filer gives a file right."""
    try:
        answer = request("GET", url)
    except (http.client.HTTPException, OSError):
        return False
    return (answer.status, answer.body) == (200, content)


def test_a_manifest_of_a_plain_entry_does_not_open_an_encrypted_object(
    writer: Writer, gates: dict[str, Tidegate]
) -> None:
    """Who may have an object is judged by what its entry says: the chunks must say the same."""
    secret = writer.get("sse-s3")
    filer = writer.fronts["plain"].filer.url
    chunks = json.loads(request("GET", f"{filer}{secret.target}?metadata=true").body)["chunks"]
    chunk = chunks[0]
    volume, rest = chunk["file_id"].split(",")
    listed = message(
        (2, 0),
        (3, chunk["size"]),
        (4, 5),
        (7, message((1, int(volume)), (2, int(rest[:-8], 16)), (3, Fixed32(int(rest[-8:], 16))))),
        (12, chunk["sse_type"]),
        (13, base64.b64decode(chunk["sse_metadata"])),
    )
    manifest = replace(writer.rpc.needle(message((1, listed))), size=chunk["size"], manifest=True)
    writer.rpc.create("/crafted/manifest", [manifest], size=chunk["size"])
    answer = request("GET", gates["plain"].url + "/crafted/manifest")
    assert answer.status == 500
    assert json.loads(answer.body)["code"] == "InvalidEncryptionMetadata"


def test_a_manifest_of_millions_of_empty_chunks_is_refused(writer: Writer, gates: dict[str, Tidegate]) -> None:
    manifest = replace(writer.rpc.needle(b"\x0a\x00" * MIB), size=1000, manifest=True)
    writer.rpc.create("/crafted/millions", [manifest], size=1000)
    answer = request("GET", gates["plain"].url + "/crafted/millions")
    assert answer.status == 502
    assert b"lists more than" in answer.body


def test_an_entry_with_more_attributes_than_headers_can_be_is_served(
    writer: Writer, gates: dict[str, Tidegate]
) -> None:
    extended = {f"Seaweed-a{number:05}": b"x" for number in range(25_000)}
    writer.rpc.create("/crafted/attributes", content=b"bytes", size=5, extended=extended)
    host, port = gates["plain"].listen.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"HEAD /crafted/attributes HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert connection.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"


def test_a_query_that_the_filer_would_not_read_is_refused(writer: Writer, gates: dict[str, Tidegate]) -> None:
    target = writer.get("one-chunk").target + "?dl=true" + "&" * 10_000
    assert request("GET", writer.fronts["plain"].filer.url + target).status == 200
    assert request("GET", gates["plain"].url + target).status == 400


def test_an_encrypted_file_that_is_kept_in_its_entry_is_served_though_a_remote_store_has_it(
    writer: Writer, gates: dict[str, Tidegate]
) -> None:
    """It was said to be in the remote store only."""
    front, content = writer.fronts["plain"], b"kept in its entry, and elsewhere"
    writer.get("s3")  # for its bucket
    front.s3.put("differential", "also-remote", content, **sse_arguments(Encryption.SSE_S3, customer_key=CUSTOMER_KEY))
    path = "/buckets/differential/also-remote"
    stored = request("GET", front.filer.url + path).body
    remote = message((1, "nowhere"), (3, "abc"), (4, 1), (5, len(content)))
    rest = [field for field in writer.rpc.entry(path) if field[0] not in (3, 9, 10)]
    folder, _, _ = path.rpartition("/")
    writer.rpc.call("CreateEntry", message((1, folder), (2, message(*rest, (9, stored), (10, remote)))))
    for headers, expected in (({}, (200, content)), ({"Range": "bytes=5-9"}, (206, content[5:10]))):
        answer = request("GET", gates["plain"].url + path, headers)
        assert (answer.status, answer.body) == expected
