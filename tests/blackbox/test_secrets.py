"""Keys stay where they are: not in logs at any level, not in metrics, not in errors."""

import base64

import pytest
from catalogue import CUSTOMER_KEY, CUSTOMER_KEY_2, Catalogue, Shape
from conftest import StartTidegate
from expect import read
from harness import Encryption, Front, request
from harness.kms import SECRET_KEY

KEY = "X-Amz-Server-Side-Encryption-Customer-Key"


def spellings(key: bytes) -> list[bytes]:
    """How a key may be written by accident. Debug output of bytes is a list of decimals."""
    listed = ", ".join(str(byte) for byte in key).encode()
    return [key, base64.b64encode(key), key.hex().encode(), key.hex().upper().encode(), listed]


@pytest.mark.parametrize("level", ["info", "trace"])
def test_no_key_is_logged_or_counted(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, level: str
) -> None:
    gate = start_tidegate(front_1mb, {"log": {"level": level}})
    answers = []
    for encryption in Encryption:
        answers.append(read(gate, objects.get(front_1mb, encryption, Shape.MANY)))
        answers.append(read(gate, objects.get(front_1mb, encryption, Shape.MULTIPART), Range="bytes=7-99"))
    path = objects.get(front_1mb, Encryption.SSE_C, Shape.MANY).path()
    answers.append(request("GET", gate.url + path, CUSTOMER_KEY_2.headers()))
    answers.append(request("GET", gate.url + path, {**CUSTOMER_KEY.headers(), KEY: CUSTOMER_KEY.base64[:-4]}))
    answers.append(request("PUT", gate.url + "/relayed/with-a-key", CUSTOMER_KEY.headers(), b"x"))
    assert {answer.status for answer in answers} == {200, 201, 206, 400, 403}
    gate.stop()
    logged = gate.log.read_bytes()
    assert logged, "nothing was logged, so nothing was shown"
    said = logged + b"".join(str(answer.headers).encode() for answer in answers)
    secrets = [SECRET_KEY.encode(), front_1mb.kek.tidegate["key"].encode(), CUSTOMER_KEY.base64[:-4].encode()]
    for secret in [*secrets, *spellings(CUSTOMER_KEY.raw), *spellings(CUSTOMER_KEY_2.raw)]:
        assert secret not in said, secret


def test_metrics_hold_no_key_and_no_path(front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_1mb)
    thing = objects.get(front_1mb, Encryption.SSE_C, Shape.MANY)
    read(gate, thing)
    request("GET", gate.url + thing.path(), CUSTOMER_KEY_2.headers())
    scraped = gate.scrape()
    for word in (CUSTOMER_KEY.base64, CUSTOMER_KEY.md5, CUSTOMER_KEY_2.base64, thing.key, SECRET_KEY):
        assert word not in scraped
