"""SSE-C refusals: the S3 gateway's status codes, on GET and HEAD, with the filer's JSON error body."""

import base64

import pytest
from catalogue import CUSTOMER_KEY, CUSTOMER_KEY_2, Catalogue, Shape
from expect import json_error
from harness import Encryption, Front, Tidegate, request

ALGORITHM = "X-Amz-Server-Side-Encryption-Customer-Algorithm"
KEY = "X-Amz-Server-Side-Encryption-Customer-Key"
KEY_MD5 = "X-Amz-Server-Side-Encryption-Customer-Key-MD5"

RIGHT = CUSTOMER_KEY.headers()
SHORT_KEY = base64.b64encode(b"too short").decode()

REFUSED = {
    "no headers": {},
    "wrong key": CUSTOMER_KEY_2.headers(),
    "key is not base64": {**RIGHT, KEY: "%%%not base64%%%"},
    "key is too short": {**RIGHT, KEY: SHORT_KEY},
    "key is empty": {**RIGHT, KEY: ""},
    "md5 of another key": {**RIGHT, KEY_MD5: CUSTOMER_KEY_2.md5},
    "md5 is not base64": {**RIGHT, KEY_MD5: "%%%"},
    "unknown algorithm": {**RIGHT, ALGORITHM: "AES128"},
    "no algorithm": {KEY: RIGHT[KEY], KEY_MD5: RIGHT[KEY_MD5]},
    "no key": {ALGORITHM: RIGHT[ALGORITHM], KEY_MD5: RIGHT[KEY_MD5]},
    "no md5": {ALGORITHM: RIGHT[ALGORITHM], KEY: RIGHT[KEY]},
    "only the algorithm": {ALGORITHM: RIGHT[ALGORITHM]},
}
each_refusal = pytest.mark.parametrize("headers", REFUSED.values(), ids=list(REFUSED))


@each_refusal
@pytest.mark.parametrize("shape", [Shape.MANY, Shape.EMPTY, Shape.MULTIPART], ids=lambda s: s.value)
def test_get_is_refused_as_the_gateway_does(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, shape: Shape, headers: dict[str, str]
) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_C, shape)
    wanted = thing.from_gateway("GET", headers)
    answer = request("GET", gate_1mb.url + thing.path(), headers)
    assert wanted.status in (400, 403)
    assert answer.status == wanted.status
    message = json_error(answer)
    assert not any(value and value in message for name, value in headers.items() if name == KEY)


@each_refusal
def test_head_is_refused_as_the_gateway_does(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, headers: dict[str, str]
) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_C, Shape.MANY)
    wanted = thing.from_gateway("HEAD", headers)
    answer = request("HEAD", gate_1mb.url + thing.path(), headers)
    assert wanted.status in (400, 403)
    assert (answer.status, answer.body) == (wanted.status, b"")


@each_refusal
def test_a_range_is_refused_all_the_same(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, headers: dict[str, str]
) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_C, Shape.MANY)
    ranged = {**headers, "Range": "bytes=10-20"}
    answer = request("GET", gate_1mb.url + thing.path(), ranged)
    assert answer.status == thing.from_gateway("GET", ranged).status
    assert answer.status in (400, 403)


@pytest.mark.parametrize("encryption", [Encryption.NONE, Encryption.SSE_S3, Encryption.SSE_KMS], ids=lambda e: e.title)
def test_a_key_nobody_asked_for_is_ignored(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, encryption: Encryption
) -> None:
    thing = objects.get(front_1mb, encryption, Shape.MANY)
    assert thing.from_gateway("GET", RIGHT).status == 200
    answer = request("GET", gate_1mb.url + thing.path(), RIGHT)
    assert (answer.status, answer.body == thing.content) == (200, True)


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 400), (CUSTOMER_KEY_2.headers(), 403), (RIGHT, None)], ids=["none", "wrong", "right"]
)
def test_the_key_comes_before_416_and_304(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, headers: dict[str, str], status: int | None
) -> None:
    """The gateway decides them first, and tells of the object to who cannot read it."""
    thing = objects.get(front_1mb, Encryption.SSE_C, Shape.MANY)
    etag = thing.from_filer("HEAD").header("ETag")
    for condition in ({"Range": f"bytes={len(thing.content)}-"}, {"If-None-Match": etag}):
        asked = {**headers, **condition}
        wanted = thing.from_gateway("GET", asked).status
        assert wanted in (416, 304)
        assert request("GET", gate_1mb.url + thing.path(), asked).status == (status or wanted)
