"""Keys that are disabled or about to be deleted, by a KMS that refuses them itself: 409 in its own words."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from catalogue import Catalogue
from conftest import StartTidegate
from expect import error_code, json_error, read, same_bytes
from harness import Cluster, Encryption, Front
from harness.kms import StrictKms

ASK_EACH_TIME = {"kms": {"cache_ttl": "0s"}}


@pytest.fixture(scope="module")
def strict(root: Path) -> Iterator[StrictKms]:
    """The KMS of this file."""
    service = StrictKms(root / "strict-kms")
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def front(root: Path, strict: StrictKms) -> Iterator[Front]:
    """A front whose gateway has its keys wrapped by it."""
    servers = Cluster(root / "strict", kms=strict)
    with ExitStack() as stack:
        stack.callback(servers.stop)
        servers.start()
        yield servers.add_front("strict", maxMB=1)


def test_a_disabled_key_is_a_409_until_it_is_enabled(
    front: Front, strict: StrictKms, start_tidegate: StartTidegate
) -> None:
    thing = Catalogue(strict).sized(front, Encryption.SSE_KMS, 200_000, "disabled")
    gate = start_tidegate(front, ASK_EACH_TIME)
    same_bytes(read(gate, thing).body, thing.content)
    key = strict.client()
    key.disable_key(KeyId=strict.key_id)
    answer = read(gate, thing)
    assert (answer.status, error_code(answer)) == (409, "DisabledException")
    assert "enable the key" in json_error(answer) and answer.header("Retry-After") == ""
    key.enable_key(KeyId=strict.key_id)
    same_bytes(read(gate, thing).body, thing.content)
    key.schedule_key_deletion(KeyId=strict.key_id, PendingWindowInDays=7)
    answer = read(gate, thing)
    assert (answer.status, error_code(answer)) == (409, "KMSInvalidStateException")
    key.cancel_key_deletion(KeyId=strict.key_id)
    key.enable_key(KeyId=strict.key_id)
    same_bytes(read(gate, thing).body, thing.content)
