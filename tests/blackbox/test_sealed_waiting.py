"""Sealed chunks need their memory at once: while one waits for it, nobody starves, and it does not stand in its own way."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from catalogue import BUCKET, MIB
from conftest import StartTidegate
from expect import same_bytes
from harness import Cluster, Front, Payload, Tidegate, request
from waiting import until

MEMORY = "8MiB"
"""Half of it is shared. A sealed chunk of 3 MiB takes nearly all of that."""
CLIENTS = 8
READS = 12
"""Of each client."""


@dataclass
class Files:
    """What is read, with the paths at the filer."""

    front: Front
    sealed: tuple[str, bytes]
    """Five chunks."""
    stalled: str
    """A large plain one."""
    plain: list[tuple[str, bytes]]
    """One plain chunk each, which are held until their checksum is known."""


@pytest.fixture(scope="module")
def files(cluster: Cluster) -> Files:
    """A filer that seals its chunks of 3 MiB, and a gateway on it that does not."""
    front = cluster.add_front("sealing-3mb", maxMB=3, encryptVolumeData="true")
    front.s3.create_bucket(BUCKET)

    def plain(name: str, size: int) -> tuple[str, bytes]:
        content = Payload(name, size).bytes()
        front.s3.put(BUCKET, name, content)
        path = f"/buckets/{BUCKET}/{name}"
        assert not any(is_sealed(front, path)), "the gateway has sealed it"
        return path, content

    path, content = "/sealed/five", Payload("five", 14 * MIB).bytes()
    assert request("PUT", front.filer.url + path, body=content).status == 201
    assert is_sealed(front, path) == [True] * 5
    stalled, _ = plain("stalled", 32 * MIB)
    return Files(front, (path, content), stalled, [plain(f"plain-{at}", MIB) for at in range(CLIENTS)])


def is_sealed(front: Front, path: str) -> list[bool]:
    """Of each chunk."""
    entry = json.loads(request("GET", f"{front.filer.url}{path}?metadata=true").body)
    return [bool(chunk.get("cipher_key")) for chunk in entry["chunks"]]


@contextmanager
def stalled_client(gate: Tidegate, path: str) -> Iterator[None]:
    """One that asks and reads nothing, and so holds memory."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", gate.port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        until(lambda: gate.metrics().sum("tidegate_prefetch_buffer_bytes") > 1.5 * MIB, "it holds memory")
        yield


def waits(gate: Tidegate) -> float:
    """How often memory was waited for at once."""
    return gate.metrics().sum("tidegate_prefetch_memory_waits_total", **{"for": "whole"})


def test_a_sealed_chunk_that_waits_for_memory_does_not_starve_the_others(
    files: Files, start_tidegate: StartTidegate
) -> None:
    gate = start_tidegate(files.front, {"prefetch": {"memory": MEMORY}, "cache": {"chunks": "off"}})
    took: list[float] = []

    def client(at: int) -> None:
        path, content = files.plain[at]
        for _ in range(READS):
            begin = time.monotonic()
            same_bytes(request("GET", gate.url + path, timeout=60).body, content)
            took.append(time.monotonic() - begin)

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        with stalled_client(gate, files.stalled):
            sealed = pool.submit(request, "GET", gate.url + files.sealed[0], timeout=120)
            until(lambda: waits(gate) == 1, "the sealed chunk waits")
            list(pool.map(client, range(CLIENTS)))
            assert not sealed.done(), "all the others went before it"
        same_bytes(sealed.result().body, files.sealed[1])
    print(f"latest of {len(took)} reads of 1 MiB: {max(took):.2f} s")
    assert max(took) < 20, "nobody waited until the client that stalls was cut"


@pytest.mark.parametrize("window", [1, 8])
def test_a_download_with_a_fixed_window_does_not_take_what_its_own_sealed_chunk_waits_for(
    files: Files, start_tidegate: StartTidegate, window: int
) -> None:
    prefetch = {"memory": MEMORY, "window": window}
    gate = start_tidegate(files.front, {"prefetch": prefetch, "cache": {"chunks": "off"}})
    path, content = files.sealed
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(request, "GET", gate.url + path, timeout=30) for _ in range(4)]
        for answer in answers:
            same_bytes(answer.result().body, content)
    assert waits(gate) > 0, "memory was short"
