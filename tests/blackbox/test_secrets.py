"""Keys stay where they are: not in logs at any level, not in metrics, not in errors."""

import base64
import json

import pytest
from catalogue import CUSTOMER_KEY, CUSTOMER_KEY_2, Catalogue, Object, Shape
from conftest import StartTidegate
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from expect import read
from harness import Encryption, Front, Kms, request
from harness.kms import SECRET_KEY
from harness.tidegate import run

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


def test_no_data_key_is_said_anywhere_in_a_full_run(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, kms: Kms
) -> None:
    """The keys that nobody sends: those that the KMS and the SSE-S3 key open, and that key itself."""
    gate = start_tidegate(front_1mb, {"log": {"level": "trace"}})
    said = bytearray()
    keys = [HKDF(SHA256(), 32, salt=None, info=b"seaweedfs-sse-s3-kek").derive(front_1mb.kek.tidegate["key"].encode())]
    for encryption in (Encryption.SSE_KMS, Encryption.SSE_S3):
        for shape in (Shape.MANY, Shape.MULTIPART):
            thing = objects.get(front_1mb, encryption, shape)
            keys += data_keys(thing, kms, keys[0])
            for answer in (read(gate, thing), read(gate, thing, "HEAD"), read(gate, thing, Range="bytes=7-99")):
                assert answer.status in (200, 206)
                said += str(answer.headers).encode()
            for more in ([], ["--json"]):
                done = run("explain", "--config", gate.config_file, thing.path(), *more)
                assert done.returncode == 0, done.stderr
                said += done.stdout.encode()
    assert len(set(keys)) >= 5, "the data keys were not found"
    refused = start_tidegate(front_1mb, {"log": {"level": "trace"}, "sse_s3": {"key": "another"}})
    kms.fail_next(1, 400, "InvalidCiphertextException", f"cannot open {base64.b64encode(keys[1]).decode()}")
    try:
        for encryption in (Encryption.SSE_KMS, Encryption.SSE_S3):
            answer = read(refused, objects.get(front_1mb, encryption, Shape.MANY))
            assert answer.status >= 400
            said += answer.body + str(answer.headers).encode()
    finally:
        kms.behave()
    for one in (gate, refused):
        said += one.scrape().encode()
        said += run("check", "--config", one.config_file).stdout.encode()
        one.stop()
        said += one.log.read_bytes()
    for key in keys:
        for spelling in spellings(key):
            assert spelling not in said, "a key was written down"


def data_keys(thing: Object, kms: Kms, kek: bytes) -> list[bytes]:
    """The keys that the object's chunks are encrypted under, opened as a reader does."""
    stored = thing.front.chunks(thing.path())
    found = []
    for chunk in stored:
        metadata = json.loads(base64.b64decode(chunk["sse_metadata"]))
        if "encryptedDEK" in metadata:
            sealed, nonce = base64.b64decode(metadata["encryptedDEK"]), base64.b64decode(metadata["nonce"])
            found.append(AESGCM(kek).decrypt(nonce, sealed, None))
        else:
            envelope = json.loads(base64.b64decode(metadata["encryptedDataKey"]))
            blob, context = base64.b64decode(envelope["ciphertext"]), metadata.get("encryptionContext") or {}
            found.append(kms.client().decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"])
    return found
