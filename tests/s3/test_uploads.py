"""What is written by tidegate, in every way that clients write, is in the gateway as it was sent, and the next GET reads it."""

import base64
import hashlib
import http.client
import socket
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from bucket import Bucket
from harness import Encryption, Payload
from harness.line import Request, read_reply
from harness.s3 import S3, sse_arguments
from harness.sigv import presigned, signed
from objects import CUSTOMER_KEY, MIB, Writer
from people import ADMIN, NOBODY, READER, s3_client
from sides import Sides

BUCKET = "uploads"


@pytest.fixture(scope="module")
def uploads(sides: Sides) -> str:
    """The bucket of this file."""
    Bucket(sides, BUCKET).do("PUT", "")
    return BUCKET


@pytest.fixture(scope="module")
def through(listen: str, uploads: str):
    """A client of tidegate."""
    return s3_client(listen)


@pytest.fixture(scope="module", params=Encryption, ids=lambda encryption: encryption.title)
def encryption(request: pytest.FixtureRequest) -> Encryption:
    """Each of them."""
    return request.param


@pytest.fixture(scope="module")
def sse(encryption: Encryption, writer: Writer) -> dict[str, str]:
    """What boto3 is told for that encryption."""
    return sse_arguments(encryption, customer_key=CUSTOMER_KEY, kms_key_id=writer.kms_key_id)


def is_read(sides: Sides, key: str, encryption: Encryption, content: bytes) -> None:
    """Both give what was written, whole and in part."""
    headers = tuple(CUSTOMER_KEY.headers().items()) if encryption is Encryption.SSE_C else ()
    bare = Request(f"/{BUCKET}/{key}", headers=headers)
    # tidegate first: nothing else has asked for it yet.
    first = sides.gate.ask(signed(bare, ADMIN, sides.host))
    assert (first.status, first.body) == (200, content)
    assert sides.answer(signed(bare, ADMIN, sides.host)).body == content
    if len(content) > 100:
        part = sides.answer(signed(replace(bare, headers=(*headers, ("Range", "bytes=50-99"))), ADMIN, sides.host))
        assert (part.status, part.body) == (206, content[50:100])


@pytest.mark.parametrize("size", [0, 1, 100, MIB, 2 * MIB + 77])
def test_put(through, sides: Sides, encryption: Encryption, sse: dict[str, str], size: int) -> None:
    key = f"put-{encryption.value}-{size}"
    content = Payload(key, size).bytes()
    through.put_object(Bucket=BUCKET, Key=key, Body=content, **sse)
    is_read(sides, key, encryption, content)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"])
def test_checksums_in_trailers(through, sides: Sides, algorithm: str) -> None:
    content = Payload(algorithm, 200_000).bytes()
    try:
        through.put_object(Bucket=BUCKET, Key=algorithm, Body=content, ChecksumAlgorithm=algorithm, ServerSideEncryption="AES256")
    except Exception as error:  # what boto3 cannot sum without a library of Amazon's
        assert "awscrt" in str(error).lower() or "crt" in str(error).lower(), error
        return
    is_read(sides, algorithm, Encryption.SSE_S3, content)
    asked = Request(f"/{BUCKET}/{algorithm}", headers=(("x-amz-checksum-mode", "ENABLED"),))
    answer = sides.answer(signed(asked, ADMIN, sides.host))
    assert answer.header(f"x-amz-checksum-{algorithm.lower()}")
    assert through.get_object(Bucket=BUCKET, Key=algorithm, ChecksumMode="ENABLED")["Body"].read() == content


def test_multipart(through, listen: str, sides: Sides, encryption: Encryption, sse: dict[str, str]) -> None:
    key = f"multipart-{encryption.value}"
    parts = [Payload(f"{key}/{number}", size).bytes() for number, size in enumerate([5 * MIB, 5 * MIB + 9, 31])]
    S3(f"http://{listen}").put_multipart(BUCKET, key, parts, **sse)
    is_read(sides, key, encryption, b"".join(parts))


def test_multipart_with_checksums(through, sides: Sides) -> None:
    key = "multipart-summed"
    parts = [Payload(f"{key}/{number}", size).bytes() for number, size in enumerate([5 * MIB, 99])]
    made = through.create_multipart_upload(Bucket=BUCKET, Key=key, ChecksumAlgorithm="CRC32", ServerSideEncryption="AES256")
    done = []
    for number, body in enumerate(parts, 1):
        part = through.upload_part(
            Bucket=BUCKET, Key=key, UploadId=made["UploadId"], PartNumber=number, Body=body, ChecksumAlgorithm="CRC32"
        )
        done.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    through.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=made["UploadId"], MultipartUpload={"Parts": done})
    is_read(sides, key, Encryption.SSE_S3, b"".join(parts))


def test_upload_given_up(through, sides: Sides) -> None:
    made = through.create_multipart_upload(Bucket=BUCKET, Key="given-up")["UploadId"]
    through.upload_part(Bucket=BUCKET, Key="given-up", UploadId=made, PartNumber=1, Body=b"x" * 100)
    assert len(through.list_parts(Bucket=BUCKET, Key="given-up", UploadId=made)["Parts"]) == 1
    through.abort_multipart_upload(Bucket=BUCKET, Key="given-up", UploadId=made)
    assert sides.status(signed(Request(f"/{BUCKET}/given-up"), ADMIN, sides.host)) == 404


def test_overwritten_and_read_at_once(through, sides: Sides, encryption: Encryption, sse: dict[str, str]) -> None:
    """Twenty times, with nobody waiting for anything."""
    key = f"overwritten-{encryption.value}"
    arguments = {name: value for name, value in sse.items() if name.startswith("SSECustomer")}
    for number in range(20):
        content = Payload(f"{key}/{number}", 5000 + number % 2).bytes()
        through.put_object(Bucket=BUCKET, Key=key, Body=content, **sse)
        assert through.get_object(Bucket=BUCKET, Key=key, **arguments)["Body"].read() == content, number


def test_overwritten_at_the_gateway(through, sides: Sides, writer: Writer, encryption: Encryption, sse: dict[str, str]) -> None:
    """tidegate has not seen the write, and reads the new object all the same: the gateway has named it."""
    key = f"overwritten-there-{encryption.value}"
    arguments = {name: value for name, value in sse.items() if name.startswith("SSECustomer")}
    for number in range(20):
        content = Payload(f"{key}/{number}", 5000 + number % 2).bytes()
        writer.client.put_object(Bucket=BUCKET, Key=key, Body=content, **sse)
        assert through.get_object(Bucket=BUCKET, Key=key, **arguments)["Body"].read() == content, number


def test_deleted_copied_listed(through, sides: Sides, encryption: Encryption, sse: dict[str, str]) -> None:
    source, target = f"source-{encryption.value}", f"target-{encryption.value}"
    content = Payload(source, 30_000).bytes()
    through.put_object(Bucket=BUCKET, Key=source, Body=content, **sse)
    opens = {}
    if encryption is Encryption.SSE_C:
        opens = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": CUSTOMER_KEY.raw}
    through.copy_object(Bucket=BUCKET, Key=target, CopySource=f"{BUCKET}/{source}", **opens, **sse)
    is_read(sides, target, encryption, content)
    for query in ("list-type=2&prefix=", "prefix=source", "list-type=2&max-keys=3", "versions", "location", "uploads"):
        sides.status(signed(Request(f"/{BUCKET}?{query}"), ADMIN, sides.host))
        sides.status(signed(Request(f"/{BUCKET}?{query}"), NOBODY, sides.host))
    sides.status(signed(Request("/"), ADMIN, sides.host))
    through.delete_object(Bucket=BUCKET, Key=source)
    assert sides.status(signed(Request(f"/{BUCKET}/{source}"), ADMIN, sides.host)) == 404
    is_read(sides, target, encryption, content)
    through.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": target}, {"Key": "never-was"}]})
    assert sides.status(signed(Request(f"/{BUCKET}/{target}"), ADMIN, sides.host)) == 404


def raw(listen: str, head: str, pieces: list[bytes], wait_for_continue: bool = False) -> tuple[int, bytes]:
    """Sends a head, and the pieces after it; answers status and body. AssertionError where no 100 comes though one
    is waited for."""
    host, _, port = listen.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.encode())
        if wait_for_continue:
            assert connection.recv(1 << 12).startswith(b"HTTP/1.1 100 "), "no 100 came"
        for piece in pieces:
            connection.sendall(piece)
        reply, _ = read_reply(connection, "PUT")
        return reply.status, reply.body


def head_of(request: Request, *more: str) -> str:
    lines = [f"{request.method} {request.target} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers), *more]
    return "\r\n".join(lines) + "\r\n\r\n"


ENCRYPTED = (("x-amz-server-side-encryption", "AES256"),)


@pytest.mark.parametrize("sign", [signed, presigned])
def test_expect(sides: Sides, uploads: str, listen: str, sign: Callable[..., Request]) -> None:
    """The 100 comes before the body."""
    content = Payload("expect", 300_000).bytes()
    bare = Request(f"/{BUCKET}/expect", "PUT")
    length = f"Content-Length: {len(content)}"
    head = head_of(sign(bare, ADMIN, sides.host), length, "Expect: 100-continue")
    assert raw(listen, head, [content], wait_for_continue=True)[0] == 200
    is_read(sides, "expect", Encryption.NONE, content)
    refused = head_of(sign(bare, NOBODY, sides.host), length, "Expect: 100-continue")
    assert raw(listen, refused, [content], wait_for_continue=True)[0] == 403  # 4.48 wants to hear the body first


def test_chunked_transfer(sides: Sides, uploads: str, listen: str) -> None:
    """A body without a length, in HTTP's own chunks."""
    content = Payload("chunked", 100_000).bytes()
    request = signed(Request(f"/{BUCKET}/chunked", "PUT", ENCRYPTED), ADMIN, sides.host)
    pieces = [content[at : at + 30_000] for at in range(0, len(content), 30_000)]
    sent = [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces] + [b"0\r\n\r\n"]
    answers = []
    for address in (sides.gateway.address, listen):
        answers.append(raw(address, head_of(request, "Transfer-Encoding: chunked"), sent)[0])
    assert answers[0] == answers[1]
    if answers[0] == 200:
        is_read(sides, "chunked", Encryption.SSE_S3, content)


@pytest.mark.parametrize("sum_is_right", [True, False], ids=["right", "wrong"])
def test_chunks_and_trailer(sides: Sides, uploads: str, listen: str, sum_is_right: bool) -> None:
    """`aws-chunked` with a checksum in a trailer, which nobody but the gateway takes apart."""
    content = Payload("trailer", 150_000).bytes()
    total = zlib.crc32(content) ^ (0 if sum_is_right else 1)
    crc = base64.b64encode(total.to_bytes(4, "big")).decode()
    framed = b"".join(
        f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
        for piece in (content[at : at + 65_536] for at in range(0, len(content), 65_536))
    )
    framed += f"0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n".encode()
    headers = (
        *ENCRYPTED,
        ("Content-Encoding", "aws-chunked"),
        ("X-Amz-Decoded-Content-Length", str(len(content))),
        ("X-Amz-Trailer", "x-amz-checksum-crc32"),
    )
    key = f"trailer-{sum_is_right}"
    bare = Request(f"/{BUCKET}/{key}", "PUT", headers)
    request = signed(bare, ADMIN, sides.host, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    status, body = raw(listen, head_of(request, f"Content-Length: {len(framed)}"), [framed[:70_000], framed[70_000:]])
    if sum_is_right:
        assert status == 200, body
        is_read(sides, key, Encryption.SSE_S3, content)
    else:
        assert status == 400, body
        assert sides.status(signed(Request(f"/{BUCKET}/{key}"), ADMIN, sides.host)) == 404


def test_signed_payload(sides: Sides, uploads: str) -> None:
    """With the body's digest signed, and with that of another body, which 4.48 takes too."""
    content = Payload("signed payload", 50_000).bytes()
    for name, body in (("right", content), ("wrong", content[1:])):
        bare = Request(f"/{BUCKET}/signed-payload-{name}", "PUT", ENCRYPTED, content)
        request = signed(bare, ADMIN, sides.host, payload=hashlib.sha256(body).hexdigest())
        assert sides.gate.ask(request).status == sides.gateway.ask(request).status
    is_read(sides, "signed-payload-right", Encryption.SSE_S3, content)


def test_form(sides: Sides, uploads: str) -> None:
    """A POST as a browser sends it, without a policy in it: refused or taken, but by the gateway."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nform\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent\r\n--b--\r\n'
    )
    request = Request(f"/{BUCKET}", "POST", (("Content-Type", "multipart/form-data; boundary=b"),), body)
    sides.status(request)


def test_refused_writes(sides: Sides, uploads: str) -> None:
    for who in (NOBODY, READER):
        for method in ("PUT", "DELETE", "POST"):
            bare = Request(f"/{BUCKET}/refused", method, (), b"x" * 100 if method == "PUT" else b"")
            assert sides.status(signed(bare, who, sides.host)) in (403, 405)
            assert sides.status(replace(bare, headers=())) in (403, 405)
    assert sides.status(signed(Request(f"/{BUCKET}/refused"), ADMIN, sides.host)) == 404


def test_cut_off_upload(sides: Sides, uploads: str, listen: str) -> None:
    """Half a body is no object."""
    request = signed(Request(f"/{BUCKET}/cut", "PUT", ENCRYPTED), ADMIN, sides.host)
    host, _, port = listen.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head_of(request, "Content-Length: 100000").encode() + b"x" * 50_000)
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head_of(request, "Content-Length: 100000").encode() + b"x" * 50_000)
        connection.shutdown(socket.SHUT_WR)
        try:
            assert read_reply(connection, "PUT")[0].status >= 400
        except (http.client.HTTPException, OSError):
            pass
    assert sides.status(signed(Request(f"/{BUCKET}/cut"), ADMIN, sides.host)) == 404
