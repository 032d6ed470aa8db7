"""Chunks that the filer seals as a whole (`-encryptVolumeData`, AES-256-GCM), compressed or not, and under SSE."""


import pytest
from catalogue import Catalogue, Object, Shape
from expect import read, same_bytes
from harness import Encryption, Front, Payload, Tidegate, request

MIB = 1 << 20
RANGES = [(0, 0), (5, 99), (MIB - 3, MIB + 4), (2 * MIB + 1, 3 * MIB - 1)]
CONTENTS = {
    "noise.bin": Payload("sealed", 3 * MIB + 12_345).bytes(),
    "words.txt": (b"the same words again and again, which compress well. " * 70_000)[: 3 * MIB + 12_345],
    "one.bin": b"x",
}


@pytest.fixture(scope="module")
def sealed_gate(sealing: Front, gates) -> Tidegate:
    """A tidegate on it."""
    return gates.of(sealing)


@pytest.mark.parametrize("name", CONTENTS)
def test_files_of_the_filer(sealing: Front, sealed_gate: Tidegate, name: str) -> None:
    path, content = f"/sealed/{name}", CONTENTS[name]
    assert request("PUT", sealing.filer.url + path, {"Content-Type": "text/plain"}, content).status == 201
    chunks = sealing.chunks(path)
    assert chunks and all(chunk.get("cipher_key") for chunk in chunks), "nothing was sealed"
    if name == "words.txt":
        assert all(chunk.get("is_compressed") for chunk in chunks), "nothing was compressed"
    whole = request("GET", sealed_gate.url + path)
    assert whole.status == 200
    same_bytes(whole.body, content)
    for first, last in RANGES:
        if last < len(content):
            part = request("GET", sealed_gate.url + path, {"Range": f"bytes={first}-{last}"})
            assert part.status == 206
            same_bytes(part.body, content[first : last + 1])


@pytest.mark.parametrize("encryption", list(Encryption), ids=lambda e: e.title)
@pytest.mark.parametrize("shape", [Shape.MANY, Shape.MULTIPART], ids=lambda s: s.value)
def test_objects_with_all_layers_at_once(
    sealing: Front, sealed_gate: Tidegate, objects: Catalogue, encryption: Encryption, shape: Shape
) -> None:
    thing: Object = objects.get(sealing, encryption, shape)
    chunks = sealing.chunks(thing.path())
    assert all(chunk.get("cipher_key") for chunk in chunks), "nothing was sealed"
    whole = read(sealed_gate, thing)
    assert whole.status == 200, whole.body[:300]
    same_bytes(whole.body, thing.content)
    for first, last in RANGES:
        part = read(sealed_gate, thing, Range=f"bytes={first}-{last}")
        assert part.status == 206
        same_bytes(part.body, thing.content[first : last + 1])
