"""Reads a sample back, through both fronts of tidegate and from the filer itself, and judges every byte."""

import hashlib
import http.client
import random
import time
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError
from harness import Front, Tidegate, open_stream, request
from harness.s3 import S3, sse_arguments

from samples import BUCKET, CUSTOMER_KEY, MIB, Sample

RANGES = 12


@dataclass(frozen=True)
class Verdict:
    """What came back for one sample."""

    sample: Sample
    bytes: int
    seconds: float
    whole_right: bool
    ranges_right: int
    s3_right: bool
    filer_plaintext: bool
    filer_same_head: bool

    @property
    def right(self) -> bool:
        """Whether every byte that tidegate sent was right."""
        return self.whole_right and self.ranges_right == RANGES and self.s3_right

    @property
    def megabytes_per_second(self) -> float:
        """10^6 bytes in a second, for the whole read."""
        return self.bytes / 1e6 / self.seconds


def judge(sample: Sample, gate: Tidegate, front: Front) -> Verdict:
    """Reads it whole and in ranges through the filer front, whole by S3, then whole from the filer."""
    content = sample.payload.bytes()
    url = gate.object_url(BUCKET, sample.name)
    body, seconds, headers = _read_whole(url, sample.key_headers)
    digest = hashlib.sha256(body).digest()
    filer = request("GET", front.filer_url(BUCKET, sample.name))
    same_head = [filer.header(name) == headers.get(name) for name in ("ETag", "Content-Length")]
    return Verdict(
        sample=sample,
        bytes=len(body),
        seconds=seconds,
        whole_right=len(body) == len(content) and digest == hashlib.sha256(content).digest(),
        ranges_right=sum(_range_is_right(url, sample, content, first, last) for first, last in _ranges(len(content))),
        s3_right=_is_right_by_s3(gate, sample, content),
        filer_plaintext=filer.body == content,
        filer_same_head=all(same_head),
    )


def _read_whole(url: str, headers: dict[str, str]) -> tuple[bytearray, float, http.client.HTTPMessage]:
    """The body, the seconds until its last byte, the headers. A body that is cut is what came of it."""
    started = time.monotonic()
    with open_stream("GET", url, headers) as response:
        body = bytearray(int(response.headers.get("Content-Length", "0")))
        view, at = memoryview(body), 0
        try:
            while at < len(body) and (got := response.readinto(view[at : at + MIB])):
                at += got
        except (http.client.HTTPException, OSError):
            pass
        seconds = time.monotonic() - started
        view.release()
        return body[:at], seconds, response.headers


def _is_right_by_s3(gate: Tidegate, sample: Sample, content: bytes) -> bool:
    """Whether boto3 gets it, and tidegate was who sent it."""

    def served() -> float:
        return gate.metrics().sum("tidegate_s3_served_total")

    key = sse_arguments(sample.encryption, customer_key=CUSTOMER_KEY) if sample.key_headers else {}
    before = served()
    try:
        body = S3(gate.s3_url).client.get_object(Bucket=BUCKET, Key=sample.name, **key)["Body"].read()
    except (BotoCoreError, ClientError):
        return False
    return body == content and served() == before + 1


def _ranges(size: int) -> list[tuple[int, int]]:
    """First and last byte of each range: both ends, the edge of two chunks, and anywhere."""
    anywhere = random.Random(size)
    edge = 4 * MIB
    ranges = [
        (0, 0),
        (size - 1, size - 1),
        (0, 99_999),
        (size - 100_000, size - 1),
        (edge - 1, edge),
        (edge - 7, edge + 20),
    ]
    while len(ranges) < RANGES:
        first = anywhere.randrange(size)
        ranges.append((first, min(size - 1, first + anywhere.randrange(1, 6 * MIB))))
    return ranges


def _range_is_right(url: str, sample: Sample, content: bytes, first: int, last: int) -> bool:
    try:
        answer = request("GET", url, {**sample.key_headers, "Range": f"bytes={first}-{last}"})
    except (http.client.HTTPException, OSError):
        return False
    return answer.status == 206 and answer.body == content[first : last + 1]
