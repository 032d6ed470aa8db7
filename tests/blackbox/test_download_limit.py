"""A volume server that is at its download limit lets requests wait: it is busy, not dead."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from catalogue import MIB
from conftest import StartTidegate
from harness import Cluster, Front, Payload, request

LIMIT = {"concurrentDownloadLimitMB": 8, "inflightDownloadDataTimeout": "60s"}
DOWNLOADS = 24
SIZE = 8 * MIB


@pytest.fixture(scope="module")
def limited(root: Path) -> Iterator[Front]:
    """The front of a cluster whose one volume server gives out 8 MiB at a time."""
    cluster = Cluster(root / "limited", volume_options=LIMIT)
    try:
        cluster.start()
        yield cluster.add_front("limited", maxMB=4)
    finally:
        cluster.stop()


def test_downloads_of_more_than_a_volume_server_gives_out_at_once_are_right(
    limited: Front, start_tidegate: StartTidegate
) -> None:
    files = [(f"/limit/{number}", Payload(f"limit-{number}", SIZE).bytes()) for number in range(DOWNLOADS)]
    for path, content in files:
        assert request("PUT", limited.filer.url + path, body=content).status == 201
    gate = start_tidegate(limited)

    def is_right(file: tuple[str, bytes]) -> bool:
        answer = request("GET", gate.url + file[0])
        return answer.status == 200 and answer.body == file[1]

    with ThreadPoolExecutor(DOWNLOADS) as pool:
        assert list(pool.map(is_right, files)) == [True] * DOWNLOADS
    assert gate.metrics().sum("tidegate_volume_server_ejections_total") == 0, "busy is not dead"
