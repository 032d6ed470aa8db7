"""Erasure-coded volumes: a volume server reads all of a needle from its shards for whatever part of it is asked for."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import StartTidegate
from expect import same_bytes
from harness import Cluster, Front, Payload, Tidegate, open_stream, request
from harness.metrics import parse
from harness.ports import free_port
from harness.weed import shell

MIB = 1 << 20
CHUNK = 32 * MIB
SIZE = 2 * CHUNK
PATH = "/coded/large"
CONTENT = Payload("erasure-coded", SIZE).bytes()


@dataclass
class Coded:
    """A front whose file of two chunks of 32 MiB is erasure-coded, and where its volume server counts."""

    front: Front
    metrics_port: int

    def reads(self) -> float:
        """Requests for needles that the volume server answered."""
        text = request("GET", f"http://127.0.0.1:{self.metrics_port}/metrics").body.decode()
        return parse(text).sum("SeaweedFS_volumeServer_request_total", type="GET", code="200") + parse(text).sum(
            "SeaweedFS_volumeServer_request_total", type="GET", code="206"
        )


@pytest.fixture(scope="module")
def coded(root: Path) -> Iterator[Coded]:
    """A cluster of that kind."""
    port = free_port()
    cluster = Cluster(root / "coded", volume_options={"metricsPort": port})
    try:
        cluster.start()
        front = cluster.add_front("coded", maxMB=32)
        assert request("PUT", f"{front.filer.url}{PATH}?collection=coded", body=CONTENT).status == 201
        chunks = front.chunks(PATH)
        volumes = {chunk["file_id"].split(",")[0] for chunk in chunks}
        commands = [f"ec.encode -collection=coded -volumeId={volume} -force" for volume in volumes]
        shell(cluster.master.full_address, *commands, filer=front.filer.full_address, timeout=90)
        names = {path.name for path in (cluster.root / "volume0").iterdir() if path.name.startswith("coded_")}
        for volume in volumes:
            assert f"coded_{volume}.ec00" in names and f"coded_{volume}.dat" not in names, names
        yield Coded(front, port)
    finally:
        cluster.stop()


def fetches(gate: Tidegate) -> float:
    """Fetches that have ended."""
    return gate.metrics().sum("tidegate_fetches_total")


@pytest.mark.parametrize("memory", ["256MiB", "16MiB"])
def test_an_erasure_coded_chunk_that_is_read_whole_is_asked_for_once(
    coded: Coded, start_tidegate: StartTidegate, memory: str
) -> None:
    gate = start_tidegate(coded.front, {"prefetch": {"memory": memory}})
    before = coded.reads()
    same_bytes(request("GET", gate.url + PATH).body, CONTENT)
    assert (coded.reads() - before, fetches(gate)) == (2, 2)


def test_what_is_wanted_of_an_erasure_coded_chunk_is_asked_for_once(coded: Coded, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(coded.front)
    before, first = coded.reads(), 7 * MIB + 5
    answer = request("GET", gate.url + PATH, {"Range": f"bytes={first}-"})
    assert answer.status == 206
    same_bytes(answer.body, CONTENT[first:])
    assert coded.reads() - before == 2


def test_a_client_that_pauses_gets_an_erasure_coded_chunk_to_its_end(coded: Coded, start_tidegate: StartTidegate) -> None:
    """The volume server's answer stands for a second at most; the rest is asked for when it is wanted."""
    gate = start_tidegate(coded.front, {"prefetch": {"memory": "8MiB"}})
    with open_stream("GET", gate.url + PATH) as response:
        got = response.read(MIB)
        time.sleep(2.0)
        assert gate.metrics().sum("tidegate_fetches_in_flight") == 0
        same_bytes(got + response.read(), CONTENT)
