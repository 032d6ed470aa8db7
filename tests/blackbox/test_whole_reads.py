"""Whole objects: every encryption, every shape, both chunk sizes, GET and HEAD."""

import pytest
from catalogue import Catalogue, Shape
from expect import read, same_bytes, same_echo_as_gateway, same_headers_as_filer
from harness import Encryption, Front, Tidegate, request

every_encryption = pytest.mark.parametrize("encryption", Encryption, ids=lambda e: e.title)
every_shape = pytest.mark.parametrize("shape", Shape, ids=lambda s: s.value)


@every_encryption
@every_shape
def test_get_answers_the_plaintext_under_the_filers_headers(
    front: Front, gate: Tidegate, objects: Catalogue, encryption: Encryption, shape: Shape
) -> None:
    thing = objects.get(front, encryption, shape)
    answer = read(gate, thing)
    assert answer.status == 200
    same_bytes(answer.body, thing.content)
    assert answer.header("Content-Length") == str(len(thing.content))
    same_headers_as_filer(answer, thing.from_filer())
    same_echo_as_gateway(answer, thing.from_gateway())


@every_encryption
@every_shape
def test_head_answers_the_headers_of_get(
    front: Front, gate: Tidegate, objects: Catalogue, encryption: Encryption, shape: Shape
) -> None:
    thing = objects.get(front, encryption, shape)
    answer = read(gate, thing, "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("Content-Length") == str(len(thing.content))
    same_headers_as_filer(answer, thing.from_filer("HEAD"))
    same_echo_as_gateway(answer, thing.from_gateway("HEAD"))


@every_encryption
def test_etag_and_last_modified_are_the_gateways(
    front: Front, gate: Tidegate, objects: Catalogue, encryption: Encryption
) -> None:
    thing = objects.get(front, encryption, Shape.MANY)
    answer, gateway = read(gate, thing), thing.from_gateway()
    for name in ("ETag", "Last-Modified", "Content-Length", "Content-Type"):
        assert answer.header(name) == gateway.header(name), name


@every_encryption
@pytest.mark.parametrize("name", ["If-None-Match", "If-Modified-Since"])
def test_an_unchanged_object_is_not_sent_again(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, encryption: Encryption, name: str
) -> None:
    thing = objects.get(front_1mb, encryption, Shape.MANY)
    value = thing.from_filer("HEAD").header({"If-None-Match": "ETag"}.get(name, "Last-Modified"))
    wanted = thing.from_filer("GET", {name: value})
    answer = read(gate_1mb, thing, **{name: value})
    assert wanted.status == 304
    assert (answer.status, answer.body) == (304, b"")


def test_a_file_that_is_not_there_is_404_as_at_the_filer(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue
) -> None:
    thing = objects.get(front_1mb, Encryption.NONE, Shape.BYTE)
    path = thing.path() + "-not-there"
    for method in ("GET", "HEAD"):
        wanted = request(method, front_1mb.filer.url + path)
        answer = request(method, gate_1mb.url + path)
        assert answer.status == wanted.status == 404
