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


@pytest.mark.parametrize("encryption", [Encryption.SSE_C, Encryption.SSE_S3], ids=lambda e: e.title)
def test_a_query_that_the_filer_does_not_read_gets_nothing(
    front_1mb: Front, objects: Catalogue, gate_1mb: Tidegate, encryption: Encryption
) -> None:
    """Of more than 10,000 parameters the filer reads none: asked for metadata, it would send what is stored."""
    thing = objects.get(front_1mb, encryption, Shape.MANY)
    query = "?metadata=true" + "&" * 9_999
    assert request("GET", gate_1mb.url + thing.path() + query).body.startswith(b"{")
    assert request("GET", thing.front.filer.url + thing.path() + query + "&").body == thing.from_filer().body
    refused = request("GET", gate_1mb.url + thing.path() + query + "&")
    assert refused.status == 400
    assert "10,000 parameters" in json_error(refused)


def test_a_name_that_the_filer_repairs_is_the_objects(
    front_1mb: Front, objects: Catalogue, gate_1mb: Tidegate, start_tidegate: StartTidegate
) -> None:
    """The filer takes what is not UTF-8 in a name for an underscore."""
    thing = objects.sized(front_1mb, Encryption.SSE_S3, 70_000, "a_name")
    path = thing.path().replace("a_name", "a%ff%fename")
    assert request("GET", front_1mb.filer.url + path).body == thing.from_filer().body
    same_bytes(request("GET", gate_1mb.url + path).body, thing.content)
    assert request("GET", start_tidegate(front_1mb, NONE).url + path).status == 403
