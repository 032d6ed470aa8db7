"""`tidegate explain PATH`: what it says of sound and broken files, to people and machines, and what it never says."""

import base64
import json
from pathlib import Path

import pytest
from catalogue import PART_SIZES, Catalogue, Object, Shape
from harness import Encryption, Front, Kms, Tidegate, request
from harness.kms import SECRET_KEY
from harness.ports import free_port
from harness.tidegate import merged, run
from pairs import Breakable


def explained(root: Path, thing: Object, *more: str, change: dict[str, object] | None = None):
    """Runs it on an object; answers the finished process."""
    config = merged(thing.front.tidegate_config(), change or {})
    gate = Tidegate(root / "explain", config, name="explain")
    return run("explain", "--config", gate.config_file, thing.path(), *more)


@pytest.mark.parametrize("encryption", list(Encryption), ids=lambda e: e.title)
def test_a_sound_file_is_told_in_full(
    root: Path, front_1mb: Front, objects: Catalogue, kms: Kms, encryption: Encryption
) -> None:
    thing = objects.get(front_1mb, encryption, Shape.MULTIPART)
    done = explained(root, thing, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["size"], report["sse"], report["readable"]) == (sum(PART_SIZES), encryption.value, True)
    assert report["faults"] == []
    stored = front_1mb.chunks(thing.path())
    assert sorted(chunk["fid"] for chunk in report["chunks"]) == sorted(chunk["file_id"] for chunk in stored)
    for chunk in report["chunks"]:
        assert [replica["answers"] for replica in chunk["replicas"]] == [True]
        assert (f"sse-{encryption.value}" in chunk["layers"]) == (encryption is not Encryption.NONE)
        assert (chunk["key"] is None) == (encryption is Encryption.NONE)
    opens = {Encryption.SSE_KMS: True, Encryption.SSE_S3: True, Encryption.SSE_C: None}
    for key in report["keys"]:
        assert key["opens"] is opens[encryption]
        if encryption is Encryption.SSE_KMS:
            assert key["envelope"]["provider"] == "aws" and kms.key_id in key["key_id"]
    table = explained(root, thing).stdout
    title = "none" if encryption is Encryption.NONE else encryption.title
    assert f"encryption {title}\n" in table and report["chunks"][0]["fid"] in table


def test_what_does_not_open_and_does_not_answer_is_named(
    root: Path, front_1mb: Front, objects: Catalogue, kms: Kms
) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_KMS, Shape.MANY)
    kms.fail_next(9, 400, "DisabledException", "the key is disabled")
    try:
        done = explained(root, thing, "--json")
    finally:
        kms.behave()
    report = json.loads(done.stdout)
    assert (done.returncode, report["readable"], report["keys"][0]["opens"]) == (1, False, False)
    assert "DisabledException" in report["keys"][0]["why"]

    lost = objects.sized(front_1mb, Encryption.NONE, 1_500_000, name="lost-to-explain")
    stored = front_1mb.chunks(lost.path())
    server = json.loads(explained(root, lost, "--json").stdout)["chunks"][0]["replicas"][0]["server"]
    assert request("DELETE", f"http://{server}/{stored[0]['file_id']}").status == 202
    done = explained(root, lost)
    assert done.returncode == 1
    assert "FAILS" in done.stdout and "404" in done.stdout and "answers" in done.stdout


def test_no_such_file_is_one_line(root: Path, front_1mb: Front, objects: Catalogue) -> None:
    thing = objects.get(front_1mb, Encryption.NONE, Shape.BYTE)
    gone = Object(thing.front, "no such/ümlaut", thing.encryption, b"")
    done = explained(root, gone)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1 and "no such file" in done.stderr


def test_what_keeps_every_reader_away_is_a_fault(root: Path, front_1mb: Front, objects: Catalogue) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_S3, Shape.MANY)
    kept = explained(root, thing, change={"access": {"managed_keys": "none"}})
    assert kept.returncode == 1 and "fault      " in kept.stdout and 'access.managed_keys = "none"' in kept.stdout
    plain = objects.get(front_1mb, Encryption.NONE, Shape.MANY)
    assert explained(root, plain, change={"access": {"managed_keys": "none"}}).returncode == 0
    # Over gRPC alone nobody learns what the filer demands of readers, and tidegate serves none.
    elsewhere = {"filer": {"addresses": [f"127.0.0.1:{free_port()}.{front_1mb.filer.grpc_port}"]}}
    kept = explained(root, thing, "--json", change=elsewhere)
    assert kept.returncode == 1 and "over HTTP" in json.loads(kept.stdout)["faults"][0]


def test_a_filer_that_wants_tls_says_so(root: Path, front_secured: Front) -> None:
    gate = Tidegate(root / "explain-tls", front_secured.tidegate_config(), name="explain")
    done = run("explain", "--config", gate.config_file, "/any")
    assert (done.returncode, done.stdout) == (1, "")
    assert "https.client.enabled" in done.stderr and "filer.security_toml" in done.stderr


def test_servers_that_hang_do_not_have_a_large_file_take_hours(root: Path, lone: Breakable) -> None:
    front = lone.fronts[1]
    for _ in range(40):
        assert request("PUT", f"{front.filer.url}/in-many-pieces?op=append", body=b"a piece").status == 201
    lone.lines[0].delay = 3.0
    gate = Tidegate(root / "explain-hangs", merged(front.tidegate_config(), {"prefetch": {"first_byte_timeout": "1s"}}))
    done = run("explain", "--config", gate.config_file, "/in-many-pieces")
    assert done.returncode == 1
    assert done.stdout.count("FAILS (no bytes within the timeout)") == 32
    assert done.stdout.count("not asked (servers took more than 2 s for those before)") == 8


def test_no_secret_is_told(root: Path, front_1mb: Front, objects: Catalogue, kms: Kms) -> None:
    for encryption in Encryption:
        thing = objects.get(front_1mb, encryption, Shape.MANY)
        for more in ([], ["--json"]):
            said = explained(root, thing, *more).stdout
            stored = front_1mb.chunks(thing.path())
            for chunk in stored:
                metadata = json.loads(base64.b64decode(chunk.get("sse_metadata") or "") or "{}")
                for name in ("encryptedDataKey", "encryptedDEK", "iv", "keyMD5"):
                    assert not metadata.get(name) or metadata[name] not in said, name
            assert SECRET_KEY not in said and front_1mb.kek.tidegate["key"] not in said


def test_an_object_is_told_with_the_way_that_a_get_would_take(root: Path, front_1mb: Front, objects: Catalogue) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_S3, Shape.MULTIPART)
    bucket, key = thing.path().removeprefix("/buckets/").split("/", 1)
    front_1mb.s3.put(bucket, "small and plain", b"x")
    gateway = {"s3": {"gateway": [front_1mb.gateway.url]}}
    gate = Tidegate(root / "explain-s3", merged(front_1mb.tidegate_config("none"), gateway), name="explain")

    def way(name: str) -> str:
        done = run("explain", "--config", gate.config_file, f"s3://{name}", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)["s3"]

    assert "304" in way(f"{bucket}/{key}")
    assert way(f"{bucket}/small and plain").startswith("relayed")
    refused = run("explain", "--config", gate.config_file, f"s3://{bucket}/a//b")
    assert refused.returncode == 1
    assert "the S3 gateway answers" in refused.stderr

    gate = Tidegate(root / "explain-s3", front_1mb.tidegate_config("none"), name="without-s3")
    assert "s3.listen is not set" in way(f"{bucket}/{key}")
    away = merged(front_1mb.tidegate_config(), {"s3": {"gateway": [f"http://127.0.0.1:{free_port()}"]}})
    gate = Tidegate(root / "explain-s3", away, name="away")
    done = run("explain", "--config", gate.config_file, f"s3://{bucket}/{key}")
    assert done.returncode == 1 and "fault      no S3 gateway answers" in done.stdout
