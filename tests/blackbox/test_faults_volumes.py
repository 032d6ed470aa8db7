"""Volumes are merged while eight clients download what is on them: every chunk gets another file id, and the old one is
gone. All is in one volume then, so it comes after the test that moves a volume of the same cluster."""

import json
from collections import Counter
from collections.abc import Mapping

from catalogue import Catalogue, Object
from conftest import StartTidegate
from downloads import Downloads
from harness import request
from harness.weed import shell
from pairs import SMALL_MEMORY, Breakable
from waiting import until

TRICKLE = 128 << 10
"""Bytes per second of one client while volumes are merged."""
SUPERBLOCK = 8
"""Bytes of a volume in which nothing is."""


def test_a_chunk_that_gets_another_file_id_fails_nobody(
    spread: Breakable, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    things = spread.eight(objects)
    before = {fid: size for thing in things for fid, size in chunks(thing).items()}
    written = Counter[int]()
    for fid, size in before.items():
        written[volume_of(fid)] += size
    target, *sources = sorted(written)
    master = spread.cluster.master
    until(lambda: sizes_known(master.url, written), "the master knows what is in the volumes", timeout=30)
    gate = start_tidegate(spread.fronts[4], SMALL_MEMORY)
    downloads = Downloads(gate, things, TRICKLE)
    downloads.under_way(TRICKLE)
    merges = [f"fs.mergeVolumes -fromVolumeId={source} -toVolumeId={target} -dir=/ -apply" for source in sources]
    filer = spread.fronts[4].filer.full_address
    shell(master.address, *merges, "volume.vacuum -garbageThreshold=0.0001", filer=filer)
    moved = before.keys() - {fid for thing in things for fid in chunks(thing)}
    assert len(moved) > len(before) // 2, "most chunks have another file id"
    for fid in moved:
        assert is_gone(master.url, fid), f"{fid} is still there"
    downloads.in_the_middle()
    downloads.pace.rate = None
    downloads.all_right()
    assert gate.metrics().sum("tidegate_fetch_moved_chunks_total") > 0


def chunks(thing: Object) -> dict[str, int]:
    """The file ids of an object's chunks, with their bytes."""
    return {chunk["file_id"]: chunk["size"] for chunk in thing.front.chunks(thing.path())}


def volume_of(fid: str) -> int:
    return int(fid.partition(",")[0])


def sizes_known(master: str, written: Mapping[int, int]) -> bool:
    """Whether the master has heard of what was written to each of the volumes: it refuses to merge one that it takes for
    empty. The last chunk of a file may be of one byte, and alone in its volume."""
    status = json.loads(request("GET", f"{master}/vol/status").body)["Volumes"]["DataCenters"]
    found = [volume for racks in status.values() for nodes in racks.values() for some in nodes.values() for volume in some]
    known = {volume["Id"]: volume["Size"] - SUPERBLOCK for volume in found}
    return all(known.get(volume, 0) > size for volume, size in written.items())


def is_gone(master: str, fid: str) -> bool:
    """Whether no volume server has it."""
    found = json.loads(request("GET", f"{master}/dir/lookup?volumeId={volume_of(fid)}").body)
    return all(request("GET", f"http://{at['url']}/{fid}").status == 404 for at in found.get("locations", []))
