"""Single ranges: the bytes asked for and no others, at every edge that an object has."""

import pytest
from catalogue import PART_SIZES, Catalogue, Object, Shape
from expect import read, same_bytes, same_headers_as_filer
from harness import Encryption, Front, Tidegate

every_encryption = pytest.mark.parametrize("encryption", Encryption, ids=lambda e: e.title)
MIB = 1 << 20


def edges(thing: Object, shape: Shape) -> list[int]:
    """Offsets where something begins: AES blocks, chunks, parts, the end."""
    size = len(thing.content)
    chunk = MIB * (1 if thing.front.name == "1mb" else 4)
    marks = {0, 16, chunk, 2 * chunk, size}
    if shape is Shape.MULTIPART:
        marks |= {PART_SIZES[0], PART_SIZES[0] + chunk, PART_SIZES[0] + PART_SIZES[1]}
    near = {mark + step for mark in marks for step in (-1, 0, 1)}
    return sorted(at for at in near if 0 <= at < size)


@every_encryption
@pytest.mark.parametrize("shape", [Shape.MANY, Shape.MULTIPART], ids=lambda s: s.value)
def test_ranges_around_every_edge(
    front: Front, gate: Tidegate, objects: Catalogue, encryption: Encryption, shape: Shape
) -> None:
    thing = objects.get(front, encryption, shape)
    size = len(thing.content)
    ranges = [(first, last) for first in edges(thing, shape) for last in (first, first + 30, first + MIB + 1)]
    for first, last in ranges:
        last = min(last, size - 1)
        answer = read(gate, thing, Range=f"bytes={first}-{last}")
        assert answer.status == 206, (first, last)
        assert answer.header("Content-Range") == f"bytes {first}-{last}/{size}"
        assert answer.header("Content-Length") == str(last - first + 1)
        same_bytes(answer.body, thing.content[first : last + 1])


@every_encryption
def test_open_and_suffix_ranges(front: Front, gate: Tidegate, objects: Catalogue, encryption: Encryption) -> None:
    thing = objects.get(front, encryption, Shape.MANY)
    size = len(thing.content)
    cases = {
        "bytes=0-": (0, size - 1),
        f"bytes={size - 1}-": (size - 1, size - 1),
        f"bytes={MIB + 5}-": (MIB + 5, size - 1),
        "bytes=-1": (size - 1, size - 1),
        "bytes=-100": (size - 100, size - 1),
        f"bytes=0-{size - 1}": (0, size - 1),
        f"bytes={size - 3}-{size + 1000}": (size - 3, size - 1),
        f"bytes=-{size + 5}": (0, size - 1),
    }
    for header, (first, last) in cases.items():
        answer = read(gate, thing, Range=header)
        assert answer.status == 206, header
        assert answer.header("Content-Range") == f"bytes {first}-{last}/{size}", header
        same_bytes(answer.body, thing.content[first : last + 1])


@every_encryption
def test_a_range_keeps_the_entrys_headers(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, encryption: Encryption
) -> None:
    thing = objects.get(front_1mb, encryption, Shape.MANY)
    header = {"Range": "bytes=100-299"}
    same_headers_as_filer(read(gate_1mb, thing, **header), thing.from_filer("GET", header))


@every_encryption
def test_a_range_beyond_the_end_is_416(
    front: Front, gate: Tidegate, objects: Catalogue, encryption: Encryption
) -> None:
    thing = objects.get(front, encryption, Shape.MANY)
    size = len(thing.content)
    for header in (f"bytes={size}-", f"bytes={size}-{size + 10}", f"bytes={size + 1000}-"):
        answer = read(gate, thing, Range=header)
        assert answer.status == thing.from_gateway("GET", {**thing.key_headers, "Range": header}).status == 416, header
        assert thing.content[:64] not in answer.body


@every_encryption
def test_ranges_of_a_single_byte_object(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, encryption: Encryption
) -> None:
    thing = objects.get(front_1mb, encryption, Shape.BYTE)
    for header in ("bytes=0-0", "bytes=0-", "bytes=-1"):
        answer = read(gate_1mb, thing, Range=header)
        assert (answer.status, answer.body) == (206, thing.content), header
    assert read(gate_1mb, thing, Range="bytes=1-").status == 416


@every_encryption
def test_several_ranges_never_send_ciphertext(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, encryption: Encryption
) -> None:
    """They may be ignored (the whole object) or answered one by one, but with the plaintext."""
    thing = objects.get(front_1mb, encryption, Shape.MANY)
    answer = read(gate_1mb, thing, Range="bytes=0-99,2000000-2000099")
    assert answer.status in (200, 206)
    if answer.status == 200:
        same_bytes(answer.body, thing.content)
    else:
        assert thing.content[:100] in answer.body and thing.content[2_000_000:2_000_100] in answer.body
