"""How often the KMS is asked: once for each data key, however many chunks and however many reads at once."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor

from catalogue import PART_SIZES, Catalogue, Object, Shape
from conftest import StartTidegate
from expect import error_code, read, same_bytes
from harness import Encryption, Front, Kms, request


def data_keys(thing: Object) -> int:
    """How many different data keys the object's chunks are encrypted under, as the filer's metadata says."""
    metadata = request("GET", f"{thing.front.filer.url}{thing.path()}?metadata=true").body
    chunks = json.loads(metadata)["chunks"]
    wrapped = {json.loads(base64.b64decode(chunk["sse_metadata"]))["encryptedDataKey"] for chunk in chunks}
    assert len(chunks) > len(wrapped), "every chunk has a key of its own: nothing can be seen here"
    return len(wrapped)


def test_one_decrypt_for_all_chunks_of_a_put(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, kms: Kms
) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_KMS, Shape.MANY)
    assert data_keys(thing) == 1
    gate = start_tidegate(front_1mb)
    before = kms.calls()
    same_bytes(read(gate, thing).body, thing.content)
    assert kms.calls() - before == 1


def test_one_decrypt_for_each_part_of_a_multipart(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, kms: Kms
) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_KMS, Shape.MULTIPART)
    assert data_keys(thing) == len(PART_SIZES)
    gate = start_tidegate(front_1mb)
    before = kms.calls()
    same_bytes(read(gate, thing).body, thing.content)
    assert kms.calls() - before == len(PART_SIZES)


def test_reads_at_once_share_one_decrypt(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, kms: Kms
) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_KMS, Shape.MANY)
    gate = start_tidegate(front_1mb)
    before = kms.calls()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: read(gate, thing), range(16)))
    assert {answer.status for answer in answers} == {200}
    for answer in answers:
        same_bytes(answer.body, thing.content)
    assert kms.calls() - before == 1
    assert gate.metrics().sum("tidegate_kms_requests_total", provider="main") == 1


def test_empty_objects_ask_no_kms(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, kms: Kms
) -> None:
    gate = start_tidegate(front_1mb)
    before = kms.calls()
    assert read(gate, objects.get(front_1mb, Encryption.SSE_KMS, Shape.EMPTY)).status == 200
    assert kms.calls() == before


def test_a_kms_that_is_gone_is_an_error_before_the_first_byte(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_KMS, Shape.MANY)
    nobody = {"kms": {"providers": {"main": {"endpoint": "http://127.0.0.1:9"}}}}
    answer = read(start_tidegate(front_1mb, nobody), thing)
    assert (answer.status, error_code(answer)) == (503, "KmsUnreachable"), answer.body[:300]
    assert thing.from_filer().body[:64] not in answer.body
