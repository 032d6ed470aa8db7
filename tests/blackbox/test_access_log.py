"""The access log: a line for each request that says what became of it, and no secret."""

import json
import signal
from pathlib import Path

from catalogue import Catalogue, Shape
from conftest import StartTidegate
from expect import read
from harness import Encryption, Front, Tidegate, open_stream, request
from waiting import until

MIB = 1 << 20


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def of(gate_lines: list[dict[str, object]], *members: str) -> list[tuple[object, ...]]:
    return [tuple(line.get(member) for member in members) for line in gate_lines]


def started(front: Front, start: StartTidegate, file: Path, **log: object) -> Tidegate:
    config = {"log": {"format": "auto", "access": "all", "access_file": str(file), **log}}
    return start(front, {**config, "s3": {"gateway": [front.gateway.url]}, "prefetch": {"memory": "8MiB"}})


def test_each_request_has_a_line_of_what_became_of_it(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, tmp_path: Path
) -> None:
    file = tmp_path / "access.log"
    gate = started(front_1mb, start_tidegate, file)
    sealed = objects.get(front_1mb, Encryption.SSE_C, Shape.MANY)
    large = objects.sized(front_1mb, Encryption.NONE, 64 * MIB)
    assert read(gate, sealed).status == 200
    assert request("GET", gate.url + sealed.path(), {**sealed.key_headers, "Range": "bytes=5-14"}).status == 206
    assert request("GET", gate.url + sealed.path()).status == 400, "without the key"
    assert request("PUT", f"{gate.url}/logged/new?jwt=do-not-show", body=b"new").status == 201
    assert request("GET", f"{gate.s3_url}/things/{large.key}", {"Range": f"bytes=0-{MIB - 1}"}).status == 206
    with open_stream("GET", gate.url + large.path()) as response:
        assert len(response.read(MIB)) == MIB
    until(lambda: len(lines(file)) == 6, "each has its line")
    seen = of(lines(file), "method", "path", "range", "sse", "status", "by", "end", "cut_by")
    assert seen[:4] == [
        ("GET", sealed.path(), None, "c", 200, "served", "whole", None),
        ("GET", sealed.path(), "bytes=5-14", "c", 206, "served", "whole", None),
        ("GET", sealed.path(), None, "c", 400, "served", "whole", None),
        ("PUT", "/logged/new", None, "none", 201, "relayed", "whole", None),
    ]
    assert seen[4][:2] == ("GET", f"/things/{large.key}") and seen[4][4:] == (206, "served", "whole", None)
    assert seen[5] == ("GET", large.path(), None, "none", 200, "served", "cut", "client")
    sizes = [line["bytes"] for line in lines(file)]
    assert sizes[:2] == [len(sealed.content), 10] and sizes[4] == MIB and MIB <= sizes[5] < 64 * MIB
    fetches = [line.get("fetches") for line in lines(file)]
    assert (fetches[0], fetches[2], fetches[3]) == (4, 0, None), "as many as there are chunks; refused; relayed"
    assert {line.get("retries") for line in lines(file)} == {0, None}
    assert {line["peer"] for line in lines(file)} == {"127.0.0.1"}
    text = file.read_text()
    assert "do-not-show" not in text
    assert not [value for value in sealed.key_headers.values() if len(value) > 10 and value in text]


def test_the_audit_has_encrypted_objects_only_and_its_file_is_opened_anew(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate, tmp_path: Path
) -> None:
    file = tmp_path / "audit.log"
    gate = started(front_1mb, start_tidegate, file, access="encrypted")
    plain, sealed = (objects.get(front_1mb, kind, Shape.MANY) for kind in (Encryption.NONE, Encryption.SSE_KMS))
    answers = [read(gate, wanted) for wanted in (plain, sealed)]
    assert [answer.status for answer in answers] == [200, 200]
    told = [(sealed.path(), "kms", answers[1].header("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"))]
    until(lambda: of(lines(file), "path", "sse", "key_id") == told, "it has the encrypted one")
    old = file.rename(tmp_path / "audit.log.1")
    gate.signal(signal.SIGUSR1)
    until(file.exists, "there is a new file")
    assert read(gate, sealed).status == 200
    gate.stop()
    assert (len(lines(old)), len(lines(file))) == (1, 1), "the last line is there at the end"
