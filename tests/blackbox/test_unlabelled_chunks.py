"""Encrypted objects whose chunks do not say that they are encrypted: plaintext where the S3 gateway gives it, or a refusal,
and never other bytes."""

import json
import time
from pathlib import Path

import pytest
from catalogue import BUCKET, CUSTOMER_KEY, Catalogue, Object, Shape
from expect import error_code, json_error, read, same_bytes
from harness import Cluster, Encryption, Front, Kms, Payload, Tidegate, request
from harness.entry_tool import change_entry
from harness.s3 import ACCESS_KEY, SECRET_KEY, sse_arguments
from harness.tidegate import run
from harness.weed import shell

MIB = 1 << 20
ENCRYPTED = [Encryption.SSE_C, Encryption.SSE_KMS, Encryption.SSE_S3]
SECOND = 10**9


def title(encryption: Encryption) -> str:
    return encryption.title


@pytest.fixture(params=ENCRYPTED, ids=title)
def encryption(request: pytest.FixtureRequest) -> Encryption:
    return request.param


def copied_by_filer(thing: Object) -> Object:
    """A copy that the filer made by itself."""
    copy = Object(thing.front, f"{thing.key}-cp", thing.encryption, thing.content)
    made = request("POST", f"{copy.front.filer_url(BUCKET, copy.key)}?cp.from={thing.path()}")
    assert made.status == 204, made.body
    return copy


def change(thing: Object, **how: object) -> None:
    filer = thing.front.filer
    change_entry(f"{filer.host}:{filer.grpc_port}", thing.path(), **how)


def plain(gate: Tidegate, thing: Object) -> None:
    """Whole and in ranges it is the plaintext."""
    answer = read(gate, thing)
    assert answer.status == 200, answer.body[:300]
    same_bytes(answer.body, thing.content)
    size = len(thing.content)
    for first, last in [(0, 0), (size // 2 - 7, size // 2 + 100), (size - 5, size - 1)]:
        last = min(last, size - 1)
        answer = read(gate, thing, Range=f"bytes={first}-{last}")
        assert answer.status == 206
        same_bytes(answer.body, thing.content[first : last + 1])


def refused(gate: Tidegate, thing: Object, why: str) -> None:
    for headers in ({}, {"Range": "bytes=0-9"}):
        answer = read(gate, thing, **headers)
        assert answer.status == 500, answer.body[:100]
        assert why in json_error(answer) and "sse_type of chunk" in json_error(answer)
        assert error_code(answer) == "InvalidEncryptionMetadata"
        assert "ETag" not in answer.headers and "Content-Range" not in answer.headers


def explained(root: Path, thing: Object) -> dict[str, object]:
    config = Tidegate(root / "explain", thing.front.tidegate_config(), name="unlabelled").config_file
    return json.loads(run("explain", "--config", config, thing.path(), "--json").stdout)


@pytest.mark.parametrize("size", [17, MIB, 3 * MIB + 5])
def test_ciphertext_under_the_plaintexts_etag(
    root: Path, front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, encryption: Encryption, size: int
) -> None:
    copy = copied_by_filer(objects.sized(front_1mb, encryption, size, name="to-copy"))
    assert copy.from_filer().body != copy.content  # or nothing is shown here
    same_bytes(copy.from_gateway().body, copy.content)
    plain(gate_1mb, copy)
    report = explained(root, copy)
    assert (report["kind"], report["readable"]) == ("unlabelled, one stream", True)
    assert all(chunk["layers"] == [f"sse-{encryption.value}"] for chunk in report["chunks"])


def test_a_filer_copy_of_several_parts_is_refused(
    root: Path, front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, encryption: Encryption
) -> None:
    copy = copied_by_filer(objects.get(front_1mb, encryption, Shape.MULTIPART))
    assert copy.from_gateway().body != copy.content
    refused(gate_1mb, copy, "several parts")
    report = explained(root, copy)
    assert (report["kind"], report["readable"]) == ("unlabelled, unproven", False)
    assert "several parts" in report["faults"][0]


def test_a_filer_copy_of_a_gateways_copy_is_refused(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, encryption: Encryption
) -> None:
    source = Encryption.SSE_S3 if encryption is Encryption.SSE_KMS else Encryption.SSE_KMS
    copy = copied_by_filer(objects.copied(front_1mb, source, encryption))
    assert copy.from_gateway().body != copy.content
    refused(gate_1mb, copy, "several chunks and no MD5")


def test_a_filer_copy_of_a_mixed_upload_is_refused_and_the_upload_is_right(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue
) -> None:
    """One part sent and one copied from a plain object, in both orders."""
    plain_source = objects.sized(front_1mb, Encryption.NONE, 6 * MIB)
    sent = Payload("sent", 5 * MIB).bytes()
    key = sse_arguments(Encryption.SSE_C, customer_key=CUSTOMER_KEY)
    s3 = front_1mb.s3.client
    for name, order in {"mixed-sent-first": "sc", "mixed-copied-first": "cs"}.items():
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key=name, **key)["UploadId"]
        where = {"Bucket": BUCKET, "Key": name, "UploadId": upload}
        done = []
        for number, way in enumerate(order, 1):
            if way == "s":
                etag = s3.upload_part(PartNumber=number, Body=sent, **where, **key)["ETag"]
            else:
                copied = s3.upload_part_copy(PartNumber=number, CopySource=f"{BUCKET}/{plain_source.key}", **where, **key)
                etag = copied["CopyPartResult"]["ETag"]
            done.append({"PartNumber": number, "ETag": etag})
        s3.complete_multipart_upload(**where, MultipartUpload={"Parts": done})
        content = b"".join(sent if way == "s" else plain_source.content for way in order)
        thing = Object(front_1mb, name, Encryption.SSE_C, content)
        plain(gate_1mb, thing)
        answer = read(gate_1mb, copied_by_filer(thing))
        assert answer.status == 500, "which part was encrypted is not on record"


def test_a_file_that_a_mount_rewrote_in_place(
    root: Path, front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, encryption: Encryption
) -> None:
    """As a mount of 4.48 leaves it: new chunks that are plain, the time of writing in them and in `mtime` and `ctime`, and
    everything else as it was."""
    thing = objects.sized(front_1mb, encryption, 2 * MIB + 9, name="rewritten")
    source = objects.sized(front_1mb, Encryption.NONE, MIB + 77, name="plain-bytes")
    now = time.time_ns() | 1
    change(
        thing,
        chunks_of=source.path(),
        chunk={"modified_ts_ns": now},
        file_size=len(source.content),
        attributes={
            "mtime": now // SECOND,
            "mtime_ns": now % SECOND,
            "ctime": now // SECOND,
            "ctime_ns": now % SECOND,
        },
    )
    rewritten = Object(front_1mb, thing.key, encryption, source.content)
    plain(gate_1mb, rewritten)
    report = explained(root, rewritten)
    assert (report["kind"], report["readable"]) == ("unlabelled, raw", True)
    # What the filer's copy makes of it looks like the copy of ciphertext, but for one time.
    refused(gate_1mb, copied_by_filer(rewritten), "changed since")


def test_a_remote_object_that_the_filer_fetched_again(
    front_1mb: Front, front_4mb: Front, gate_1mb: Tidegate, kms: Kms, cluster: Cluster
) -> None:
    """The other front's gateway is the remote store. It takes no SSE-C object: the filer sends the IV as a header."""
    far = front_4mb.gateway.url
    front_4mb.s3.create_bucket("far")
    shell(
        cluster.master.full_address,
        f"remote.configure -name=far -type=s3 -s3.access_key={ACCESS_KEY} -s3.secret_key={SECRET_KEY}"
        f" -s3.region=us-east-1 -s3.endpoint={far} -s3.force_path_style=true",
        "remote.mount -dir=/buckets/near -remote=far/far",
        filer=front_1mb.filer.full_address,
    )
    contents = {}
    for encryption in (Encryption.SSE_KMS, Encryption.SSE_S3):
        sse = sse_arguments(encryption, kms_key_id=kms.key_id)
        for size in (17, 3 * MIB + 5):
            key = f"{encryption.value}-{size}"
            contents[key] = Payload(key, size).bytes()
            front_1mb.s3.put("near", key, contents[key], **sse)
    shell(cluster.master.full_address, "remote.copy.local -dir=/buckets/near", filer=front_1mb.filer.full_address)
    shell(cluster.master.full_address, "remote.uncache -dir=/buckets/near", filer=front_1mb.filer.full_address)
    for key, content in contents.items():
        fetched = request("GET", front_1mb.filer_url("near", key))
        assert fetched.status == 200 and fetched.body != content
        answer = request("GET", gate_1mb.object_url("near", key))
        assert answer.status == 200
        same_bytes(answer.body, content)
        ranged = request("GET", gate_1mb.object_url("near", key), {"Range": "bytes=5-11"})
        same_bytes(ranged.body, content[5:12])


def test_copies_to_sse_c_of_3_97_to_4_22(front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue) -> None:
    """They used one IV for the whole and left no label and no MD5, as `copyChunksWithReencryption` did."""
    thing = objects.sized(front_1mb, Encryption.SSE_C, 3 * MIB + 5, name="old-copy")
    created = {"crtime": int(time.time()) - 3600}  # that of the source
    change(thing, chunk={"sse_type": None, "sse_metadata": None}, attributes={"md5": None, **created})
    same_bytes(thing.from_gateway().body, thing.content)
    plain(gate_1mb, thing)


def test_copies_to_sse_kms_of_3_97_to_4_22_are_refused(front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue) -> None:
    """Their metadata names no data key: it was thrown away."""
    thing = objects.sized(front_1mb, Encryption.SSE_KMS, MIB, name="old-copy")
    stub = b'{"algorithm":"aws:kms","keyId":"k","encryptedDataKey":"","encryptionContext":null,"bucketKeyEnabled":false,"iv":""}'
    change(
        thing,
        chunk={"sse_type": None, "sse_metadata": None},
        attributes={"md5": None, "crtime": int(time.time()) - 3600},
        extended={"x-seaweedfs-sse-kms-key": stub},
    )
    refused(gate_1mb, thing, "has not kept the key and IV")


@pytest.mark.parametrize("without", ["no-label", "no-label-and-no-key"])
def test_sse_s3_uploads_before_4_22(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, without: str
) -> None:
    """Parts whose chunks were left without a label, beside `x-seaweedfs-sse-s3-base-iv`."""
    key = f"old-upload-{without}"
    parts = [Payload(f"{key}-{number}", size).bytes() for number, size in enumerate([5 * MIB, 100_003])]
    objects.sized(front_1mb, Encryption.NONE, 1)  # with it comes the bucket
    front_1mb.s3.put_multipart(BUCKET, key, parts, **sse_arguments(Encryption.SSE_S3))
    thing = Object(front_1mb, key, Encryption.SSE_S3, b"".join(parts))
    plain(gate_1mb, thing)
    change(
        thing,
        chunk={"sse_type": None, "sse_metadata": None},
        extended={"x-seaweedfs-sse-s3-key": None} if without == "no-label-and-no-key" else {},
    )
    refused(gate_1mb, thing, "several parts" if without == "no-label" else "has not kept the key and IV")
