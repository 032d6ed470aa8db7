"""What changes about an object while its ETag stays: its description, its key, its chunks; and versions that come and go."""

import time

import pytest

from harness import Encryption, Payload
from harness.line import Reply, Request
from harness.s3 import CustomerKey
from harness.sigv import signed
from objects import CUSTOMER_KEY, WRONG_KEY, Writer
from people import ADMIN, s3_client
from sides import Sides, described, presented

BUCKET = "changed"
CONTENT = Payload("what stays", 90_000).bytes()
IN_TIME = 2.0
"""Seconds in which tidegate has heard from the filer of what it did not see itself. It takes milliseconds."""


@pytest.fixture(scope="module")
def bucket(writer: Writer) -> str:
    """The bucket of this file."""
    writer.client.create_bucket(Bucket=BUCKET)
    return BUCKET


@pytest.fixture(params=["by-tidegate", "at-the-gateway"])
def changes(request: pytest.FixtureRequest, writer: Writer, listen: str, bucket: str):
    """A client by which objects are changed, and whether tidegate sees it do so."""
    if request.param == "by-tidegate":
        return s3_client(listen), True
    return writer.client, False


def same_now(sides: Sides, request: Request, seen: bool) -> Reply:
    """The answer of both: at once where tidegate has seen the change, else in time. It gives no wrong byte meanwhile."""
    until = time.monotonic() + (0 if seen else IN_TIME)
    while True:
        wanted, got = sides.both(request)
        different = described(presented(wanted), presented(got))
        if not different:
            return got
        assert time.monotonic() < until, f"{request}\n  {different}"


def read(sides: Sides, key: str, opens: CustomerKey | None = None, query: str = "") -> Request:
    headers = tuple(opens.headers().items()) if opens else ()
    return signed(Request(f"/{BUCKET}/{key}{query}", headers=headers), ADMIN, sides.host)


def test_described_anew(changes, sides: Sides) -> None:
    """A copy onto itself that changes nothing but what is said of it."""
    by, seen = changes
    key = f"described-{seen}"
    by.put_object(Bucket=BUCKET, Key=key, Body=CONTENT, ServerSideEncryption="AES256", ContentType="a/0", Metadata={"turn": "0"})
    assert same_now(sides, read(sides, key), seen).header("content-type") == "a/0"
    for turn in range(1, 6):
        by.copy_object(
            Bucket=BUCKET,
            Key=key,
            CopySource=f"{BUCKET}/{key}",
            MetadataDirective="REPLACE",
            ContentType=f"a/{turn}",
            Metadata={"turn": str(turn)},
            ServerSideEncryption="AES256",
        )
        answer = same_now(sides, read(sides, key), seen)
        assert (answer.status, answer.body) == (200, CONTENT)
        assert (answer.header("content-type"), answer.header("x-amz-meta-turn")) == (f"a/{turn}", str(turn))


@pytest.mark.parametrize("encryption", Encryption, ids=lambda encryption: encryption.title)
def test_written_again(changes, sides: Sides, writer: Writer, encryption: Encryption) -> None:
    """The same bytes once more: the ETag is the old one, the chunks are not."""
    by, seen = changes
    key = f"again-{encryption.value}-{seen}"
    opens = CUSTOMER_KEY if encryption is Encryption.SSE_C else None
    for _ in range(10):
        by.put_object(Bucket=BUCKET, Key=key, Body=CONTENT, **writer.sse(encryption))
        first = sides.gate.ask(read(sides, key, opens))
        assert (first.status, first.body) == (200, CONTENT)
    same_now(sides, read(sides, key, opens), seen)


def test_encrypted_otherwise(changes, sides: Sides, writer: Writer) -> None:
    """The same bytes under one encryption after the other."""
    by, seen = changes
    key = f"otherwise-{seen}"
    for encryption in (*Encryption, *Encryption):
        opens = CUSTOMER_KEY if encryption is Encryption.SSE_C else None
        by.put_object(Bucket=BUCKET, Key=key, Body=CONTENT, **writer.sse(encryption))
        answer = same_now(sides, read(sides, key, opens), seen)
        assert (answer.status, answer.body) == (200, CONTENT)


def test_another_key(changes, sides: Sides) -> None:
    """A customer changes the key, and the old one opens nothing any more."""
    by, seen = changes
    key = f"key-{seen}"
    for turn in range(6):
        new, old = (CUSTOMER_KEY, WRONG_KEY) if turn % 2 else (WRONG_KEY, CUSTOMER_KEY)
        by.put_object(Bucket=BUCKET, Key=key, Body=CONTENT, SSECustomerAlgorithm="AES256", SSECustomerKey=new.raw)
        assert same_now(sides, read(sides, key, old), seen).status == 403
        answer = same_now(sides, read(sides, key, new), seen)
        assert (answer.status, answer.body) == (200, CONTENT)


def test_versions_come_and_go(changes, sides: Sides, writer: Writer) -> None:
    """After each step the latest, and each by its id, is what it is at the gateway."""
    by, seen = changes
    key = f"versions-{seen}"
    contents = [Payload(f"version {number}", 40_000 + number).bytes() for number in range(3)]
    ids: list[str] = []

    def compare(latest: int | None) -> None:
        answer = same_now(sides, read(sides, key), seen)
        if latest is None:
            assert answer.status == 404
        else:
            assert (answer.status, answer.body) == (200, contents[latest])
        for version in (*ids, "null"):
            same_now(sides, read(sides, key, query=f"?versionId={version}"), seen)

    def put(number: int) -> None:
        made = by.put_object(Bucket=BUCKET, Key=key, Body=contents[number], **writer.sse(Encryption.SSE_S3))
        ids.append(made.get("VersionId", "null"))

    put(0)
    compare(0)
    writer.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    try:
        put(1)
        compare(1)
        put(2)
        compare(2)
        marker = by.delete_object(Bucket=BUCKET, Key=key)["VersionId"]
        compare(None)
        by.delete_object(Bucket=BUCKET, Key=key, VersionId=marker)
        compare(2)
        by.delete_object(Bucket=BUCKET, Key=key, VersionId=ids[2])
        compare(1)
        by.delete_object(Bucket=BUCKET, Key=key, VersionId=ids[1])
        compare(0)
        by.delete_object(Bucket=BUCKET, Key=key, VersionId="null")
        compare(None)
    finally:
        writer.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})


def test_deleted_and_a_directory(changes, sides: Sides) -> None:
    """An object gives way to a prefix of that name, and comes back."""
    by, seen = changes
    key = f"name-{seen}"
    for _ in range(3):
        by.put_object(Bucket=BUCKET, Key=key, Body=CONTENT, ServerSideEncryption="AES256")
        assert same_now(sides, read(sides, key), seen).body == CONTENT
        by.delete_object(Bucket=BUCKET, Key=key)
        assert same_now(sides, read(sides, key), seen).status == 404
        by.put_object(Bucket=BUCKET, Key=f"{key}/below", Body=CONTENT[:999], ServerSideEncryption="AES256")
        assert same_now(sides, read(sides, key), seen).status == 404
        assert same_now(sides, read(sides, f"{key}/below"), seen).body == CONTENT[:999]
        assert same_now(sides, read(sides, f"{key}/"), seen).status in (200, 404)
        by.delete_object(Bucket=BUCKET, Key=f"{key}/below")
        by.delete_object(Bucket=BUCKET, Key=f"{key}/")
        assert same_now(sides, read(sides, f"{key}/below"), seen).status == 404
