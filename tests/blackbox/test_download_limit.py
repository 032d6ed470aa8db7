"""A volume server that is at its download limit lets requests wait: it is busy, not dead."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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


@dataclass
class Limited:
    """A front whose one volume server gives out 8 MiB at a time, and where that server counts."""

    front: Front
    metrics_port: int

    def waited(self) -> float:
        """Requests that the volume server let wait."""
        text = request("GET", f"http://127.0.0.1:{self.metrics_port}/metrics").body.decode()
        return parse(text).sum("SeaweedFS_volumeServer_handler_total", **WAITED)


@pytest.fixture(scope="module")
def limited(root: Path) -> Iterator[Limited]:
    """A cluster of that kind."""
    port = free_port()
    cluster = Cluster(root / "limited", volume_options={**LIMIT, "metricsPort": port})
    try:
        cluster.start()
        yield Limited(cluster.add_front("limited", maxMB=4), port)
    finally:
        cluster.stop()


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

    with ThreadPoolExecutor(DOWNLOADS) as pool:
        assert list(pool.map(is_right, files)) == [True] * DOWNLOADS
    assert limited.waited() > before, "the limit was never reached"
    assert gate.metrics().sum("tidegate_volume_server_ejections_total") == 0, "busy is not dead"
