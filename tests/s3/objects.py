"""The objects that are compared: every encryption, written in every way that the gateway has."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

from harness import CustomerKey, Encryption, Payload
from harness.s3 import S3, sse_arguments
from people import s3_client

MIB = 1 << 20
CUSTOMER_KEY = CustomerKey.from_seed("the customer's key")
WRONG_KEY = CustomerKey.from_seed("another customer's key")

PLAIN, VERSIONED, SUSPENDED, LOCKED = "plain", "versioned", "suspended", "locked"


@dataclass(frozen=True)
class Object:
    """One object: where it is, the key that opens it, and where something in it begins or ends."""

    kind: str
    encryption: Encryption
    bucket: str
    key: str
    content: bytes | None
    """None: a delete marker."""
    version: str = ""
    edges: list[int] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Its path in a URL."""
        return f"/{self.bucket}/{quote(self.key, safe='/-_.~')}"

    @property
    def target(self) -> str:
        """Path, and the version where it is not the latest."""
        return self.path + (f"?versionId={self.version}" if self.version else "")

    @property
    def key_headers(self) -> tuple[tuple[str, str], ...]:
        """The SSE-C headers where they are needed."""
        return tuple(CUSTOMER_KEY.headers().items()) if self.encryption is Encryption.SSE_C else ()


class Writer:
    """Writes an object when it is first asked for and remembers it."""

    def __init__(self, client, kms_key_id: str) -> None:
        self.client = client
        self.s3 = S3(client.meta.endpoint_url)
        self.kms_key_id = kms_key_id
        self.summing = s3_client(client.meta.endpoint_url.removeprefix("http://"))
        self._written: dict[tuple[str, Encryption], Object] = {}
        self._buckets: set[str] = set()

    def get(self, kind: str, encryption: Encryption) -> Object:
        """The object of this kind and encryption."""
        if (kind, encryption) not in self._written:
            self._written[kind, encryption] = KINDS[kind](self, encryption)
        return self._written[kind, encryption]

    def sse(self, encryption: Encryption) -> dict[str, str]:
        """What boto3 is told so that an object gets this encryption."""
        return sse_arguments(encryption, customer_key=CUSTOMER_KEY, kms_key_id=self.kms_key_id)

    def bucket(self, name: str) -> str:
        """A bucket that is as its name says."""
        if name in self._buckets:
            return name
        self._buckets.add(name)
        if name == LOCKED:
            self.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
            return name
        self.client.create_bucket(Bucket=name)
        if name == PLAIN:
            rule = {"AllowedOrigins": ["https://harbour.example"], "AllowedMethods": ["GET"], "ExposeHeaders": ["ETag"]}
            self.client.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": [{**rule, "MaxAgeSeconds": 60}]})
        return name

    def versioning(self, name: str, status: str) -> None:
        """Turns versioning of a bucket on or off."""
        self.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})

    def put(self, kind: str, encryption: Encryption, size: int, bucket: str = PLAIN, **more: object) -> Object:
        """An object of one PUT."""
        key = f"{encryption.value}/{kind}"
        content = Payload(key, size).bytes()
        self.client.put_object(
            Bucket=self.bucket(bucket), Key=key, Body=content, **self.sse(encryption), **more
        )
        return Object(kind, encryption, bucket, key, content, edges=[MIB, 2 * MIB])


Kind = Callable[[Writer, Encryption], Object]
KINDS: dict[str, Kind] = {}


def kind(name: str) -> Callable[[Kind], Kind]:
    """Adds a kind to the list."""

    def add(function: Kind) -> Kind:
        KINDS[name] = function
        return function

    return add


@kind("empty")
def empty(writer: Writer, encryption: Encryption) -> Object:
    return writer.put("empty", encryption, 0)


@kind("small.txt")
def small(writer: Writer, encryption: Encryption) -> Object:
    return writer.put("small.txt", encryption, 100)


@kind("one-chunk.html")
def one_chunk(writer: Writer, encryption: Encryption) -> Object:
    return writer.put("one-chunk.html", encryption, 70_001)


@kind("many-chunks")
def many_chunks(writer: Writer, encryption: Encryption) -> Object:
    return writer.put("many-chunks", encryption, 2 * MIB + 12_345)


@kind("described")
def described(writer: Writer, encryption: Encryption) -> Object:
    """Everything that can be said of an object is said."""
    return writer.put(
        "described",
        encryption,
        50_000,
        ContentType="text/x-harbour; charset=ISO-8859-1",
        CacheControl="max-age=77",
        ContentDisposition='attachment; filename="a b.txt"',
        ContentEncoding="x-harbour",
        ContentLanguage="fy",
        Expires=datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
        Metadata={"Mixed-Case": "Value", "empty": "", "plain": "a  b"},
        Tagging="one=1&two=2",
        WebsiteRedirectLocation="/elsewhere",
        StorageClass="STANDARD_IA",
    )


@kind("odd key +%é'.txt")
def odd_key(writer: Writer, encryption: Encryption) -> Object:
    return writer.put("odd key +%é'.txt", encryption, 3000)


@kind("multipart")
def multipart(writer: Writer, encryption: Encryption) -> Object:
    key = f"{encryption.value}/multipart"
    parts = [Payload(f"{key}/{number}", size).bytes() for number, size in enumerate([5 * MIB + 13, 5 * MIB, 777])]
    writer.s3.put_multipart(writer.bucket(PLAIN), key, parts, **writer.sse(encryption))
    ends = [len(parts[0]), len(parts[0]) + len(parts[1])]
    return Object("multipart", encryption, PLAIN, key, b"".join(parts), edges=[MIB, *ends, ends[0] + MIB])


@kind("copied")
def copied(writer: Writer, encryption: Encryption) -> Object:
    """A copy of a plain object."""
    source = writer.get("many-chunks", Encryption.NONE)
    key = f"{encryption.value}/copied"
    writer.s3.copy(PLAIN, key, source.key, **writer.sse(encryption))
    return Object("copied", encryption, PLAIN, key, source.content, edges=[MIB, 2 * MIB])


@kind("copied-encrypted")
def copied_encrypted(writer: Writer, encryption: Encryption) -> Object:
    """A copy of an object of the same encryption."""
    source = writer.get("many-chunks", encryption)
    key = f"{encryption.value}/copied-encrypted"
    opens = CUSTOMER_KEY if encryption is Encryption.SSE_C else None
    writer.s3.copy(PLAIN, key, source.key, opens, **writer.sse(encryption))
    return Object("copied-encrypted", encryption, PLAIN, key, source.content, edges=[MIB, 2 * MIB])


@kind("part-copied")
def part_copied(writer: Writer, encryption: Encryption) -> Object:
    """Put together from ranges of a plain object."""
    source = writer.get("multipart", Encryption.NONE)
    assert source.content is not None
    key = f"{encryption.value}/part-copied"
    ranges = [(5, 5 * MIB + 10), (3, 300_000)]
    writer.s3.copy_parts(PLAIN, key, source.key, ranges, **writer.sse(encryption))
    content = b"".join(source.content[first : last + 1] for first, last in ranges)
    return Object("part-copied", encryption, PLAIN, key, content, edges=[5 * MIB + 6])


@kind("summed")
def summed(writer: Writer, encryption: Encryption) -> Object:
    """With the checksum that today's SDKs add to every upload, in a trailer."""
    key = f"{encryption.value}/summed"
    content = Payload(key, 150_000).bytes()
    writer.summing.put_object(
        Bucket=writer.bucket(PLAIN), Key=key, Body=content, ChecksumAlgorithm="CRC32", **writer.sse(encryption)
    )
    return Object("summed", encryption, PLAIN, key, content)


@kind("sha256-summed")
def sha256_summed(writer: Writer, encryption: Encryption) -> Object:
    """With a checksum in a header."""
    key = f"{encryption.value}/sha256-summed"
    content = Payload(key, 20_000).bytes()
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    writer.client.put_object(
        Bucket=writer.bucket(PLAIN), Key=key, Body=content, ChecksumSHA256=digest, **writer.sse(encryption)
    )
    return Object("sha256-summed", encryption, PLAIN, key, content)


def _versions(writer: Writer, encryption: Encryption) -> tuple[str, list[tuple[str, bytes]]]:
    """A key with a null version and two more; the second is the latest. Answers the key, and id and content of each."""
    key = f"{encryption.value}/versions"
    made = writer.bucket(VERSIONED)
    contents = [Payload(f"{key}/{number}", size).bytes() for number, size in enumerate([80_000, 90_000, MIB + 5])]
    if (versions := _VERSIONS.get(key)) is None:
        writer.versioning(made, "Suspended")
        versions = []
        for number, content in enumerate(contents):
            if number == 1:
                writer.versioning(made, "Enabled")
            answer = writer.client.put_object(Bucket=made, Key=key, Body=content, **writer.sse(encryption))
            versions.append((answer.get("VersionId", "null"), content))
        _VERSIONS[key] = versions
    return key, versions


_VERSIONS: dict[str, list[tuple[str, bytes]]] = {}


@kind("null-version")
def null_version(writer: Writer, encryption: Encryption) -> Object:
    key, versions = _versions(writer, encryption)
    return Object("null-version", encryption, VERSIONED, key, versions[0][1], version="null")


@kind("older-version")
def older_version(writer: Writer, encryption: Encryption) -> Object:
    key, versions = _versions(writer, encryption)
    return Object("older-version", encryption, VERSIONED, key, versions[1][1], version=versions[1][0])


@kind("latest-version")
def latest_version(writer: Writer, encryption: Encryption) -> Object:
    key, versions = _versions(writer, encryption)
    return Object("latest-version", encryption, VERSIONED, key, versions[2][1], edges=[MIB])


@kind("named-latest-version")
def named_latest_version(writer: Writer, encryption: Encryption) -> Object:
    key, versions = _versions(writer, encryption)
    return Object("named-latest-version", encryption, VERSIONED, key, versions[2][1], versions[2][0], [MIB])


@kind("deleted")
def deleted(writer: Writer, encryption: Encryption) -> Object:
    """A delete marker over a version."""
    _versions(writer, encryption)  # turns versioning on
    made = writer.put("deleted", encryption, 4000, VERSIONED)
    writer.client.delete_object(Bucket=VERSIONED, Key=made.key)
    return Object("deleted", encryption, VERSIONED, made.key, None)


@kind("delete-marker")
def delete_marker(writer: Writer, encryption: Encryption) -> Object:
    """The same, asked for by its id."""
    gone = writer.get("deleted", encryption)
    markers = writer.client.list_object_versions(Bucket=VERSIONED, Prefix=gone.key)["DeleteMarkers"]
    return Object("delete-marker", encryption, VERSIONED, gone.key, None, version=markers[0]["VersionId"])


@kind("suspended")
def suspended(writer: Writer, encryption: Encryption) -> Object:
    """In a bucket whose versioning was turned off again."""
    writer.bucket(SUSPENDED)
    writer.versioning(SUSPENDED, "Enabled")
    writer.put("suspended", encryption, 500, SUSPENDED)
    writer.versioning(SUSPENDED, "Suspended")
    return writer.put("suspended", encryption, 60_000, SUSPENDED)


@kind("locked")
def locked(writer: Writer, encryption: Encryption) -> Object:
    """With a retention and a legal hold."""
    until = datetime.now(timezone.utc) + timedelta(days=1)
    return writer.put(
        "locked",
        encryption,
        9000,
        LOCKED,
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until.replace(microsecond=0),
        ObjectLockLegalHoldStatus="ON",
    )
