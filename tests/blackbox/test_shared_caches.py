"""A cache in front that many share: nobody gets from it what was given to another."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from catalogue import CUSTOMER_KEY, CUSTOMER_KEY_2, Catalogue, Shape
from expect import same_bytes
from harness import Encryption, Front, Tidegate, request
from harness.nginx import Nginx

StartNginx = Callable[[Tidegate], Nginx]


@pytest.fixture
def start_nginx(tmp_path: Path) -> Iterator[StartNginx]:
    """Starts caches in front of tidegates."""
    with ExitStack() as stack:

        def start(gate: Tidegate) -> Nginx:
            cache = Nginx(tmp_path / f"nginx-{gate.name}", gate.url)
            stack.callback(cache.stop, 1.0)
            cache.start()
            return cache

        yield start


def test_a_public_object_is_kept(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, start_nginx: StartNginx
) -> None:
    """Lest the tests below show nothing: this cache keeps what it may."""
    cache, thing = start_nginx(gate_1mb), objects.get(front_1mb, Encryption.NONE, Shape.MANY)
    answers = [request("GET", cache.url + thing.path()) for _ in range(2)]
    assert [answer.header("X-Cache") for answer in answers] == ["MISS", "HIT"]
    assert not any({"cache-control", "vary"} & set(answer.lower()) for answer in answers)


def test_plaintext_of_a_customers_key_is_not_handed_to_the_next_one(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, start_nginx: StartNginx
) -> None:
    cache, thing = start_nginx(gate_1mb), objects.get(front_1mb, Encryption.SSE_C, Shape.MANY)
    for _ in range(2):  # nor a refusal to the one with the key
        answer = request("GET", cache.url + thing.path(), CUSTOMER_KEY.headers())
        assert answer.status == 200
        same_bytes(answer.body, thing.content)
        for headers, refused in (({}, 400), (CUSTOMER_KEY_2.headers(), 403)):
            answer = request("GET", cache.url + thing.path(), headers)
            assert answer.status == refused
            assert thing.content[:64] not in answer.body


def test_every_answer_about_a_customers_object_says_so(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue
) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_C, Shape.MANY)
    key, url = CUSTOMER_KEY.headers(), gate_1mb.url + thing.path()
    etag = request("HEAD", url, key).header("ETag")
    for method, headers, status in [
        ("GET", key, 200),
        ("HEAD", key, 200),
        ("GET", {**key, "Range": "bytes=5-9"}, 206),
        ("GET", {**key, "Range": "bytes=5-9,20-29"}, 206),
        ("GET", {**key, "If-None-Match": etag}, 304),
        ("GET", {**key, "If-Match": '"another"'}, 412),
        ("GET", {**key, "Range": "bytes=99999999-"}, 416),
        ("GET", {}, 400),
        ("HEAD", {}, 400),
        ("GET", CUSTOMER_KEY_2.headers(), 403),
    ]:
        answer = request(method, url, headers)
        assert answer.status == status
        assert answer.header("Cache-Control") == "no-store", (method, status)
        assert answer.header("Vary").split(", ") == sorted(name.lower() for name in key), (method, status)


def test_the_objects_own_word_counts_where_it_is_stricter_or_the_operator_says_so(
    front_1mb: Front, gate_1mb: Tidegate, objects: Catalogue, start_tidegate
) -> None:
    objects.get(front_1mb, Encryption.SSE_C, Shape.BYTE)  # makes the bucket
    own, key = "public, max-age=60, s-maxage=600", CUSTOMER_KEY
    front_1mb.s3.put("things", "with-a-word", b"x", SSECustomerAlgorithm="AES256", SSECustomerKey=key.raw, CacheControl=own)
    open_gate = start_tidegate(front_1mb, {"access": {"shared_caches": True}})
    for gate, said in ((gate_1mb, "no-store, max-age=60"), (open_gate, own)):
        answer = request("GET", gate.object_url("things", "with-a-word"), key.headers())
        assert (answer.status, answer.body) == (200, b"x")
        assert answer.header("Cache-Control") == said
        assert "x-amz-server-side-encryption-customer-key-md5" in answer.header("Vary")
