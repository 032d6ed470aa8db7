"""Objects that the S3 gateway made of others: CopyObject and UploadPartCopy, across encryptions."""

import pytest
from catalogue import Catalogue
from expect import read, same_bytes, same_echo_as_gateway, same_headers_as_filer
from harness import Encryption, Front, Tidegate

KINDS = list(Encryption)
# The gateway answers 501 NotImplemented to UploadPartCopy from SSE-C and SSE-KMS sources.
PART_COPY_SOURCES = [Encryption.NONE, Encryption.SSE_S3]


def title(encryption: Encryption) -> str:
    return encryption.title


def check(gate: Tidegate, thing) -> None:
    answer = read(gate, thing)
    assert answer.status == 200
    same_bytes(answer.body, thing.content)
    same_headers_as_filer(answer, thing.from_filer())
    gateway = thing.from_gateway("HEAD")  # it cannot GET parts copied from plain into SSE-C
    same_echo_as_gateway(answer, gateway)
    first, last = len(thing.content) // 2 - 7, len(thing.content) - 5
    ranged = read(gate, thing, Range=f"bytes={first}-{last}")
    assert ranged.status == 206
    same_bytes(ranged.body, thing.content[first : last + 1])


@pytest.mark.parametrize("target", KINDS, ids=title)
@pytest.mark.parametrize("source", KINDS, ids=title)
def test_copied_objects(
    front: Front, gate: Tidegate, objects: Catalogue, source: Encryption, target: Encryption
) -> None:
    check(gate, objects.copied(front, source, target))


@pytest.mark.parametrize("target", KINDS, ids=title)
@pytest.mark.parametrize("source", PART_COPY_SOURCES, ids=title)
def test_objects_made_of_copied_parts(
    front: Front, gate: Tidegate, objects: Catalogue, source: Encryption, target: Encryption
) -> None:
    check(gate, objects.part_copied(front, source, target))
