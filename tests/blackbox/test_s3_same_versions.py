"""Versions of an object by S3: tidegate answers as the gateway does, for each of them and for what was deleted."""

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from catalogue import CUSTOMER_KEY
from conftest import StartTidegate
from harness import Encryption, Front, Payload, Tidegate
from harness.entry_tool import change_entry
from harness.s3 import sse_arguments
from harness.signed import Ask
from s3_pair import KEY, differences
from waiting import until

SIZE = (1 << 20) + 70_001


@pytest.fixture(scope="module")
def gate(front_1mb: Front, start_shared: StartTidegate) -> Tidegate:
    """A tidegate before the gateway."""
    return start_shared(front_1mb, {"s3": {"gateway": [front_1mb.gateway.url]}})


def requests(path: str, key: dict[str, str], versions: list[str]) -> Iterator[Ask]:
    """All versions, by name and not, whole and not."""
    for query in ("", "?versionId=null", "?versionId=none", *(f"?versionId={version}" for version in versions)):
        for headers in ({}, {"Range": "bytes=1000-70000"}, {"If-None-Match": "*"}, {"x-amz-checksum-mode": "ENABLED"}):
            for method in ("GET", "HEAD"):
                yield Ask(path + query, method, {**key, **headers})
        yield Ask(path + query, signer=None, unsigned=key)


@pytest.mark.parametrize("encryption", Encryption, ids=lambda e: e.title)
def test_versions(gate: Tidegate, front_1mb: Front, encryption: Encryption) -> None:
    s3 = front_1mb.s3.client
    bucket, key = f"same-versions-{encryption.value}", "a/ü"
    path = f"/{bucket}/{quote(key)}"
    told = sse_arguments(encryption, customer_key=CUSTOMER_KEY, kms_key_id=front_1mb.kms.key_id)
    opens = KEY if encryption is Encryption.SSE_C else {}
    s3.create_bucket(Bucket=bucket)
    versions: list[str] = []

    def same() -> None:
        """Twice, for what is remembered."""
        for _ in range(2):
            assert differences(gate, front_1mb, requests(path, opens, versions)) == "", versions

    def put(number: int) -> None:
        body = Payload(f"{bucket}{number}", SIZE + number).bytes()
        put = s3.put_object(Bucket=bucket, Key=key, Body=body, ChecksumAlgorithm="CRC32", **told)
        if version := put.get("VersionId"):
            versions.append(version)

    def status(text: str) -> None:
        """Until the event of it has come to tidegate."""
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": text})
        until(lambda: differences(gate, front_1mb, [Ask(path, headers=opens)]) == "", "it is known here")

    put(0)
    same()
    status("Enabled")
    same()
    for number in (1, 2):
        put(number)
        same()
    marker = s3.delete_object(Bucket=bucket, Key=key)["VersionId"]
    versions.append(marker)
    same()
    s3.delete_object(Bucket=bucket, Key=key, VersionId=marker)
    same()
    status("Suspended")
    put(3)
    same()
    s3.delete_object(Bucket=bucket, Key=key)
    same()
    status("Enabled")
    put(4)
    same()
    for version in list(versions):
        s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
        same()


def test_locked_objects(gate: Tidegate, front_1mb: Front) -> None:
    s3 = front_1mb.s3.client
    bucket = "same-locks"
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    until = datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)
    locks = {
        "none": {},
        "governed": {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until},
        "held": {"ObjectLockLegalHoldStatus": "ON"},
        "both": {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until, "ObjectLockLegalHoldStatus": "ON"},
    }
    served = gate.metrics().sum("tidegate_s3_served_total")
    for key, lock in locks.items():
        put = s3.put_object(Bucket=bucket, Key=key, Body=Payload(key, SIZE).bytes(), **lock)
        asked = requests(f"/{bucket}/{key}", {}, [put["VersionId"]])
        assert differences(gate, front_1mb, asked) == "", key
    assert gate.metrics().sum("tidegate_s3_served_total") > served


@pytest.mark.parametrize("attributes", [{"Object-Lock-Enabled": b"Enabled"}, {"Object-Lock-Enabled": b"true"}, {"Versioning": b""}])
def test_a_bucket_that_is_versioned_by_its_lock_alone(
    gate: Tidegate, front_1mb: Front, attributes: dict[str, bytes]
) -> None:
    """Its entry says nothing of versions, or nothing is what it says: the same bytes are put again, and tell of
    themselves."""
    s3 = front_1mb.s3.client
    bucket = f"same-{'-'.join(value.decode() for value in attributes.values()).lower()}-lock"
    s3.create_bucket(Bucket=bucket)
    body = Payload(bucket, SIZE).bytes()
    s3.put_object(Bucket=bucket, Key="k", Body=body, Metadata={"is": "old"})
    asked = list(requests(f"/{bucket}/k", {}, []))
    assert differences(gate, front_1mb, asked) == ""
    extended = {f"Seaweed-X-Amz-{name}": value for name, value in attributes.items()}
    change_entry(f"127.0.0.1:{front_1mb.filer.grpc_port}", f"/buckets/{bucket}", extended=extended)
    s3.put_object(Bucket=bucket, Key="k", Body=body, Metadata={"is": "new"}, ContentType="text/x-tide")
    served = gate.metrics().sum("tidegate_s3_served_total")
    until(lambda: differences(gate, front_1mb, asked) == "", "tidegate answers as the gateway does", 5)
    assert gate.metrics().sum("tidegate_s3_served_total") > served
