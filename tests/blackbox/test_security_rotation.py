"""Signing keys change while the servers run: at SIGHUP, as every weed process reads them again. And what the filer demands is
found out where tidegate was not told."""

import signal
import time
from collections.abc import Iterator
from http.client import IncompleteRead
from pathlib import Path

import pytest
from catalogue import Catalogue
from conftest import StartTidegate
from expect import json_error
from harness import Encryption, Front, Kms, Tidegate, request, toml
from harness.secured import SecuredCluster, secured_cluster, security_of
from harness.tokens import token
from waiting import reload, until

NEVER = 4_000_000_000


def keys_of(name: str) -> dict[str, dict]:
    """A `jwt` table with all four keys."""
    return {
        "jwt": {
            "signing": {"key": f"{name} volume write", "read": {"key": f"{name} volume read"}},
            "filer_signing": {"key": f"{name} filer write", "read": {"key": f"{name} filer read"}},
        }
    }


# A key that is left out, weed keeps.
NO_KEYS: dict[str, dict] = {
    "jwt": {"signing": {"key": "", "read": {"key": ""}}, "filer_signing": {"key": "", "read": {"key": ""}}}
}


def bearer(name: str) -> dict[str, str]:
    """A read token of the keys of that name."""
    return {"Authorization": f"Bearer {token(f'{name} filer read', {'exp': NEVER})}"}


def _answers(url: str, headers: dict[str, str], status: int) -> bool:
    """Whether a read is answered so, to its end: the filer breaks off where it and a volume server have other keys."""
    try:
        return request("GET", url, headers).status == status
    except IncompleteRead:
        return False


class Rotating:
    """A cluster whose keys change."""

    def __init__(self, cluster: SecuredCluster) -> None:
        self.cluster, self.front = cluster, cluster.front

    def write(self, security: dict[str, object] | str) -> None:
        """What `security.toml` says from now on, to who reads it."""
        text = security if isinstance(security, str) else toml.dumps(security)
        self.cluster.security_toml.write_text(text)

    def rotate(self, security: dict[str, dict], *, probe: str, headers: dict[str, str], status: int) -> None:
        """Has all of SeaweedFS take it, and waits until the filer answers so to a read of `probe`."""
        self.write(security)
        for server in (self.cluster.master, *self.cluster.volumes, self.front.filer, self.front.gateway):
            server.signal(signal.SIGHUP)
        url = self.front.filer.url + probe
        until(lambda: _answers(url, headers, status), f"the filer answers {status}")
        fid = "1,0100000000"
        shown = {"Authorization": f"Bearer {token(_volume_read_key(security), {'fid': fid, 'exp': NEVER})}"}
        for server in self.cluster.volumes:
            volume = f"{server.url}/{fid}"
            until(lambda volume=volume: request("GET", volume, shown).status != 401, "the volume server knows the key")


def _volume_read_key(security: dict[str, dict]) -> str:
    return security["jwt"]["signing"]["read"]["key"]


@pytest.fixture(scope="module")
def rotating(root: Path, kms: Kms) -> Iterator[Rotating]:
    """A cluster that begins with keys of the name "old"."""
    with secured_cluster(root / "rotating", keys_of("old"), kms) as cluster:
        yield Rotating(cluster)


def status_of(gate: Tidegate, path: str, name: str) -> int:
    return request("GET", gate.url + path, bearer(name)).status


def test_keys_are_rotated_by_sighup_and_the_old_ones_open_nothing(
    rotating: Rotating, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    thing = objects.sized(rotating.front, Encryption.SSE_KMS, 3_000_000, "of-all-times")
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
        assert "not reloaded: all stays as it was until this is mended" in log
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
    rotating: Rotating, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    thing = objects.sized(rotating.front, Encryption.NONE, 3_000_000, "for-all")
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


def statuses(gate: Tidegate, path: str) -> set[int]:
    """What reads of every kind are answered without a token."""
    conditions = [{}, {"Range": "bytes=0-9"}, {"Range": "bytes=99999999-"}, {"If-None-Match": "*"}, {"If-Match": '"x"'}]
    return {
        request(method, gate.url + target, headers).status
        for method in ("GET", "HEAD")
        for target in (path, path + "-not")
        for headers in conditions
    }


@pytest.mark.parametrize("encryption", [Encryption.NONE, Encryption.SSE_KMS], ids=lambda e: e.title)
def test_a_read_token_that_nobody_told_tidegate_closes_reads(
    rotating: Rotating, objects: Catalogue, start_tidegate: StartTidegate, encryption: Encryption
) -> None:
    path = objects.sized(rotating.front, encryption, 3_000_000, "of-all-times").path()
    assert request("GET", rotating.front.filer.url + path).status == 401
    gate = start_tidegate(rotating.front, ready=False)
    assert statuses(gate, path) == {503}
    answer = request("GET", gate.url + path, bearer("old"))
    assert answer.status == 503
    said = json_error(answer)
    assert "jwt.filer_signing.read.key" in said and "filer.security_toml" in said
    assert b'"blame":"config"' in answer.body
    readiness = request("GET", f"{gate.admin_url}/readyz")
    assert readiness.status == 503 and b"jwt.filer_signing.read.key" in readiness.body
    until(lambda: f'filer="{rotating.front.filer.address}"' in gate.log.read_text(), "the log names the filer")
    # What the filer judges by itself, it goes on judging.
    assert request("GET", f"{gate.url}{path}?metadata=true", bearer("old")).status == 200
    assert request("GET", f"{gate.url}{path}?metadata=true").status == 401


def test_a_filer_that_comes_back_with_a_key_finds_its_door_closed(
    rotating: Rotating, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    path = objects.sized(rotating.front, Encryption.NONE, 3_000_000, "for-all").path()
    filer = rotating.front.filer
    rotating.rotate(NO_KEYS, probe=path, headers={}, status=200)
    try:
        for cached in ("off", "64MiB"):
            gate = start_tidegate(rotating.front, {"cache": {"entries": cached}})
            assert request("GET", gate.url + path).status == 200
            filer.kill()
            until(lambda gate=gate: request("GET", gate.url + path).status in (502, 503), "the loss is noticed")
            rotating.write(keys_of("old"))
            filer.start()
            # From the first moment on at which it may have an entry to give.
            seen, deadline = [], time.monotonic() + 60
            while b"jwt.filer_signing.read.key" not in (answer := request("GET", gate.url + path)).body:
                seen.append(answer.status)
                assert time.monotonic() < deadline
            assert set(seen) <= {502, 503}
            assert statuses(gate, path) == {503}
            rotating.rotate(NO_KEYS, probe=path, headers={}, status=200)
            until(lambda gate=gate: request("GET", gate.url + path).status == 200, "it serves again", timeout=30)
    finally:
        rotating.rotate(keys_of("old"), probe=path, headers={}, status=401)


def test_a_filer_that_is_given_a_key_while_it_runs_is_found_out(
    rotating: Rotating, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    path = objects.sized(rotating.front, Encryption.NONE, 3_000_000, "for-all").path()
    rotating.rotate(NO_KEYS, probe=path, headers={}, status=200)
    gate = start_tidegate(rotating.front)
    assert request("GET", gate.url + path).status == 200
    rotating.rotate(keys_of("old"), probe=path, headers={}, status=401)
    until(lambda: request("GET", gate.url + path).status == 503, "reads are closed", timeout=30)


def test_a_key_that_the_filer_has_no_more_closes_reads_until_it_is_told(
    rotating: Rotating, objects: Catalogue, start_tidegate: StartTidegate, tmp_path: Path
) -> None:
    path = objects.sized(rotating.front, Encryption.NONE, 3_000_000, "for-all").path()
    # A file of its own: the filer's would be read again as soon as it has changed.
    own = tmp_path / "security.toml"
    own.write_text(toml.dumps(keys_of("old")))
    gate = start_tidegate(rotating.front, {"filer": {"security_toml": str(own)}})
    assert status_of(gate, path, "old") == 200
    rotating.rotate(keys_of("new"), probe=path, headers=bearer("new"), status=200)
    try:
        until(lambda: status_of(gate, path, "old") == 503, "the old key opens nothing", timeout=30)
        own.write_text(toml.dumps(keys_of("new")))
        reload(gate)
        assert (status_of(gate, path, "new"), status_of(gate, path, "old")) == (200, 401)
    finally:
        rotating.rotate(keys_of("old"), probe=path, headers=bearer("old"), status=200)


def test_a_filer_without_keys_beside_a_tidegate_with_keys_is_well(front_1mb: Front, start_tidegate: StartTidegate) -> None:
    assert request("PUT", f"{front_1mb.filer.url}/beside/x", body=b"x").status == 201
    gate = start_tidegate(front_1mb, env={"WEED_JWT_FILER_SIGNING_READ_KEY": "old filer read"})
    assert request("GET", f"{gate.url}/beside/x").status == 401
    assert request("GET", f"{gate.url}/beside/x", bearer("old")).body == b"x"
