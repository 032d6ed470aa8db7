"""SSE-S3 wherever the gateway keeps the key that wraps the data keys."""

import pytest
from catalogue import Catalogue, Shape
from conftest import StartTidegate
from expect import json_error, read, same_bytes
from harness import Cluster, Encryption, Kek, request
from harness.kek import FILER_PATH

KEKS = {
    "key": Kek.from_key("any string"),
    "kek": Kek.from_kek("hex"),
    "filer": Kek.in_filer("hex in the filer"),
    "wrapped": Kek.wrapped_in_filer("wrapped in the filer", "a passphrase"),
}


@pytest.mark.parametrize("name", KEKS)
def test_objects_are_read_with_the_gateways_own_setting(
    cluster: Cluster, objects: Catalogue, start_tidegate: StartTidegate, name: str
) -> None:
    front = cluster.fronts.get(name) or cluster.add_front(name, kek=KEKS[name], maxMB=1)
    gate = start_tidegate(front)
    if name == "wrapped":
        assert len(request("GET", front.filer.url + FILER_PATH).body) > 64, "the gateway did not wrap the key"
    for shape in (Shape.MANY, Shape.MULTIPART, Shape.BYTE):
        thing = objects.get(front, Encryption.SSE_S3, shape)
        answer = read(gate, thing)
        assert answer.status == 200
        same_bytes(answer.body, thing.content)


def test_a_wrong_key_is_an_error_before_the_first_byte(
    cluster: Cluster, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    front = cluster.fronts.get("key") or cluster.add_front("key", kek=KEKS["key"], maxMB=1)
    thing = objects.get(front, Encryption.SSE_S3, Shape.MANY)
    answer = read(start_tidegate(front, {"sse_s3": {"key": "another string"}}), thing)
    assert 500 <= answer.status < 600
    assert "sse_s3" in json_error(answer)
