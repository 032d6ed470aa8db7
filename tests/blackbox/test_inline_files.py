"""Files so small that the filer keeps their bytes inside the entry (`-saveToFilerLimit`).

Only the filer writes such files: the S3 gateway puts even an object of one byte on a volume server.
"""

import json

import pytest
from expect import same_bytes, same_headers_as_filer
from harness import Cluster, Front, Payload, request

LIMIT = 4096


@pytest.fixture(scope="module")
def front_inline(cluster: Cluster) -> Front:
    """A filer that keeps files of less than LIMIT bytes inside their entries."""
    return cluster.add_front("inline", maxMB=1, saveToFilerLimit=LIMIT)


@pytest.mark.parametrize("size", [1, 17, LIMIT - 1])
def test_a_file_inside_its_entry(front_inline: Front, gates, size: int) -> None:
    gate, path, content = gates.of(front_inline), f"/inline/{size}.bin", Payload("inline", size).bytes()
    assert request("PUT", gate.url + path, body=content).status == 201
    entry = json.loads(request("GET", f"{front_inline.filer.url}{path}?metadata=true").body)
    assert entry["Content"] and not entry.get("chunks"), "the filer did not keep it inside"

    fetched = gate.metrics().sum("tidegate_fetch_bytes_total")
    answer, wanted = request("GET", gate.url + path), request("GET", front_inline.filer.url + path)
    assert answer.status == 200
    same_bytes(answer.body, content)
    same_headers_as_filer(answer, wanted)
    assert request("HEAD", gate.url + path).header("Content-Length") == str(size)
    for header, part in {
        "bytes=0-0": content[:1],
        f"bytes={size // 2}-": content[size // 2 :],
        "bytes=-1": content[-1:],
    }.items():
        ranged = request("GET", gate.url + path, {"Range": header})
        assert (ranged.status, ranged.body) == (206, part), header
    assert gate.metrics().sum("tidegate_fetch_bytes_total") == fetched, "a volume server was asked"
