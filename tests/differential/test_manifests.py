"""Files of so many chunks that the filer folds them into manifests: a range needs those that cover it, each once."""

import base64
import json
from dataclasses import dataclass, replace

import pytest
from files import BUCKET, CUSTOMER_KEY, Writer
from filer_rpc import Chunk
from harness import Encryption, Payload, Tidegate, request
from harness.protobuf import message
from harness.s3 import sse_arguments
from test_deleted import vacuumed

CHUNKS = 20_003
SIZE = 64
ENCRYPTIONS = [Encryption.NONE, Encryption.SSE_C, Encryption.SSE_KMS]
each_encryption = pytest.mark.parametrize("encryption", ENCRYPTIONS, ids=lambda e: e.title)


@dataclass(frozen=True)
class Encrypted(Chunk):
    """A chunk that says how it is encrypted."""

    sse_type: int = 0
    sse_metadata: bytes = b""

    def encode(self) -> bytes:
        """As the filer stores it."""
        return super().encode() + message((12, self.sse_type), (13, self.sse_metadata))


@dataclass(frozen=True)
class Folded:
    """A file of 20,003 chunks, by turns those of two objects."""

    path: str
    content: bytes
    headers: dict[str, str]
    manifests: list[str]
    """Their needles, in order."""

    def read(self, gate: Tidegate, first: int, last: int) -> tuple[int, bytes]:
        """What is answered to one range."""
        answer = request("GET", gate.url + self.path, {**self.headers, "Range": f"bytes={first}-{last}"})
        return answer.status, answer.body

    def is_right(self, gate: Tidegate, first: int, last: int) -> bool:
        """Whether a range has the bytes that it should have."""
        return self.read(gate, first, last) == (206, self.content[first : last + 1])


def entry_of(writer: Writer, path: str) -> dict[str, object]:
    """The entry as the filer shows it."""
    return json.loads(request("GET", f"{writer.url(path)}?metadata=true").body)


def folded(writer: Writer, name: str, encryption: Encryption, chunks: int = CHUNKS, **arguments: str) -> Folded:
    """Writes the two objects, and the file out of their chunks."""
    sse = sse_arguments(encryption, customer_key=CUSTOMER_KEY, kms_key_id=writer.kms_key_id) | arguments
    writer.get("s3")  # for its bucket
    front, found, plain = writer.fronts["plain"], [], []
    for number in range(2):
        key = f"folded/{name}-{number}"
        plain.append(Payload(key, SIZE).bytes())
        front.s3.put(BUCKET, key, plain[-1], **sse)
        found.append(entry_of(writer, f"/buckets/{BUCKET}/{key}"))

    def chunk(number: int) -> Encrypted:
        stored = found[number % 2]["chunks"][0]
        metadata = base64.b64decode(stored.get("sse_metadata", ""))
        return Encrypted(
            stored["file_id"],
            number * SIZE,
            SIZE,
            number + 1,
            sse_type=stored.get("sse_type", 0),
            sse_metadata=metadata,
        )

    path = f"/buckets/{BUCKET}/folded/{name}"
    extended = {name: base64.b64decode(value) for name, value in found[0]["Extended"].items()}
    writer.rpc.create(path, [chunk(number) for number in range(chunks)], size=chunks * SIZE, extended=extended)
    listed = entry_of(writer, path)["chunks"]
    manifests = [chunk["file_id"] for chunk in sorted(listed, key=lambda c: c.get("offset", 0)) if chunk.get("is_chunk_manifest")]
    assert len(manifests) == chunks // 10_000, "the filer did not fold the chunks"
    content = (plain[0] + plain[1]) * (chunks // 2) + plain[0] * (chunks % 2)
    return Folded(path, content, dict(CUSTOMER_KEY.headers()) if encryption is Encryption.SSE_C else {}, manifests)


def fetched(gate: Tidegate) -> float:
    """Bytes that came from volume servers so far."""
    return gate.metrics().sum("tidegate_fetch_bytes_total")


@each_encryption
def test_a_range_reads_the_manifests_that_cover_it_and_each_once(
    writer: Writer, gates: dict[str, Tidegate], encryption: Encryption
) -> None:
    gate, file = gates["plain"], folded(writer, f"once-{encryption.value}", encryption)
    first = len(request("GET", f"{writer.volume_of(file.manifests[0])}/{file.manifests[0]}").body)
    middle = 10_000 * SIZE
    for (begin, end), needed in [((0, 99), 1), ((middle - 300, middle - 1), 0), ((middle, middle + 99), 1)]:
        before = fetched(gate)
        assert file.is_right(gate, begin, end)
        took = fetched(gate) - before
        assert needed * 0.9 * first <= took <= needed * 1.1 * first + 1000, (begin, took, first)
    assert file.is_right(gate, middle - 100, middle + 99)
    before = fetched(gate)
    for begin in (5, middle + 5, middle - 5, len(file.content) - 100):
        assert file.is_right(gate, begin, begin + 20)
    assert fetched(gate) - before < 1000, "the manifests were read again"
    whole = request("GET", gate.url + file.path, file.headers)
    assert (whole.status, whole.body == file.content) == (200, True)


@each_encryption
def test_a_lost_manifest_costs_the_ranges_inside_it_only(
    writer: Writer, gates: dict[str, Tidegate], encryption: Encryption
) -> None:
    gate, file = gates["plain"], folded(writer, f"lost-{encryption.value}", encryption)
    lost = file.manifests[1]
    assert request("DELETE", f"{writer.volume_of(lost)}/{lost}").status == 202
    vacuumed(writer, [lost])
    for begin in (0, 9_999 * SIZE, 20_000 * SIZE):
        assert file.is_right(gate, begin, begin + 63)
    for begin, end in ((10_000 * SIZE, 10_000 * SIZE + 9), (0, len(file.content) - 1)):
        assert file.read(gate, begin, end)[0] == 502


def test_a_manifest_of_26_megabytes_is_read(writer: Writer, gates: dict[str, Tidegate]) -> None:
    """10,000 chunks of SSE-KMS with a context of 2,000 bytes, which each of them repeats."""
    context = base64.b64encode(json.dumps({f"about-{number}": "x" * 250 for number in range(8)}).encode()).decode()
    file = folded(writer, "large", Encryption.SSE_KMS, 10_001, SSEKMSEncryptionContext=context)
    needle = file.manifests[0]
    assert len(request("GET", f"{writer.volume_of(needle)}/{needle}").body) > 25 << 20
    gate = gates["plain"]
    assert file.is_right(gate, 0, 99)
    assert file.is_right(gate, 9_999 * SIZE, 10_001 * SIZE - 1)


def test_what_was_cut_off_a_file_with_manifests_does_not_come_back(writer: Writer, gates: dict[str, Tidegate]) -> None:
    """A mount that cuts such a file short, and lets it grow again, makes the manifest smaller and leaves its list: a whole read
    had the bytes that were cut off, and so had each range after it."""
    listed = [writer.rpc.needle(b"A" * 1000), writer.rpc.needle(b"B" * 1000, 1000, 2)]
    path, content = "/cut-manifest", b"A" * 500 + bytes(1000)
    writer.rpc.create(path, [replace(writer.rpc.manifest(listed), size=500)], size=len(content))
    for first, last in ((500, 1199), (0, 1499), (500, 1199), (400, 599)):
        answer = request("GET", gates["plain"].url + path, {"Range": f"bytes={first}-{last}"})
        assert (answer.status, answer.body) == (206, content[first : last + 1]), (first, last)
    assert request("GET", gates["plain"].url + path).body == content
    assert request("GET", writer.url(path)).body == b"A" * 1000 + b"B" * 500
