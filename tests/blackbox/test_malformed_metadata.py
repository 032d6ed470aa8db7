"""Entries of the real filer whose SSE metadata is broken: 500 that names the field, before any header of the object."""

import base64
import json

import pytest
from catalogue import Catalogue, Object
from conftest import StartTidegate
from expect import error_code, json_error, read, same_bytes
from harness import Encryption, Front, request
from harness.entry_tool import change_entry

SIZE = 60_000
BROKEN = object()


def stored(thing: Object) -> dict[str, object]:
    """The metadata of its chunk."""
    entry = json.loads(request("GET", f"{thing.front.filer.url}{thing.path()}?metadata=true").body)
    return json.loads(base64.b64decode(entry["chunks"][0]["sse_metadata"]))


def without(metadata: dict[str, object], field: str) -> dict[str, object]:
    return {name: value for name, value in metadata.items() if name != field}


def envelope(metadata: dict[str, object], **change: object) -> dict[str, object]:
    """The metadata with another envelope."""
    inner = json.loads(base64.b64decode(str(metadata["encryptedDataKey"])))
    inner = {name: value for name, value in {**inner, **change}.items() if value is not BROKEN}
    return {**metadata, "encryptedDataKey": base64.b64encode(json.dumps(inner).encode()).decode()}


SHORT_IV = base64.b64encode(b"seven b").decode()

KMS = {
    "no-json": (lambda m: b"{not json", "sse_metadata"),
    "an-array": (lambda m: b"[]", "sse_metadata"),
    "cut-off": (lambda m: json.dumps(m).encode()[:-20], "sse_metadata"),
    "another-algorithm": (lambda m: {**m, "algorithm": "aws:kms:dsse"}, "algorithm"),
    "iv-no-base64": (lambda m: {**m, "iv": "!!!"}, "iv"),
    "iv-too-short": (lambda m: {**m, "iv": SHORT_IV}, "iv"),
    "iv-a-number": (lambda m: {**m, "iv": 7}, "iv"),
    "key-no-base64": (lambda m: {**m, "encryptedDataKey": "*"}, "encryptedDataKey"),
    "key-no-envelope": (lambda m: {**m, "encryptedDataKey": "AAAA"}, "encryptedDataKey"),
    "key-of-no-provider": (lambda m: envelope(m, provider=BROKEN), "encryptedDataKey.provider"),
    "key-without-ciphertext": (lambda m: envelope(m, ciphertext=""), "encryptedDataKey.ciphertext"),
    "key-of-a-later-version": (lambda m: envelope(m, version=9), "encryptedDataKey.version"),
    "no-key-id": (lambda m: without(m, "keyId"), "keyId"),
    "offset-negative": (lambda m: {**m, "partOffset": -1}, "partOffset"),
    "offset-no-number": (lambda m: {**m, "partOffset": "0"}, "partOffset"),
    "a-field-more": (lambda m: {**m, "cipherMode": "GCM"}, "sse_metadata.cipherMode"),
    "context-no-object": (lambda m: {**m, "encryptionContext": [1]}, "encryptionContext"),
}
S3 = {
    "no-json": (lambda m: b"\x00\xff", "sse_metadata"),
    "iv-too-short": (lambda m: {**m, "iv": SHORT_IV}, "iv"),
    "dek-too-short": (lambda m: {**m, "encryptedDEK": "AAAA"}, "encryptedDEK"),
    "dek-no-base64": (lambda m: {**m, "encryptedDEK": "?"}, "encryptedDEK"),
    "nonce-missing": (lambda m: without(m, "nonce"), "nonce"),
    "nonce-too-long": (lambda m: {**m, "nonce": base64.b64encode(bytes(13)).decode()}, "nonce"),
    "a-field-more": (lambda m: {**m, "cipherMode": "GCM"}, "sse_metadata.cipherMode"),
    "commitment-no-base64": (lambda m: {**m, "keyCommitment": "-"}, "keyCommitment"),
}
CUSTOMER = {
    "no-json": (lambda m: b"null", "sse_metadata"),
    "iv-too-short": (lambda m: {**m, "iv": SHORT_IV}, "iv"),
    "a-field-more": (lambda m: {**m, "cipherMode": "GCM"}, "sse_metadata.cipherMode"),
    "md5-too-short": (lambda m: {**m, "keyMD5": "AAAA"}, "keyMD5"),
}
CASES = [
    (encryption, name, *case)
    for encryption, cases in ((Encryption.SSE_KMS, KMS), (Encryption.SSE_S3, S3), (Encryption.SSE_C, CUSTOMER))
    for name, case in cases.items()
]


@pytest.mark.parametrize(("encryption", "name", "change", "field"), CASES, ids=[f"{c[0].title}-{c[1]}" for c in CASES])
def test_broken_metadata_of_a_chunk_is_a_500_that_names_the_field(
    front_1mb: Front, objects: Catalogue, gate_1mb, encryption: Encryption, name: str, change, field: str
) -> None:
    thing = objects.sized(front_1mb, encryption, SIZE, f"malformed-{name}")
    broken = change(stored(thing))
    raw = broken if isinstance(broken, bytes) else json.dumps(broken).encode()
    grpc = f"{front_1mb.filer.host}:{front_1mb.filer.grpc_port}"
    change_entry(grpc, thing.path(), sse_metadata=raw)
    for headers in ({}, {"Range": "bytes=5-99"}):
        answer = read(gate_1mb, thing, **headers)
        assert answer.status == 500, answer.body[:300]
        body = json.loads(answer.body)
        assert (body["code"], body["blame"], body["retry"]) == ("InvalidEncryptionMetadata", "filer", False)
        assert field in json_error(answer) and "chunk 0" in json_error(answer)
        assert "ETag" not in answer.headers and "Content-Range" not in answer.headers


@pytest.mark.parametrize(
    ("value", "field"),
    [(b"{", "x-seaweedfs-sse-kms-key"), (b'{"iv":"AAAA"}', "iv"), (None, "x-seaweedfs-sse-kms-key.iv")],
    ids=["no-json", "iv-too-short", "missing"],
)
def test_broken_metadata_of_the_entry_under_silent_chunks(
    front_1mb: Front, objects: Catalogue, gate_1mb, value: bytes | None, field: str
) -> None:
    """Chunks that leave it to the entry, as old gateways wrote them."""
    thing = objects.sized(front_1mb, Encryption.SSE_KMS, SIZE, f"malformed-entry-{field}")
    grpc = f"{front_1mb.filer.host}:{front_1mb.filer.grpc_port}"
    change_entry(grpc, thing.path(), sse_metadata=b"", extended={"x-seaweedfs-sse-kms-key": value})
    answer = read(gate_1mb, thing)
    assert answer.status == 500, answer.body[:300]
    assert error_code(answer) == "InvalidEncryptionMetadata"
    assert field in json_error(answer)


def test_an_entry_that_is_mended_is_read_again(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    """Lest it be the way that entries are changed here that breaks them."""
    thing = objects.sized(front_1mb, Encryption.SSE_KMS, SIZE, "malformed-and-mended")
    whole = json.dumps(stored(thing)).encode()
    grpc = f"{front_1mb.filer.host}:{front_1mb.filer.grpc_port}"
    gate = start_tidegate(front_1mb)
    change_entry(grpc, thing.path(), sse_metadata=b"{")
    assert read(gate, thing).status == 500
    change_entry(grpc, thing.path(), sse_metadata=whole)
    same_bytes(read(gate, thing).body, thing.content)
