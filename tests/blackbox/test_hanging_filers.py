"""Filers that hang, and connections to them on which nothing comes any more: others are asked, and other connections used."""

import itertools
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import StartTidegate
from filer_groups import filers_of_one_store
from harness import Cluster, Front, Tidegate, request
from harness.ports import HOST
from harness.relay import Relay
from waiting import until

CONTENT = b"found at either"


def write(front: Front, path: str, content: bytes = CONTENT) -> None:
    assert request("PUT", front.filer.url + path, body=content).status == 201


def status(url: str, timeout: float = 30.0, **options: object) -> int:
    """The status of an answer, 0 for none."""
    try:
        return request("GET", url, timeout=timeout, **options).status
    except OSError:
        return 0


def is_ready(gate: Tidegate) -> bool:
    return status(f"{gate.admin_url}/readyz") == 200


def is_following(gate: Tidegate) -> bool:
    return gate.metrics().sum("tidegate_filer_subscription_up") == 1


@pytest.fixture(scope="module")
def two(root: Path) -> Iterator[list[Front]]:
    """Two filers of one group on one store (SQLite, in one file)."""
    with filers_of_one_store(root / "hanging") as filers:
        yield filers


@pytest.mark.parametrize("entries", ["64MiB", "off"])
def test_the_first_of_two_filers_hangs(two: list[Front], start_tidegate: StartTidegate, entries: str) -> None:
    """Stopped, it takes connections and says nothing: within five seconds the other one has its place."""
    first, second = two
    paths = [f"/hanging/{entries}-{number}" for number in range(40)]
    for path in paths:
        write(first, path)
    addresses = [front.filer.address for front in two]
    gate = start_tidegate(first, {"filer": {"addresses": addresses}, "cache": {"entries": entries}})
    if entries != "off":
        until(lambda: is_following(gate), "changes are followed", 20)
    first.filer.signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with ThreadPoolExecutor(len(paths)) as readers:
            answers = readers.map(lambda path: (status(gate.url + path), time.monotonic() - begun), paths)
            unready = []
            while time.monotonic() - begun < 7:
                if not is_ready(gate):
                    unready.append(time.monotonic() - begun)
                time.sleep(0.2)
            slow = [answer for answer in answers if answer[0] != 200 or answer[1] > 5]
        assert not slow and not [late for late in unready if late > 5], (slow, unready)
        listed = request("GET", f"{gate.url}/hanging/", {"Accept": "application/json"}, timeout=5)
        assert listed.status == 200 and b"Entries" in listed.body
        if entries != "off":
            until(lambda: is_following(gate), "the other one is followed", 12)
    finally:
        first.filer.signal(signal.SIGCONT)


def seconds(url: str) -> float:
    """How long a read took that was answered."""
    begun = time.monotonic()
    assert status(url) == 200
    return time.monotonic() - begun


def test_lookups_stay_quick_while_one_of_two_filers_is_slow(two: list[Front], start_tidegate: StartTidegate) -> None:
    """It answers, 0.6 s late: the other one is asked beside it."""
    first, second = two
    write(first, "/slow/file")
    distant = Relay((HOST, 0), (HOST, first.filer.grpc_port))
    slow = f"{HOST}:{first.filer.port}.{distant.port}"
    no_entries: dict[str, object] = {"cache": {"entries": "off"}}
    alone = start_tidegate(first, {"filer": {"addresses": [slow]}, **no_entries})
    gate = start_tidegate(first, {"filer": {"addresses": [slow, second.filer.address]}, **no_entries})

    def hedges(outcome: str) -> float:
        return gate.metrics().sum("tidegate_filer_hedges_total", filer=f"{HOST}:{first.filer.port}", outcome=outcome)

    try:
        for _ in range(100):  # it is known then what is late, and that both have the same store
            assert status(f"{gate.url}/slow/file") == 200
            time.sleep(0.03)
        asked_before = hedges("sent")
        distant.behaviour.delay = 0.3
        assert seconds(f"{alone.url}/slow/file") >= 0.6
        took = sorted(seconds(f"{gate.url}/slow/file") for _ in range(20))
        assert took[-3] < 0.5, took
        assert hedges("won") >= 18 and hedges("sent") - asked_before <= 40
        assert gate.metrics().sum("tidegate_filer_up") == 2, "the slow one has not lost its place"
    finally:
        distant.stop()


class Lines:
    """One filer behind relays for HTTP and gRPC, and a tidegate that knows it by them."""

    def __init__(self, front: Front, start: StartTidegate, change: dict[str, object] | None = None) -> None:
        self.http = Relay((HOST, 0), (HOST, front.filer.port))
        self.grpc = Relay((HOST, 0), (HOST, front.filer.grpc_port))
        change = {**(change or {})}
        change["filer"] = {"addresses": [f"{HOST}:{self.http.port}.{self.grpc.port}"], **change.get("filer", {})}
        self.gate = start(front, change)

    def stop(self) -> None:
        self.http.stop()
        self.grpc.stop()


@pytest.fixture
def lines(front_1mb: Front, start_tidegate: StartTidegate) -> Iterator[Lines]:
    made = Lines(front_1mb, start_tidegate)
    yield made
    made.stop()


def test_the_grpc_connection_to_the_filer_stands_still(front_1mb: Front, lines: Lines) -> None:
    """Its machine went without a word and came back: entries are looked up and changes followed over another one."""
    gate = lines.gate
    write(front_1mb, "/frozen/file")
    until(lambda: is_following(gate), "changes are followed", 20)
    frozen_at = time.monotonic()
    assert lines.grpc.freeze() >= 1
    while time.monotonic() < frozen_at + 6:
        assert status(f"{gate.url}/frozen/file") == 200
        time.sleep(0.1)
    assert "stands still" in gate.log.read_text()
    until(lambda: is_following(gate), "changes are followed again", 10 - (time.monotonic() - frozen_at))
    write(front_1mb, "/frozen/file", b"written since")
    until(lambda: request("GET", f"{gate.url}/frozen/file").body == b"written since", "the change is seen", 5)


def test_pooled_http_connections_to_the_filer_stand_still(front_1mb: Front, lines: Lines) -> None:
    """A listing that met one of them is asked for again on a new one."""
    url = f"{lines.gate.url}/listed/"
    write(front_1mb, "/listed/file")
    with ThreadPoolExecutor(30) as clients:
        # Each is still waiting for its answer when the last one is asked for, so each needs a connection of its own.
        lines.http.behaviour.delay = 0.5
        assert set(clients.map(lambda _: status(url), range(30))) == {200}
        lines.http.behaviour.delay = 0.0
        assert lines.http.freeze() >= 12
        begun = time.monotonic()
        answers = list(clients.map(lambda _: (status(url, 20), time.monotonic() - begun), range(30)))
    assert [answer for answer in answers if answer[0] != 200 or answer[1] > 15] == []


def test_a_put_ends_while_the_filer_hangs(front_1mb: Front, start_tidegate: StartTidegate) -> None:
    """504 when nothing has got on for `filer.progress_timeout`, whether the body is small or more than sockets hold."""
    gate = start_tidegate(front_1mb, {"filer": {"progress_timeout": "3s"}})
    write(front_1mb, "/put/file")
    front_1mb.filer.signal(signal.SIGSTOP)
    try:
        for size in (10, 64 << 20):
            begun = time.monotonic()
            try:
                answer = request("PUT", f"{gate.url}/put/file", body=bytes(size), timeout=20)
                assert answer.status == 504 and b"may or may not" in answer.body, answer
            except (BrokenPipeError, ConnectionResetError):
                assert size > 10, "an answer is lost only on a client that still sends"
            assert time.monotonic() - begun < 8
        begun = time.monotonic()
        assert status(f"{gate.url}/put/file?metadata=true", 20) == 504
        assert time.monotonic() - begun < 8
    finally:
        front_1mb.filer.signal(signal.SIGCONT)


def test_an_upload_that_goes_on_slowly_is_no_reason_to_stop(front_1mb: Front, start_tidegate: StartTidegate) -> None:
    """One whose client says nothing for `filer.progress_timeout` ends with 408."""
    gate = start_tidegate(front_1mb, {"filer": {"progress_timeout": "2s"}})
    with socket.create_connection((HOST, gate.port), timeout=20) as client:
        client.sendall(b"PUT /slow/file HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n")
        for letter in b"slow":
            time.sleep(1)
            client.sendall(bytes([letter]))
        assert client.recv(1000).startswith(b"HTTP/1.1 408 ")
    with socket.create_connection((HOST, gate.port), timeout=20) as client:
        client.sendall(b"PUT /slow/file HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
        for letter in b"slow":
            time.sleep(1)
            client.sendall(bytes([letter]))
        assert client.recv(1000).startswith(b"HTTP/1.1 201 ")


def test_changes_that_a_group_holds_back_are_not_waited_for(root: Path, start_tidegate: StartTidegate) -> None:
    """While one of a group hangs, the other sends no changes. What is kept is not believed for longer than 12 s."""
    cluster = Cluster(root / "held-back")
    with ExitStack() as stack:
        stack.callback(cluster.stop)
        cluster.start()
        first, second = (cluster.add_front(name, filerGroup="held-back", maxMB=1) for name in ("first", "second"))
        gate = start_tidegate(first)
        until(lambda: is_following(gate), "changes are followed", 20)
        write(first, "/held/file")
        second.filer.signal(signal.SIGSTOP)
        stack.callback(second.filer.signal, signal.SIGCONT)
        begun = time.monotonic()
        for number in itertools.count():
            content = f"number {number}".encode()
            write(first, "/held/file", content)
            until(lambda: request("GET", f"{gate.url}/held/file").body == content, "the change is seen", 13)
            if time.monotonic() - begun > 16:
                break
            time.sleep(0.5)
