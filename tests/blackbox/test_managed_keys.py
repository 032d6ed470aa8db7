"""`access.managed_keys`: who gets objects decrypted whose keys the server side holds. Closed unless opened."""

import pytest
from catalogue import CUSTOMER_KEY, Catalogue, Shape
from conftest import StartTidegate
from expect import json_error, same_bytes
from harness import Encryption, Front, Kms, Tidegate, request

MANAGED = pytest.mark.parametrize("encryption", [Encryption.SSE_KMS, Encryption.SSE_S3], ids=lambda e: e.title)
NONE = {"access": {"managed_keys": "none"}}


@MANAGED
@pytest.mark.parametrize("shape", [Shape.MANY, Shape.BYTE, Shape.MULTIPART], ids=lambda s: s.value)
def test_none_refuses_and_names_the_setting(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, kms: Kms, encryption: Encryption, shape: Shape
) -> None:
    thing = objects.get(front_1mb, encryption, shape)
    gate = start_tidegate(front_1mb, NONE)
    asked_before = kms.calls()
    for headers in ({}, {"Range": "bytes=0-0"}, {"Range": "bytes=0-0,0-0"}, CUSTOMER_KEY.headers()):
        answer = request("GET", gate.url + thing.path(), headers)
        assert answer.status == 403, headers
        assert "access.managed_keys" in json_error(answer)
    head = request("HEAD", gate.url + thing.path())
    assert (head.status, head.body) == (403, b"")
    assert kms.calls() == asked_before


@MANAGED
def test_none_is_the_default(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, encryption: Encryption
) -> None:
    thing = objects.get(front_1mb, encryption, Shape.MANY)
    gate = start_tidegate(front_1mb, without="access")
    answer = request("GET", gate.url + thing.path())
    assert answer.status == 403
    assert "access.managed_keys" in json_error(answer)


def test_none_says_nothing_about_plain_and_customer_keys(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    gate = start_tidegate(front_1mb, NONE)
    for encryption in (Encryption.NONE, Encryption.SSE_C):
        thing = objects.get(front_1mb, encryption, Shape.MANY)
        answer = request("GET", gate.url + thing.path(), thing.key_headers)
        assert answer.status == 200
        same_bytes(answer.body, thing.content)


@pytest.mark.parametrize("way", ["?proxyChunkId=", "?width=10", "?cm=false"])
def test_no_query_gets_an_encrypted_object_as_it_is_stored(
    front_1mb: Front, objects: Catalogue, gate_1mb: Tidegate, way: str
) -> None:
    """A query that the filer takes for something else must not turn the read into one of ciphertext."""
    thing = objects.get(front_1mb, Encryption.SSE_S3, Shape.MANY)
    stored = thing.from_filer().body
    answer = request("GET", gate_1mb.url + thing.path() + way)
    assert stored[:64] not in answer.body
    assert answer.status != 200 or answer.body == thing.content
