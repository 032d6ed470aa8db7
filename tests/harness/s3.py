"""Objects written through the S3 gateway, with every encryption it knows, in every way it has."""

import base64
import hashlib
from dataclasses import dataclass
from enum import Enum

import boto3
from botocore.config import Config

ACCESS_KEY = "demo-access"
SECRET_KEY = "demo-secret"

_SSEC = "X-Amz-Server-Side-Encryption-Customer-"
_COPY_SSEC = "X-Amz-Copy-Source-Server-Side-Encryption-Customer-"


class Encryption(Enum):
    """The encryptions of the S3 gateway; the value is tidegate's `sse` label."""

    NONE = "none"
    SSE_C = "c"
    SSE_KMS = "kms"
    SSE_S3 = "s3"

    @property
    def title(self) -> str:
        """As people write it."""
        return {"none": "plain", "c": "SSE-C", "kms": "SSE-KMS", "s3": "SSE-S3"}[self.value]


@dataclass(frozen=True)
class CustomerKey:
    """A 256-bit key that the client brings with each request."""

    raw: bytes

    @classmethod
    def from_seed(cls, seed: str) -> "CustomerKey":
        """A key that follows from a word."""
        return cls(hashlib.sha256(seed.encode()).digest())

    @property
    def base64(self) -> str:
        """The key as the header carries it."""
        return base64.b64encode(self.raw).decode()

    @property
    def md5(self) -> str:
        """Its MD5 as the header carries it."""
        return base64.b64encode(hashlib.md5(self.raw).digest()).decode()

    def headers(self) -> dict[str, str]:
        """The three headers of a request."""
        return {f"{_SSEC}Algorithm": "AES256", f"{_SSEC}Key": self.base64, f"{_SSEC}Key-MD5": self.md5}


class S3:
    """A signed client of one gateway."""

    def __init__(self, endpoint: str) -> None:
        self.client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(
                s3={"addressing_style": "path"},
                retries={"max_attempts": 3},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def create_bucket(self, bucket: str) -> None:
        """Makes a bucket."""
        self.client.create_bucket(Bucket=bucket)

    def put(self, bucket: str, key: str, body: bytes, **sse: str) -> None:
        """Writes an object in one request. `sse` is what `sse_arguments` answers."""
        self.client.put_object(Bucket=bucket, Key=key, Body=body, **sse)

    def put_multipart(self, bucket: str, key: str, parts: list[bytes], **sse: str) -> None:
        """Writes an object in parts. Each but the last must have 5 MiB or more."""
        upload = self.client.create_multipart_upload(Bucket=bucket, Key=key, **sse)["UploadId"]
        done = []
        for number, body in enumerate(parts, 1):
            part = self.client.upload_part(
                Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body, **_with_each_part(sse)
            )
            done.append({"PartNumber": number, "ETag": part["ETag"]})
        self._complete(bucket, key, upload, done)

    def copy(self, bucket: str, key: str, source: str, source_key: CustomerKey | None = None, **sse: str) -> None:
        """Copies an object within the bucket; `source_key` opens an SSE-C source."""
        self.client.copy_object(
            Bucket=bucket, Key=key, CopySource=f"{bucket}/{source}", **_copy_source(source_key), **sse
        )

    def copy_parts(
        self,
        bucket: str,
        key: str,
        source: str,
        ranges: list[tuple[int, int]],
        source_key: CustomerKey | None = None,
        **sse: str,
    ) -> None:
        """Builds an object out of ranges `(first, last)` of another one, a part for each."""
        upload = self.client.create_multipart_upload(Bucket=bucket, Key=key, **sse)["UploadId"]
        done = []
        for number, (first, last) in enumerate(ranges, 1):
            part = self.client.upload_part_copy(
                Bucket=bucket,
                Key=key,
                UploadId=upload,
                PartNumber=number,
                CopySource=f"{bucket}/{source}",
                CopySourceRange=f"bytes={first}-{last}",
                **_copy_source(source_key),
                **_with_each_part(sse),
            )
            done.append({"PartNumber": number, "ETag": part["CopyPartResult"]["ETag"]})
        self._complete(bucket, key, upload, done)

    def _complete(self, bucket: str, key: str, upload: str, parts: list[dict[str, object]]) -> None:
        self.client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})


def sse_arguments(
    encryption: Encryption, *, customer_key: CustomerKey | None = None, kms_key_id: str | None = None
) -> dict[str, str]:
    """What boto3 is told so that an object gets this encryption."""
    if encryption is Encryption.SSE_C:
        assert customer_key is not None
        return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": customer_key.raw}  # boto3 encodes and adds the MD5
    if encryption is Encryption.SSE_KMS:
        assert kms_key_id is not None
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id}
    if encryption is Encryption.SSE_S3:
        return {"ServerSideEncryption": "AES256"}
    return {}


def _with_each_part(sse: dict[str, str]) -> dict[str, str]:
    """The customer key comes with every part; the other encryptions are told once, at the start of the upload."""
    return {name: value for name, value in sse.items() if name.startswith("SSECustomer")}


def _copy_source(key: CustomerKey | None) -> dict[str, object]:
    return {} if key is None else {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": key.raw}
