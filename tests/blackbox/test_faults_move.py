"""A volume moves to another server while eight clients download what is on it."""

import json

from catalogue import Catalogue, Object
from conftest import StartTidegate
from downloads import Downloads
from expect import read, same_bytes
from harness import Front, Tidegate, request
from harness.weed import shell
from pairs import SMALL_MEMORY, Breakable

TRICKLE = 128 << 10
"""Bytes per second of one client while the volume moves."""


def test_a_volume_that_moves_fails_nobody(
    spread: Breakable, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    things = spread.eight(objects)
    gate = start_tidegate(spread.fronts[4], SMALL_MEMORY)
    know_all_places(gate, things)
    downloads = Downloads(gate, things, TRICKLE)
    downloads.under_way(TRICKLE)
    volume = last_volume(things[0])
    cluster = spread.cluster
    source = holder(cluster.master.url, volume)
    target = next(server for server in cluster.volumes if server.address != source)
    shell(cluster.master.address, f"volume.move -source={source} -target={target.address} -volumeId={volume}")
    assert holder(cluster.master.url, volume) == target.address
    assert gone_from(source, volume)
    downloads.in_the_middle()
    downloads.pace.rate = None
    downloads.all_right()
    assert gate.metrics().sum("tidegate_fetch_retries_total") > 0, "the old place was asked"


def know_all_places(gate: Tidegate, things: list[Object]) -> None:
    """Has tidegate look up where the last chunk of each object is, and remember it."""
    for thing in things:
        same_bytes(read(gate, thing, Range="bytes=-1").body, thing.content[-1:])


def last_volume(thing: Object) -> int:
    """The volume of an object's last chunk."""
    return volume_of_path(thing.front, thing.path())


def volume_of_path(front: Front, path: str) -> int:
    """The volume of a file's last chunk."""
    last = max(front.chunks(path), key=lambda chunk: chunk.get("offset", 0))
    return int(last["file_id"].partition(",")[0])


def holder(master: str, volume: int) -> str:
    """The one server that has a volume, as the master knows it."""
    found = json.loads(request("GET", f"{master}/dir/lookup?volumeId={volume}").body)
    (location,) = found["locations"]
    return location["url"]


def gone_from(server: str, volume: int) -> bool:
    """Whether a server has the volume no more."""
    held = json.loads(request("GET", f"http://{server}/status").body)["Volumes"] or []
    return volume not in [one["Id"] for one in held]
