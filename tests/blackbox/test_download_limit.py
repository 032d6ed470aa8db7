"""A volume server that is at its download limit lets requests wait: it is busy, not dead."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from catalogue import MIB
from conftest import StartTidegate
from harness import Cluster, Front, Payload, request
from harness.metrics import parse
from harness.ports import free_port

LIMIT = {"concurrentDownloadLimitMB": 8, "inflightDownloadDataTimeout": "60s"}
WAITED = {"type": "downloadLimitCondition"}
DOWNLOADS = 24
SIZE = 8 * MIB
IMPATIENT = {"concurrentDownloadLimitMB": 8, "inflightDownloadDataTimeout": "1s"}


@dataclass
class Limited:
    """A front whose one volume server gives out 8 MiB at a time, and where that server counts."""

    cluster: Cluster
    front: Front
    metrics_port: int

    def waited(self) -> float:
        """Requests that the volume server let wait."""
        text = request("GET", f"http://127.0.0.1:{self.metrics_port}/metrics").body.decode()
        return parse(text).sum("SeaweedFS_volumeServer_handler_total", **WAITED)


    @contextmanager
    def slow_reader(self, seconds: float, is_alone: bool = False) -> Iterator[None]:
        """Somebody else has all that the volume servers give out, and does not read it. With `is_alone` only the first one is left."""
        path = "/limit/of-somebody-else"
        answer = request("PUT", f"{self.front.filer.url}{path}?maxMB=32", body=Payload(path, 32 * MIB).bytes())
        assert answer.status == 201
        fid = self.front.chunks(path)[0]["file_id"]
        servers = self.cluster.volumes[: 1 if is_alone else None]
        if is_alone:
            lookup = f"{self.cluster.master.url}/dir/lookup?volumeId={fid.split(',')[0]}"
            self.cluster.kill_volume(1)
            self.cluster.master.wait_ready(lambda: len(json.loads(request("GET", lookup).body)["locations"]) == 1)
        readers = [socket.socket() for _ in servers]
        for reader, server in zip(readers, servers, strict=True):
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect((server.host, server.port))
            reader.sendall(f"GET /{fid}?proxied=true HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode())
            assert reader.recv(12) == b"HTTP/1.1 200"
        leaves = threading.Timer(seconds, lambda: [reader.close() for reader in readers])
        leaves.start()
        yield
        leaves.join()


@contextmanager
def started(root: Path, options: dict[str, object]) -> Iterator[Limited]:
    """A cluster of that kind."""
    port = free_port()
    cluster = Cluster(root, volume_options={**options, "metricsPort": port})
    try:
        cluster.start()
        yield Limited(cluster, cluster.add_front("limited", maxMB=4), port)
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def limited(root: Path) -> Iterator[Limited]:
    """One whose requests wait for longer than anybody here."""
    with started(root / "limited", LIMIT) as made:
        yield made


@pytest.fixture(scope="module")
def impatient(root: Path) -> Iterator[Limited]:
    """One that says 429 after a second."""
    with started(root / "impatient", IMPATIENT) as made:
        yield made


def test_downloads_of_more_than_a_volume_server_gives_out_at_once_are_right(
    limited: Limited, start_tidegate: StartTidegate
) -> None:
    files = [(f"/limit/{number}", Payload(f"limit-{number}", SIZE).bytes()) for number in range(DOWNLOADS)]
    for path, content in files:
        assert request("PUT", limited.front.filer.url + path, body=content).status == 201
    before = limited.waited()
    gate = start_tidegate(limited.front)

    def is_right(file: tuple[str, bytes]) -> bool:
        answer = request("GET", gate.url + file[0])
        return answer.status == 200 and answer.body == file[1]

    # On a fast machine they would take turns. For less than a second: who says nothing for longer is taken for hung.
    with limited.slow_reader(0.7), ThreadPoolExecutor(DOWNLOADS) as pool:
        assert list(pool.map(is_right, files)) == [True] * DOWNLOADS
    assert limited.waited() > before, "the limit was never reached"
    assert gate.metrics().sum("tidegate_volume_server_ejections_total") == 0, "busy is not dead"


def test_a_volume_server_that_says_429_at_its_limit_is_asked_again(
    impatient: Limited, start_tidegate: StartTidegate
) -> None:
    content = Payload("429", 100_000).bytes()
    assert request("PUT", impatient.front.filer.url + "/limit/429", body=content).status == 201
    gate = start_tidegate(impatient.front)
    with impatient.slow_reader(3.5):
        answer = request("GET", gate.url + "/limit/429")
    assert (answer.status, answer.body == content) == (200, True)
    metrics = gate.metrics()
    assert metrics.sum("tidegate_fetch_retries_total", reason="busy") >= 1, "it never said 429"
    assert metrics.sum("tidegate_volume_server_ejections_total") == 0, "busy is not dead"


@pytest.mark.parametrize(("mode", "is_alone"), [("proxy", True), ("redirect", False)])
def test_replicas_that_are_all_at_their_limit_are_waited_for(
    root: Path, start_tidegate: StartTidegate, mode: str, is_alone: bool
) -> None:
    """At its limit a replica answers at once for another one, where it may: that it is to be asked, or that there is none. That
    was taken for not having the chunk."""
    options = {**LIMIT, "readMode": mode}
    cluster = Cluster(root / f"limited-{mode}", volumes=2, replication="010", volume_options=options)
    try:
        cluster.start()
        limited = Limited(cluster, cluster.add_front("limited", maxMB=4), 0)
        files = [(f"/limit/{number}", Payload(f"replicated-{number}", 2 * MIB).bytes()) for number in range(8)]
        for path, content in files:
            assert request("PUT", limited.front.filer.url + path, body=content).status == 201
        gate = start_tidegate(limited.front, {"cache": {"chunks": "off"}})
        with limited.slow_reader(3.0, is_alone), ThreadPoolExecutor(len(files)) as pool:
            answers = list(pool.map(lambda file: request("GET", gate.url + file[0]), files))
        assert [answer.status for answer in answers] == [200] * len(files)
        assert all(answer.body == content for answer, (_, content) in zip(answers, files, strict=True))
        assert gate.metrics().sum("tidegate_replica_flaws_total", flaw="missing") == 0
    finally:
        cluster.stop()


def test_who_waits_at_the_limit_for_longer_than_the_first_byte_may_take_is_asked_for_again(
    limited: Limited, start_tidegate: StartTidegate
) -> None:
    content = Payload("late", 100_000).bytes()
    assert request("PUT", limited.front.filer.url + "/limit/late", body=content).status == 201
    gate = start_tidegate(limited.front, {"prefetch": {"first_byte_timeout": "2s"}})
    with limited.slow_reader(3.0):
        answer = request("GET", gate.url + "/limit/late")
    assert (answer.status, answer.body == content) == (200, True)
    metrics = gate.metrics()
    assert metrics.sum("tidegate_fetch_retries_total", reason="timeout") == 1
    assert metrics.sum("tidegate_volume_server_ejections_total") == 0, "busy is not dead"
