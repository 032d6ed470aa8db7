"""Conditions and ranges of what may not be read, and conditions that are not understood."""

import pytest
from catalogue import CUSTOMER_KEY_2, Catalogue, Shape
from conftest import StartTidegate
from harness import Encryption, Front, Tidegate, request
from harness.wire import exchange

# What an answer to anybody may say; all other headers tell of the object.
OF_NO_OBJECT = {
    "server", "date", "content-type", "content-length", "connection", "x-content-type-options", "x-amz-request-id",
    "cache-control", "vary",
}  # fmt: skip
PROBES = [
    {"If-None-Match": "*"},
    {"If-Match": '"another"'},
    {"If-Match": "*", "If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:01 GMT"},
    {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:01 GMT"},
    {"If-Modified-Since": "Fri, 31 Dec 2100 00:00:00 GMT"},
    {"Range": "bytes=99999999999-"},
    {"Range": "bytes=nonsense"},
    {"Range": "bytes=99999999999-", "If-Range": '"another"'},
]


def says_nothing(url: str, key: dict[str, str], status: int, plain: bytes) -> None:
    """Every probe is refused, and nothing in the answer is of the object."""
    for method in ("GET", "HEAD"):
        for probe in PROBES:
            answer = request(method, url, {**key, **probe})
            assert answer.status == status, (method, probe)
            told = {name for name in answer.lower() if name not in OF_NO_OBJECT}
            assert not told, (method, probe, told)
            assert plain[:64] not in answer.body


@pytest.mark.parametrize("encryption", [Encryption.SSE_KMS, Encryption.SSE_S3], ids=lambda e: e.title)
def test_a_304_412_or_416_does_not_describe_what_is_not_decrypted_for_the_caller(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, gate_1mb: Tidegate, encryption: Encryption
) -> None:
    thing = objects.get(front_1mb, encryption, Shape.MANY)
    gate = start_tidegate(front_1mb, {"access": {"managed_keys": "none"}})
    says_nothing(gate.url + thing.path(), {}, 403, thing.content)
    # Where it is, the same probes are answered as ever.
    allowed = [request("GET", gate_1mb.url + thing.path(), probe).status for probe in PROBES]
    assert allowed == [304, 412, 200, 412, 304, 416, 416, 200]


@pytest.mark.parametrize("key", [{}, CUSTOMER_KEY_2.headers()], ids=["no key", "wrong key"])
def test_a_304_412_or_416_does_not_describe_an_object_to_who_has_not_its_key(
    front_1mb: Front, objects: Catalogue, gate_1mb: Tidegate, key: dict[str, str]
) -> None:
    for shape in (Shape.MANY, Shape.MULTIPART, Shape.EMPTY):
        thing = objects.get(front_1mb, Encryption.SSE_C, shape)
        says_nothing(gate_1mb.url + thing.path(), key, 403 if key else 400, thing.content or b"-" * 64)
    thing = objects.get(front_1mb, Encryption.SSE_C, Shape.MANY)
    assert request("GET", gate_1mb.url + thing.path(), {**thing.key_headers, "If-None-Match": "*"}).status == 304


def test_an_if_match_with_a_byte_that_is_no_text_is_not_ignored(
    front_1mb: Front, objects: Catalogue, gate_1mb: Tidegate
) -> None:
    thing = objects.get(front_1mb, Encryption.NONE, Shape.BYTE)
    for condition, status in [
        (b'If-Match: "\xff"', b"412"),
        (b"If-Match: caf\xe9", b"412"),
        (b'If-Range: "\xff"\r\nRange: bytes=0-0', b"200"),
        (b'If-None-Match: "\xff"', b"200"),
    ]:
        head = f"GET {thing.path()} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n".encode()
        answer = exchange(gate_1mb.listen, head + condition + b"\r\n\r\n")
        assert answer.split()[1] == status, (condition, answer[:100])
