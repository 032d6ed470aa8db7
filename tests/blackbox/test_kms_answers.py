"""What clients are told when a KMS does not give the key: always before the first header, and never with bytes."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from catalogue import MIB, PART_SIZES, Catalogue, Shape
from conftest import StartTidegate
from expect import error_code, json_error, read, same_bytes
from harness import Encryption, Front, Kms


MANY_CHUNKS = 128


@pytest.fixture(autouse=True)
def well_behaved(kms: Kms):
    """Each test ends with a KMS that does what it should."""
    yield
    kms.behave()


def test_a_hundred_clients_of_a_cold_object_of_128_chunks_cost_one_decrypt(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, kms: Kms
) -> None:
    thing = objects.sized(front_1mb, Encryption.SSE_KMS, MANY_CHUNKS * MIB, name="128-chunks")
    gate = start_tidegate(front_1mb)
    before = kms.calls()

    def slice_of(client: int) -> None:
        first = (client * 1_300_021) % (len(thing.content) - 100_000)
        answer = read(gate, thing, Range=f"bytes={first}-{first + 99_999}")
        assert answer.status == 206
        same_bytes(answer.body, thing.content[first : first + 100_000])

    with ThreadPoolExecutor(100) as pool:
        list(pool.map(slice_of, range(100)))
    same_bytes(read(gate, thing).body, thing.content)
    assert kms.calls() - before == 1


@pytest.mark.parametrize(
    "status, code, answered",
    [
        (400, "AccessDeniedException", 403),
        (400, "NotFoundException", 403),
        (400, "InvalidCiphertextException", 403),
        (400, "DisabledException", 409),
        (400, "KMSInvalidStateException", 409),
    ],
)
def test_refusals_carry_the_services_own_code_and_are_not_tried_again(
    front_1mb: Front,
    objects: Catalogue,
    start_tidegate: StartTidegate,
    kms: Kms,
    status: int,
    code: str,
    answered: int,
) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_KMS, Shape.MANY)
    gate = start_tidegate(front_1mb)
    before = kms.calls()
    kms.fail_next(9, status, code)
    answer = read(gate, thing)
    assert (answer.status, error_code(answer)) == (answered, code)
    assert "main" in json_error(answer) and answer.header("Retry-After") == ""
    assert kms.calls() - before == 1
    assert read(gate, thing).status == answered, "the refusal was not remembered for a moment"
    assert kms.calls() - before == 1


@pytest.mark.parametrize("status, code", [(400, "ThrottlingException"), (500, "KMSInternalException")])
def test_what_passes_is_tried_again_and_then_503(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, kms: Kms, status: int, code: str
) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_KMS, Shape.MANY)
    gate = start_tidegate(front_1mb)
    before = kms.calls()
    kms.fail_next(2, status, code)
    same_bytes(read(gate, thing).body, thing.content)
    assert kms.calls() - before == 3

    gate = start_tidegate(front_1mb)
    before = kms.calls()
    kms.fail_next(99, status, code)
    answer = read(gate, thing)
    assert (answer.status, error_code(answer)) == (503, code)
    assert int(answer.header("Retry-After")) > 0
    assert kms.calls() - before == 4


def test_commitments_can_be_demanded(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, kms: Kms
) -> None:
    gate = start_tidegate(front_1mb, {"sse": {"require_commitment": True}})
    for encryption, shape, status in [
        (Encryption.SSE_S3, Shape.MANY, 200),
        (Encryption.SSE_S3, Shape.MULTIPART, 200),
        (Encryption.SSE_KMS, Shape.MANY, 200),
        (Encryption.SSE_KMS, Shape.MULTIPART, 403),
        (Encryption.SSE_C, Shape.MANY, 200),
        (Encryption.NONE, Shape.MANY, 200),
    ]:
        thing = objects.get(front_1mb, encryption, shape)
        before = kms.calls()
        answer = read(gate, thing)
        assert answer.status == status, (encryption, shape, answer.body[:300])
        if status == 200:
            same_bytes(answer.body, thing.content)
        else:
            assert error_code(answer) == "KeyCommitmentMissing"
            assert "sse.require_commitment" in json_error(answer)
            assert kms.calls() - before < len(PART_SIZES), "parts without a commitment were asked for"
