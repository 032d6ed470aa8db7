"""A volume server that was left by a volume, and names another one where it is (`-readMode=redirect`)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import StartTidegate
from harness import Cluster, Front, Payload, request
from harness.weed import shell
from test_faults_move import gone_from, holder, volume_of_path

FILES = 60
SIZE = 200_000


@pytest.fixture(scope="module")
def redirecting(root: Path) -> Iterator[Front]:
    """Two such servers."""
    cluster = Cluster(root / "redirecting", volumes=2, volume_options={"readMode": "redirect"})
    try:
        cluster.start()
        yield cluster.add_front("redirecting", maxMB=4)
    finally:
        cluster.stop()


def test_a_server_that_says_where_a_volume_is_now_is_not_taken_for_broken(
    redirecting: Front, start_tidegate: StartTidegate
) -> None:
    files = {f"/moved/{number}": Payload(f"moved-{number}", SIZE).bytes() for number in range(FILES)}
    for path, content in files.items():
        assert request("PUT", redirecting.filer.url + path, body=content).status == 201
    gate = start_tidegate(redirecting, {"cache": {"chunks": "off"}})

    def all_are_right() -> None:
        for path, content in files.items():
            answer = request("GET", gate.url + path)
            assert (answer.status, answer.body) == (200, content), path

    all_are_right()
    master, volume = redirecting.cluster.master, volume_of_path(redirecting, next(iter(files)))
    source = holder(master.url, volume)
    target = next(server.address for server in redirecting.cluster.volumes if server.address != source)
    shell(master.address, f"volume.move -source={source} -target={target} -volumeId={volume}")
    assert gone_from(source, volume)
    all_are_right()
    retries = {reason: gate.metrics().sum("tidegate_fetch_retries_total", reason=reason) for reason in ("status", "not_found")}
    assert retries["status"] == 0 < retries["not_found"], "it was asked, and said that it is elsewhere"
    assert gate.metrics().sum("tidegate_volume_server_ejections_total") == 0
