"""Chunks that are there and cannot be read: sealed under another key, broken, or compressed in a way that nobody knows. What
`tidegate explain` says of them is what a read says."""

import json
import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from expect import json_error, same_bytes
from harness import Cluster, Front, Kek, Payload, Tidegate, request
from harness.entry_tool import change_entry
from harness.tidegate import run

MIB = 1 << 20
KEY = "k" * 32
ZSTD = b"\x28\xb5\x2f\xfd"


@pytest.fixture(scope="module")
def sealing(cluster: Cluster) -> Front:
    """A filer that seals what it stores in chunks of 1 MiB."""
    return cluster.add_front("seals", kek=Kek.from_key("of the front that seals"), maxMB=1, encryptVolumeData="true")


@pytest.fixture(scope="module")
def gate(sealing: Front, gates) -> Tidegate:
    """A tidegate on it."""
    return gates.of(sealing)


def written(front: Front, name: str, content: bytes, mime: str = "application/octet-stream") -> str:
    """Writes a file at the filer; answers its path."""
    path = f"/unreadable/{name}"
    assert request("PUT", front.filer.url + path, {"Content-Type": mime}, content).status == 201
    return path


def change(front: Front, path: str, **fields) -> None:
    """Changes the file's entry."""
    change_entry(f"{front.filer.host}:{front.filer.grpc_port}", path, **fields)


def explained(gate: Tidegate, path: str) -> tuple[int, dict]:
    """The exit code of `explain`, and its report."""
    done = run("explain", "--config", gate.config_file, path, "--json")
    return done.returncode, json.loads(done.stdout)


def unreadable(gate: Tidegate, path: str, why: str) -> None:
    """Neither whole nor in ranges, and not according to `explain`, for that reason."""
    code, report = explained(gate, path)
    assert (code, report["readable"]) == (1, False)
    first = min(report["chunks"], key=lambda chunk: chunk["offset"])
    assert [replica["answers"] for replica in first["replicas"]] == [True]
    assert first["opens"] is False and why in first["why"], first
    table = run("explain", "--config", gate.config_file, path)
    assert (table.returncode, "DOES NOT OPEN" in table.stdout) == (1, True)
    for ranges in ({}, {"Range": "bytes=5-9"}, {"Range": "bytes=1-2,10-12"}):
        answer = request("GET", gate.url + path, ranges)
        assert (answer.status, json.loads(answer.body)["blame"]) == (502, "volume"), ranges
        json_error(answer)


def test_a_sealed_chunk_under_another_key(sealing: Front, gate: Tidegate) -> None:
    path = written(sealing, "other-key.bin", Payload("other-key", 1000).bytes())
    code, report = explained(gate, path)
    assert (code, report["readable"], report["chunks"][0]["opens"]) == (0, True, True)
    change(sealing, path, chunk={"cipher_key": KEY})
    unreadable(gate, path, "")


def test_a_broken_sealed_chunk_spoils_what_is_in_it(sealing: Front, gate: Tidegate) -> None:
    content = Payload("broken-seal", 2 * MIB + 1000).bytes()
    path = written(sealing, "broken-seal.bin", content)
    chunks = sealing.chunks(path)
    fid = next(chunk["file_id"] for chunk in chunks if not chunk.get("offset"))
    places = json.loads(request("GET", f"{sealing.master_url}/dir/lookup?volumeId={fid.partition(',')[0]}").body)
    needle = f"http://{places['locations'][0]['url']}/{fid}"
    stored = bytearray(request("GET", needle).body)
    stored[MIB // 2] ^= 1
    octets = {"Content-Type": "application/octet-stream"}
    assert request("PUT", needle, octets, bytes(stored)).status == 201
    unreadable(gate, path, "")
    _, report = explained(gate, path)
    by_offset = sorted(report["chunks"], key=lambda chunk: chunk["offset"])
    assert [chunk["opens"] for chunk in by_offset] == [False, True, True]
    rest = request("GET", gate.url + path, {"Range": f"bytes={MIB}-"})
    assert rest.status == 206
    same_bytes(rest.body, content[MIB:])


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "bare"])
def test_a_chunk_under_zstd(front_1mb: Front, gates, sealed: bool) -> None:
    """Written by hand: no filer of today does. Its 5,000 bytes are stored as 1,000."""
    stored = ZSTD + os.urandom(996)
    fields: dict[str, object] = {"is_compressed": 1}
    if sealed:
        nonce = os.urandom(12)
        stored = nonce + AESGCM(KEY.encode()).encrypt(nonce, stored, None)
        fields["cipher_key"] = KEY
    path = written(front_1mb, f"zstd-{sealed}.bin", stored)
    change(front_1mb, path, chunk=fields, sizes=[5000], file_size=5000)
    # What a server does not give as gzip is taken for the text, of which there is too little.
    unreadable(gates.of(front_1mb), path, "zstd" if sealed else "1000 bytes instead of 5000")


@pytest.mark.parametrize("mime", ["text/plain", "application/octet-stream"])
def test_what_is_readable_is_said_to_be(sealing: Front, front_1mb: Front, gates, mime: str) -> None:
    content = b"the same words again and again, which compress well. " * 30_000
    for front in (sealing, front_1mb):
        path = written(front, f"sound-{mime.partition('/')[0]}", content, mime)
        code, report = explained(gates.of(front), path)
        assert (code, report["readable"]) == (0, True)
        for chunk in report["chunks"]:
            assert chunk["visible"] and chunk["why"] is None
            assert chunk["opens"] is (True if {"gcm", "compressed"} & {*chunk["layers"]} else None)


@pytest.mark.parametrize("mime", ["text/plain", "application/octet-stream"])
def test_a_file_that_was_cut_short_in_place_is_readable(front_1mb: Front, gates, mime: str) -> None:
    content = b"the same words again and again, which compress well. " * 100
    path = written(front_1mb, f"cut-short-{mime.partition('/')[0]}", content, mime)
    change(front_1mb, path, sizes=[600], file_size=600)
    code, report = explained(gates.of(front_1mb), path)
    answer = request("GET", gates.of(front_1mb).url + path)
    assert answer.status == 200
    same_bytes(answer.body, content[:600])
    assert (code, report["readable"]) == (0, True), report
