"""By S3 tidegate answers as the gateway does: the same status, headers and bytes, for every kind of object and request."""

from urllib.parse import quote

import boto3
import pytest
from botocore.config import Config
from catalogue import CUSTOMER_KEY
from conftest import StartTidegate
from harness import Encryption, Front, Payload, Tidegate
from harness.entry_tool import change_entry
from harness.s3 import ACCESS_KEY, SECRET_KEY, sse_arguments
from harness.signed import Ask
from s3_pair import KEY, OTHER_KEY, differences, requests

MIB = 1 << 20
SIZE = MIB + 200_003
"""Of what is not small: tidegate serves that of plain objects too."""
BUCKET = "same-answers"

ABOUT = {
    "ContentType": "text/x-tide; charset=utf-8",
    "CacheControl": "max-age=60",
    "ContentDisposition": 'attachment; filename="a b.txt"',
    "ContentLanguage": "de, en",
    "Expires": "Thu, 01 Jan 2099 00:00:00 GMT",
    "Metadata": {"is": "high", "Up-Per": "Case", "empty": ""},
}


def sse(front: Front, encryption: Encryption) -> dict[str, str]:
    """What boto3 is told."""
    return sse_arguments(encryption, customer_key=CUSTOMER_KEY, kms_key_id=front.kms.key_id if front.kms else None)


def source_key(encryption: Encryption) -> dict[str, object]:
    """What opens the source of a copy."""
    wanted = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": CUSTOMER_KEY.raw}
    return wanted if encryption is Encryption.SSE_C else {}


class Writer:
    """Writes objects of every kind through the gateway, with checksums as boto3 sends them by itself."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self.s3 = boto3.client(
            "s3",
            endpoint_url=front.gateway.url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(s3={"addressing_style": "path"}),
        )
        self.s3.create_bucket(Bucket=BUCKET)

    def write(self, kind: str, encryption: Encryption) -> str:
        """The key of a new object."""
        key = f"{kind}/{encryption.value} ü+%.txt"
        getattr(self, f"_{kind.replace('-', '_')}")(key, encryption, sse(self._front, encryption))
        return key

    def _put(self, key: str, encryption: Encryption, told: dict) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=Payload(key, SIZE).bytes(), **told)

    def _put_with_headers(self, key: str, encryption: Encryption, told: dict) -> None:
        body = Payload(key, SIZE).bytes()
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body, Tagging="a=1&b=2", **ABOUT, **told)

    def _put_with_checksum(self, key: str, encryption: Encryption, told: dict) -> None:
        body = Payload(key, SIZE).bytes()
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body, ChecksumAlgorithm="SHA256", **told)

    def _empty(self, key: str, encryption: Encryption, told: dict) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=b"", **told)

    def _small(self, key: str, encryption: Encryption, told: dict) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=b"seventeen bytes..", **told)

    def _parts(self, key: str, encryption: Encryption, told: dict) -> None:
        about = {**ABOUT, "ChecksumAlgorithm": "CRC32"}
        upload = self.s3.create_multipart_upload(Bucket=BUCKET, Key=key, **about, **told)["UploadId"]
        each = {name: value for name, value in told.items() if name.startswith("SSECustomer")}
        done = []
        for number, size in enumerate((5 * MIB, 300_001), 1):
            body = Payload(f"{key}{number}", size).bytes()
            where = {"Bucket": BUCKET, "Key": key, "UploadId": upload, "PartNumber": number}
            part = self.s3.upload_part(**where, Body=body, ChecksumAlgorithm="CRC32", **each)
            done.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
        self.s3.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": done})

    def _copy(self, key: str, encryption: Encryption, told: dict) -> None:
        origin = f"origin of {key}"
        self.s3.put_object(Bucket=BUCKET, Key=origin, Body=Payload(key, SIZE).bytes(), **ABOUT, **told)
        source = {"Bucket": BUCKET, "Key": origin}
        self.s3.copy_object(Bucket=BUCKET, Key=key, CopySource=source, **told, **source_key(encryption))

    def _copied_parts(self, key: str, encryption: Encryption, told: dict) -> None:
        origin = f"origin of {key}"
        # Parts of objects of SSE-C and SSE-KMS are not copied on 4.48.
        of_origin = told if encryption is Encryption.SSE_S3 else {}
        self.s3.put_object(Bucket=BUCKET, Key=origin, Body=Payload(key, 6 * MIB).bytes(), **of_origin)
        upload = self.s3.create_multipart_upload(Bucket=BUCKET, Key=key, **told)["UploadId"]
        each = {name: value for name, value in told.items() if name.startswith("SSECustomer")}
        done = []
        for number, (first, last) in enumerate(((5, 5 * MIB + 10), (3, 20_000)), 1):
            where = {"Bucket": BUCKET, "Key": key, "UploadId": upload, "PartNumber": number}
            copied = self.s3.upload_part_copy(
                **where,
                CopySource={"Bucket": BUCKET, "Key": origin},
                CopySourceRange=f"bytes={first}-{last}",
                **each,
            )
            done.append({"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]})
        self.s3.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": done})


KINDS = ["put", "put-with-headers", "put-with-checksum", "empty", "small", "parts", "copy", "copied-parts"]


@pytest.fixture(scope="module")
def writer(front_1mb: Front) -> Writer:
    """The one who writes."""
    return Writer(front_1mb)


@pytest.fixture(scope="module")
def gate(front_1mb: Front, start_shared: StartTidegate) -> Tidegate:
    """A tidegate before the gateway."""
    return start_shared(front_1mb, {"s3": {"gateway": [front_1mb.gateway.url]}})


# What the gateway writes and cannot read: see the test below.
UNREADABLE = ("copied-parts", Encryption.SSE_C)
ALL = [(kind, encryption) for kind in KINDS for encryption in Encryption if (kind, encryption) != UNREADABLE]


@pytest.mark.parametrize(("kind", "encryption"), ALL, ids=lambda value: value if isinstance(value, str) else value.title)
def test_every_kind_of_object(
    writer: Writer, gate: Tidegate, front_1mb: Front, kind: str, encryption: Encryption
) -> None:
    key = writer.write(kind, encryption)
    path = f"/{BUCKET}/{quote(key)}"
    opens = KEY if encryption is Encryption.SSE_C else {}
    etag = Ask(path, "HEAD", opens).of(front_1mb.gateway.url).header("ETag")
    assert etag
    served = gate.metrics().sum("tidegate_s3_served_total")
    assert differences(gate, front_1mb, requests(path, opens, etag)) == ""
    is_served = not (encryption is Encryption.NONE and kind in ("empty", "small"))
    assert (gate.metrics().sum("tidegate_s3_served_total") > served) == is_served


def test_parts_that_were_copied_from_a_plain_object_are_read_all_the_same(
    writer: Writer, gate: Tidegate, front_1mb: Front
) -> None:
    """They lie there as they are in an object of SSE-C. The gateway allows the read, and fails at it: it finds no
    initialization vector."""
    key = writer.write(*UNREADABLE)
    ask = Ask(f"/{BUCKET}/{quote(key)}", headers=KEY)
    assert ask.of(front_1mb.gateway.url).status == 500
    answer, origin = ask.of(gate.s3_url), Payload(key, 6 * MIB).bytes()
    assert answer.status == 200
    assert answer.body == origin[5 : 5 * MIB + 11] + origin[3:20_001]
    assert Ask(ask.path, headers=OTHER_KEY).of(gate.s3_url).status == 403
    assert Ask(ask.path).of(gate.s3_url).status == 400


ALGORITHM = "X-Amz-Server-Side-Encryption"
CUSTOMER_IV = "x-seaweedfs-sse-c-iv"


@pytest.mark.parametrize(
    ("encryption", "attributes"),
    [
        (Encryption.NONE, {ALGORITHM: b"AES256"}),
        (Encryption.SSE_S3, {"x-seaweedfs-sse-s3-key": None}),
        (Encryption.SSE_C, {CUSTOMER_IV: None}),
    ],
    ids=["only the header is left", "the key is lost", "the customer's IV is lost"],
)
def test_what_says_that_it_is_encrypted_and_has_no_key(
    writer: Writer, gate: Tidegate, front_1mb: Front, encryption: Encryption, attributes: dict[str, bytes | None]
) -> None:
    """Nothing in the object tells whether its bytes are ciphertext: the answer is the gateway's own."""
    key = f"no-key/{encryption.value}"
    opens = KEY if encryption is Encryption.SSE_C else {}
    writer.s3.put_object(Bucket=BUCKET, Key=key, Body=Payload(key, SIZE).bytes(), **sse(front_1mb, encryption))
    labels = {"sse_type": None, "sse_metadata": None}
    filer = f"127.0.0.1:{front_1mb.filer.grpc_port}"
    change_entry(filer, f"/buckets/{BUCKET}/{key}", extended=attributes, chunk=labels)
    served = gate.metrics().sum("tidegate_s3_served_total")
    asked = [Ask(f"/{BUCKET}/{key}", method, opens) for method in ("GET", "HEAD")]
    asked += [Ask(f"/{BUCKET}/{key}", "GET", {**opens, "Range": "bytes=100-70000"})]
    assert differences(gate, front_1mb, asked) == ""
    assert gate.metrics().sum("tidegate_s3_served_total") == served
