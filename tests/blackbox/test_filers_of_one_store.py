"""Two filers on one store (SQLite, in one file): what one writes the other has, and one is enough to read."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import StartTidegate
from filer_groups import filers_of_one_store
from harness import Front, Payload, Tidegate, request
from waiting import until

CONTENT = Payload("of one store", 3 << 20).bytes()
PATH = "/shared/file"


@pytest.fixture
def filers(tmp_path: Path) -> Iterator[list[Front]]:
    """Two filers of one group on one store."""
    with filers_of_one_store(tmp_path / "cluster") as filers:
        yield filers


@pytest.fixture
def gate(filers: list[Front], start_tidegate: StartTidegate) -> Tidegate:
    """A tidegate that knows both and asks the first."""
    gate = start_tidegate(filers[0], {"filer": {"addresses": [front.filer.address for front in filers]}})
    until(lambda: following(gate), "changes are followed", 20)
    return gate


def following(gate: Tidegate) -> bool:
    return gate.metrics().sum("tidegate_filer_subscription_up") == 1


def hits(gate: Tidegate) -> float:
    return gate.metrics().sum("tidegate_cache_requests_total", cache="entries", outcome="hit")


def write(front: Front, content: bytes, path: str = PATH) -> None:
    assert request("PUT", front.filer.url + path, body=content).status == 201


def remembered(gate: Tidegate, content: bytes) -> None:
    def from_memory() -> bool:
        before = hits(gate)
        assert request("GET", gate.url + PATH).body == content
        return hits(gate) > before

    until(from_memory, "the entry comes from memory", 30)


def becomes(gate: Tidegate, content: bytes) -> None:
    until(lambda: request("GET", gate.url + PATH).body == content, "the new file is read")


def test_what_either_writes_is_read(filers: list[Front], gate: Tidegate) -> None:
    first, second = filers
    write(first, b"by the first")
    assert request("GET", second.filer.url + PATH).body == b"by the first", "the store is not shared"
    becomes(gate, b"by the first")
    remembered(gate, b"by the first")
    write(second, b"by the second, which is not the one that is followed")
    becomes(gate, b"by the second, which is not the one that is followed")
    assert request("DELETE", second.filer.url + PATH).status == 204
    until(lambda: request("GET", gate.url + PATH).status == 404, "the file is gone")


def test_one_is_killed_and_every_read_goes_on(filers: list[Front], gate: Tidegate) -> None:
    """No read fails, whether its entry is in memory or has to be asked for; then the other one is followed."""
    first, second = filers
    write(first, CONTENT)
    names = [f"/shared/cold-{number}" for number in range(300)]
    for name in names:
        write(first, name.encode(), name)
    remembered(gate, CONTENT)
    wrong: list[object] = []
    stop = threading.Event()

    def reading(paths: list[str]) -> None:
        for path in paths:
            if stop.is_set():
                return
            answer = request("GET", gate.url + path)
            if answer.status != 200 or answer.body not in (CONTENT, path.encode()):
                wrong.append((path, answer.status, answer.body[:200]))

    readers = [threading.Thread(target=reading, args=(paths,)) for paths in ([PATH] * 100_000, names)]
    for reader in readers:
        reader.start()
    first.filer.signal(signal.SIGKILL)
    readers[1].join(60)
    stop.set()
    readers[0].join(60)
    assert not wrong, wrong[:5]
    assert request("GET", gate.admin_url + "/readyz").status == 200
    until(lambda: following(gate), "the other one is followed", 30)
    remembered(gate, CONTENT)
    write(second, b"after the first was killed")
    becomes(gate, b"after the first was killed")
    second.filer.signal(signal.SIGKILL)
    until(lambda: request("GET", gate.admin_url + "/readyz").status == 503, "nobody is left")
