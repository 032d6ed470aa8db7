"""Signing keys change while the servers run: at SIGHUP, as every weed process reads them again."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from catalogue import Catalogue
from conftest import StartTidegate
from expect import json_error
from harness import Encryption, Front, Kms, Tidegate, request, toml
from harness.secured import SecuredCluster, security_of
from harness.tokens import token
from waiting import reload, until

NEVER = 4_000_000_000


def keys_of(name: str) -> dict[str, object]:
    """A `jwt` table with all four keys."""
    return {
        "jwt": {
            "signing": {"key": f"{name} volume write", "read": {"key": f"{name} volume read"}},
            "filer_signing": {"key": f"{name} filer write", "read": {"key": f"{name} filer read"}},
        }
    }


# A key that is left out, weed keeps.
NO_KEYS: dict[str, object] = {
    "jwt": {"signing": {"key": "", "read": {"key": ""}}, "filer_signing": {"key": "", "read": {"key": ""}}}
}


def bearer(name: str) -> dict[str, str]:
    """A read token of the keys of that name."""
    return {"Authorization": f"Bearer {token(f'{name} filer read', {'exp': NEVER})}"}


class Rotating:
    """A cluster whose keys change."""

    def __init__(self, cluster: SecuredCluster, front: Front) -> None:
        self.cluster, self.front = cluster, front

    def write(self, security: dict[str, object] | str) -> None:
        """What `security.toml` says from now on, to who reads it."""
        text = security if isinstance(security, str) else toml.dumps(security)
        self.cluster.security_toml.write_text(text)

    def rotate(self, security: dict[str, object], *, probe: str, headers: dict[str, str], status: int) -> None:
        """Has all of SeaweedFS take it, and waits until the filer answers so to a read of `probe`."""
        self.write(security)
        for server in (self.cluster.master, *self.cluster.volumes, self.front.filer, self.front.gateway):
            server.signal(signal.SIGHUP)
        url = self.front.filer.url + probe
        until(lambda: request("GET", url, headers).status == status, f"the filer answers {status}")


@pytest.fixture(scope="module")
def rotating(root: Path, kms: Kms) -> Iterator[Rotating]:
    """A cluster that begins with keys of the name "old"."""
    cluster = SecuredCluster(root / "rotating", keys_of("old"), kms=kms)
    with ExitStack() as stack:
        stack.callback(cluster.stop)
        cluster.start()
        yield Rotating(cluster, cluster.add_front("rotating", maxMB=1))


@pytest.fixture(scope="module")
def things(kms: Kms) -> Catalogue:
    """Objects of this cluster."""
    return Catalogue(kms)


def status_of(gate: Tidegate, path: str, name: str) -> int:
    return request("GET", gate.url + path, bearer(name)).status


def test_keys_are_rotated_by_sighup_and_the_old_ones_open_nothing(
    rotating: Rotating, things: Catalogue, start_tidegate: StartTidegate
) -> None:
    thing = things.sized(rotating.front, Encryption.SSE_KMS, 3_000_000, "of-all-times")
    gate = start_tidegate(rotating.front, {**security_of(rotating.front), "access": {"managed_keys": "jwt"}})
    assert request("GET", gate.url + thing.path(), bearer("old")).body == thing.content
    assert status_of(gate, thing.path(), "new") == 401

    rotating.rotate(keys_of("new"), probe=thing.path(), headers=bearer("new"), status=200)
    assert "ERROR" not in reload(gate)
    assert request("GET", gate.url + thing.path(), bearer("new")).body == thing.content
    assert status_of(gate, thing.path(), "old") == 401
    assert status_of(gate, thing.path() + "?metadata=true", "old") == 401
    assert request("GET", gate.url + thing.path()).status == 401

    # What cannot be used leaves all of it as it was.
    for broken, said in (("[jwt", "not valid TOML"), ({"jwt": {"signing": {}}}, "needs jwt.filer_signing.read.key")):
        rotating.write(broken)
        log = reload(gate)
        assert "security.toml cannot be used; all that was read of it before stays in use" in log
        assert said in log
        assert request("GET", gate.url + thing.path(), bearer("new")).body == thing.content
        assert status_of(gate, thing.path(), "old") == 401

    rotating.rotate(keys_of("old"), probe=thing.path(), headers=bearer("old"), status=200)
    reload(gate)
    assert request("GET", gate.url + thing.path(), bearer("old")).body == thing.content
    assert status_of(gate, thing.path(), "new") == 401
    for secret in ("filer read", "volume read"):
        assert secret not in gate.log.read_text()


def test_a_key_that_is_gone_everywhere_is_wanted_no_more(
    rotating: Rotating, things: Catalogue, start_tidegate: StartTidegate
) -> None:
    thing = things.sized(rotating.front, Encryption.NONE, 3_000_000, "for-all")
    gate = start_tidegate(rotating.front, security_of(rotating.front))
    assert request("GET", gate.url + thing.path()).status == 401
    try:
        rotating.rotate(NO_KEYS, probe=thing.path(), headers={}, status=200)
        reload(gate)
        assert request("GET", gate.url + thing.path()).body == thing.content
    finally:
        rotating.rotate(keys_of("old"), probe=thing.path(), headers={}, status=401)
    reload(gate)
    assert "wrong jwt" in json_error(request("GET", gate.url + thing.path()))
    assert request("GET", gate.url + thing.path(), bearer("old")).body == thing.content
