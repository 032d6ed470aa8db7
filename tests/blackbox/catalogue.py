"""The objects that tests read: every encryption, written in every way that the S3 gateway has."""

from dataclasses import dataclass
from enum import Enum

from harness import Answer, CustomerKey, Encryption, Front, Kms, Payload, request
from harness.s3 import sse_arguments

MIB = 1 << 20
BUCKET = "things"
CUSTOMER_KEY = CustomerKey.from_seed("the customer's key")
CUSTOMER_KEY_2 = CustomerKey.from_seed("another customer's key")

PART_SIZES = [5 * MIB + 13, 5 * MIB, 3 * MIB + 777]
COPY_SIZE = 2 * MIB + 100_003
COPIED_RANGES = [(5, 5 * MIB + 10), (3, 5 * MIB + 300_000), (0, 16)]  # only the last part may be small


class Shape(Enum):
    """How an object is written, and how long it is in terms of the front's chunk size."""

    EMPTY = "empty"
    BYTE = "byte"
    BLOCK_AND_BYTE = "17-bytes"
    CHUNK = "one-chunk"
    MANY = "many-chunks"
    MULTIPART = "multipart"
    EMPTY_MULTIPART = "multipart-of-nothing"


@dataclass(frozen=True)
class Object:
    """One object: where it is, what is in it, and the headers without which nobody may read it."""

    front: Front
    key: str
    encryption: Encryption
    content: bytes

    @property
    def key_headers(self) -> dict[str, str]:
        """The SSE-C headers where they are needed."""
        return CUSTOMER_KEY.headers() if self.encryption is Encryption.SSE_C else {}

    def path(self) -> str:
        """Its path at the filer."""
        return f"/buckets/{BUCKET}/{self.key}"

    def from_filer(self, method: str = "GET", headers: dict[str, str] | None = None) -> Answer:
        """What the filer answers."""
        return request(method, self.front.filer_url(BUCKET, self.key), headers)

    def from_gateway(self, method: str = "GET", headers: dict[str, str] | None = None) -> Answer:
        """What the S3 gateway answers; by default to the right key."""
        return request(
            method, self.front.gateway_url(BUCKET, self.key), self.key_headers if headers is None else headers
        )


class Catalogue:
    """Writes an object when it is first asked for and remembers it."""

    def __init__(self, kms: Kms) -> None:
        self._kms = kms
        self._written: dict[tuple[Front, str], Object] = {}
        self._buckets: set[Front] = set()

    def get(self, front: Front, encryption: Encryption, shape: Shape) -> Object:
        """An object of this encryption and shape."""
        key = f"{encryption.value}/{shape.value}"
        return self._once(front, key, encryption, lambda: self._write(front, key, encryption, shape))

    def sized(self, front: Front, encryption: Encryption, size: int, name: str = "") -> Object:
        """An object of `size` bytes written by one PUT. Another `name` makes another object."""
        key = f"{encryption.value}/{name or 'size'}-{size}"
        content = Payload(key, size).bytes()

        def write() -> bytes:
            front.s3.put(BUCKET, key, content, **self._sse(encryption))
            return content

        return self._once(front, key, encryption, write)

    def copied(self, front: Front, source: Encryption, target: Encryption) -> Object:
        """An object that CopyObject made."""
        origin = self.sized(front, source, COPY_SIZE)
        key = f"copied/{source.value}-to-{target.value}"
        source_key = CUSTOMER_KEY if source is Encryption.SSE_C else None

        def write() -> bytes:
            front.s3.copy(BUCKET, key, origin.key, source_key, **self._sse(target))
            return origin.content

        return self._once(front, key, target, write)

    def part_copied(self, front: Front, source: Encryption, target: Encryption) -> Object:
        """An object that UploadPartCopy made of ranges of another one."""
        origin = self.sized(front, source, 6 * MIB)
        key = f"part-copied/{source.value}-to-{target.value}"

        def write() -> bytes:
            front.s3.copy_parts(BUCKET, key, origin.key, COPIED_RANGES, **self._sse(target))
            return b"".join(origin.content[first : last + 1] for first, last in COPIED_RANGES)

        return self._once(front, key, target, write)

    def _write(self, front: Front, key: str, encryption: Encryption, shape: Shape) -> bytes:
        chunk = MIB * (1 if front.name == "1mb" else 4)
        sse = self._sse(encryption)
        if shape in (Shape.MULTIPART, Shape.EMPTY_MULTIPART):
            sizes = PART_SIZES if shape is Shape.MULTIPART else [0]
            parts = [Payload(f"{key}/{number}", size).bytes() for number, size in enumerate(sizes)]
            front.s3.put_multipart(BUCKET, key, parts, **sse)
            return b"".join(parts)
        sizes_by_shape = {
            Shape.EMPTY: 0,
            Shape.BYTE: 1,
            Shape.BLOCK_AND_BYTE: 17,
            Shape.CHUNK: chunk,
            Shape.MANY: 3 * chunk + 12_345,
        }
        content = Payload(key, sizes_by_shape[shape]).bytes()
        front.s3.put(BUCKET, key, content, **sse)
        return content

    def _once(self, front: Front, key: str, encryption: Encryption, write) -> Object:
        where = (front, key)
        if where not in self._written:
            if where[0] not in self._buckets:
                front.s3.create_bucket(BUCKET)
                self._buckets.add(where[0])
            self._written[where] = Object(front, key, encryption, write())
        return self._written[where]

    def _sse(self, encryption: Encryption) -> dict[str, str]:
        return sse_arguments(encryption, customer_key=CUSTOMER_KEY, kms_key_id=self._kms.key_id)


def put_large_and_small(front: Front, directory: str, size: int) -> Payload:
    """Two plain files of a directory: `large`, which is answered, and `small`."""
    large = Payload(directory, size)
    for name, content in (("large", large.bytes()), ("small", b"small")):
        assert request("PUT", f"{front.filer.url}/{directory}/{name}", body=content).status == 201
    return large
