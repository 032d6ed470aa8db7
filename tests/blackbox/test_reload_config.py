"""The configuration changes while tidegate runs: what changed holds, and what is wrong changes nothing."""

import os
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from catalogue import Catalogue, put_large_and_small
from conftest import StartTidegate
from cryptography import x509
from expect import read, same_bytes
from harness import Encryption, Front, Payload, Tidegate, request, toml
from harness.authority import Authority
from harness.tidegate import merged, run
from harness.wire import open_stream
from test_reload import shown
from waiting import reload, until

MIB = 1 << 20
SIZE = 40 * MIB


@pytest.fixture(scope="module")
def stored(front_1mb: Front) -> Payload:
    """What is at /reloaded/large; at /reloaded/small there is a little."""
    return put_large_and_small(front_1mb, "reloaded", SIZE)


def write(gate: Tidegate, change: dict[str, object]) -> None:
    """The file with other values, put in its place as editors do."""
    gate.config = merged(gate.config, change)
    beside = gate.config_file.with_suffix(".new")
    beside.write_text(toml.dumps(gate.config))
    beside.rename(gate.config_file)


def changed(gate: Tidegate, change: dict[str, object]) -> str:
    """The same, and what was logged while it was put in force."""
    write(gate, change)
    log = reload(gate)
    assert "ERROR" not in log, log
    return log


def reloads(gate: Tidegate) -> tuple[float, float, float]:
    """Readings that are in force, those that were refused, and whether the last one is in force."""
    metrics = gate.metrics()
    total = [metrics.sum("tidegate_config_reloads_total", outcome=outcome) for outcome in ("applied", "refused")]
    return *total, metrics.sum("tidegate_config_last_reload_successful")


def status(gate: Tidegate, path: str = "/reloaded/small") -> int:
    return request("GET", gate.url + path).status


def threads_named(gate: Tidegate, name: str) -> int:
    """How many threads of that name the process has."""
    names = []
    for task in Path(f"/proc/{gate.pid}/task").iterdir():
        try:
            names.append((task / "comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError):
            pass  # It ended in between.
    return names.count(name)


def test_limits_hold_from_then_on(front_1mb: Front, start_tidegate: StartTidegate, stored: Payload) -> None:
    gate = start_tidegate(front_1mb)
    assert {status(gate) for _ in range(5)} == {200}
    before = gate.metrics().sum("tidegate_config_last_reload_timestamp_seconds")
    changed(gate, {"limits": {"requests_per_second_per_peer": 1}})
    assert [status(gate) for _ in range(2)] == [200, 429]
    assert gate.metrics().sum("tidegate_config_last_reload_timestamp_seconds") > before
    changed(gate, {"limits": {"requests_per_second_per_peer": "off", "requests": 1, "requests_per_peer": 1}})
    with open_stream("GET", f"{gate.url}/reloaded/large"):
        assert status(gate) == 503
        changed(gate, {"limits": {"requests": 9, "requests_per_peer": 9}})
        assert status(gate) == 200
        changed(gate, {"server": {"max_connections": 1}})
        assert status(gate) == 503
    until(lambda: status(gate) == 200, "there is one place, and it is free")
    assert reloads(gate) == (4, 0, 1)


def test_a_rate_holds_for_downloads_that_are_on_their_way(
    front_1mb: Front, start_tidegate: StartTidegate, stored: Payload
) -> None:
    gate = start_tidegate(front_1mb, {"limits": {"bytes_per_second_per_peer": "256KiB"}})
    begun = time.monotonic()
    with open_stream("GET", f"{gate.url}/reloaded/large", timeout=60) as answer:
        got = answer.read(MIB // 4)
        changed(gate, {"limits": {"bytes_per_second_per_peer": "off"}})
        got += answer.read()
    same_bytes(got, stored.bytes())
    assert time.monotonic() - begun < 60, "at 256 KiB a second it takes 160"


def test_a_wrong_file_changes_nothing_and_is_told_of(front_1mb: Front, start_tidegate: StartTidegate, stored: Payload) -> None:
    gate = start_tidegate(front_1mb, {"limits": {"requests_per_second_per_peer": 1}})
    good = gate.config_file.read_text()
    for wrong, said in (
        ("[limits", "not valid TOML"),
        (good + "\n[prefetch]\nmemory = \"1KiB\"\n", "prefetch.memory: expected a size"),
        (good + "\n[prefech]\n", "unknown section; did you mean prefetch?"),
    ):
        gate.config_file.write_text(wrong)
        refused = reloads(gate)[1]
        log = reload(gate)
        assert said in log and "not reloaded: all stays as it was until this is mended" in log
        assert str(gate.config_file) in log
        assert reloads(gate) == (0, refused + 1, 0)
        time.sleep(1)
        assert [status(gate) for _ in range(2)] == [200, 429], "the old limit holds"
    # What is mended is noticed by itself.
    gate.config_file.write_text(good.replace("requests_per_second_per_peer = 1", "requests_per_second_per_peer = 1000"))
    until(lambda: reloads(gate)[0] == 1, "the file has changed", timeout=20)
    assert reloads(gate)[2] == 1 and {status(gate) for _ in range(5)} == {200}


def test_what_needs_a_restart_is_named_and_the_rest_holds(front_1mb: Front, start_tidegate: StartTidegate, stored: Payload) -> None:
    gate = start_tidegate(front_1mb)
    log = changed(
        gate,
        {"server": {"listen": "127.0.0.1:1"}, "limits": {"requests_per_second_per_peer": 1}},
    )
    assert log.count("until the next start") == 1 and 'keys="server.listen"' in log
    assert [status(gate) for _ in range(2)] == [200, 429]
    assert "until the next start" in reload(gate), "as long as it waits"
    checked = run("check", "--config", gate.config_file).stdout.splitlines()
    marked = {line.split(" ", 1)[0] for line in checked if "changed by a restart only" in line}
    assert marked == {"listen", "admin", "sample"}
    changed(gate, {"server": {"listen": gate.listen}})
    assert "until the next start" not in reload(gate)


def test_a_link_that_is_turned_to_another_file_is_noticed(
    front_1mb: Front, start_tidegate: StartTidegate, stored: Payload, tmp_path: Path
) -> None:
    """As Kubernetes does with a ConfigMap."""
    gate = start_tidegate(front_1mb)
    versions = [tmp_path / name for name in ("..1", "..2")]
    for version in versions:
        version.mkdir()
    (tmp_path / "..data").symlink_to(versions[0].name)
    (versions[0] / "t.toml").write_text(gate.config_file.read_text())
    gate.config_file.unlink()
    gate.config_file.symlink_to(tmp_path / "..data/t.toml")
    until(lambda: reloads(gate)[0] == 1, "the file is another one", timeout=20)
    limited = merged(gate.config, {"limits": {"requests_per_second_per_peer": 1}})
    (versions[1] / "t.toml").write_text(toml.dumps(limited))
    (tmp_path / "..new").symlink_to(versions[1].name)
    os.replace(tmp_path / "..new", tmp_path / "..data")
    until(lambda: reloads(gate)[0] == 2, "the link leads elsewhere", timeout=20)
    assert [status(gate) for _ in range(2)] == [200, 429]


def test_logs_go_by_what_is_said_last(front_1mb: Front, start_tidegate: StartTidegate, stored: Payload, tmp_path: Path) -> None:
    gate = start_tidegate(front_1mb)
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    for log in logs:
        changed(gate, {"log": {"access": "all", "access_file": str(log)}})
        assert status(gate) == 200
        until(lambda: "/reloaded/small" in log.read_text(), "a line is written")  # noqa: B023
    for _ in range(3):
        for log in logs:
            changed(gate, {"log": {"access_file": str(log)}})
    # By their name: the threads that block for a file or a name come and go.
    until(lambda: threads_named(gate, "access-log") == 1, "writers of before are gone")
    write(gate, {"log": {"level": "debug", "format": "json", "access_file": str(tmp_path)}})
    assert "log.access_file" in reload(gate), "a directory is no file"
    assert status(gate) == 200
    until(lambda: logs[1].read_text().count("/reloaded/small") >= 2, "it goes on where it was")
    assert "{" not in changed(gate, {"log": {"access_file": str(logs[0])}}).splitlines()[0]
    assert reload(gate).splitlines()[0].startswith("{")


def test_memory_that_shrinks_and_grows_under_load_changes_no_byte(
    front_1mb: Front, start_tidegate: StartTidegate, stored: Payload
) -> None:
    gate = start_tidegate(front_1mb, {"prefetch": {"memory": "64MiB"}, "cache": {"chunks": "off"}})
    wanted, over = stored.bytes(), threading.Event()

    def reads() -> int:
        count = 0
        while not over.is_set():
            same_bytes(request("GET", f"{gate.url}/reloaded/large", timeout=60).body, wanted)
            count += 1
        return count

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(reads) for _ in range(8)]
        for memory, window, per_server in (("8MiB", 1, 4), ("128MiB", "auto", 32), ("8MiB", 8, 16), ("64MiB", "auto", 16)):
            time.sleep(1)
            changed(gate, {"prefetch": {"memory": memory, "window": window, "per_server": per_server}})
        changed(gate, {"prefetch": {"memory": "8MiB"}})
        time.sleep(3)
        held = [gate.metrics().sum("tidegate_prefetch_buffer_bytes") for _ in range(20)]
        over.set()
        assert sum(done.result() for done in running) >= 8
    assert max(held) <= 8 * MIB, held
    until(lambda: gate.metrics().sum("tidegate_prefetch_buffer_bytes") == 0, "all of it came back")


def test_caches_are_made_anew_where_their_size_changes(
    front_1mb: Front, start_tidegate: StartTidegate, stored: Payload
) -> None:
    gate = start_tidegate(front_1mb)

    def misses(cache: str) -> float:
        before = gate.metrics().sum("tidegate_cache_lookups_total", cache=cache, outcome="miss")
        assert status(gate) == 200
        return gate.metrics().sum("tidegate_cache_lookups_total", cache=cache, outcome="miss") - before

    until(lambda: gate.metrics().sum("tidegate_filer_subscription_up") == 1, "the filer is followed")
    until(lambda: misses("entries") == 0, "the entry is kept")
    changed(gate, {"limits": {"requests": 7}})
    assert misses("entries") == 0, "what did not change is kept"
    changed(gate, {"cache": {"entries": "8MiB"}})
    until(lambda: gate.metrics().sum("tidegate_filer_subscription_up") == 1, "the filer is followed again")
    until(lambda: misses("entries") == 0, "the entry is kept again")
    assert request("PUT", front_1mb.filer.url + "/reloaded/written", body=b"one").status == 201
    until(lambda: request("GET", f"{gate.url}/reloaded/written").body == b"one", "it is there")
    assert request("PUT", front_1mb.filer.url + "/reloaded/written", body=b"two").status == 201
    until(lambda: request("GET", f"{gate.url}/reloaded/written").body == b"two", "changes are seen", timeout=2)
    changed(gate, {"cache": {"entries": "off"}})
    until(lambda: gate.metrics().sum("tidegate_filer_subscription_up") == 0, "nobody is followed")
    assert status(gate) == 200


def test_another_filer_is_asked_when_another_is_named(
    front_1mb: Front, front_4mb: Front, start_tidegate: StartTidegate, stored: Payload
) -> None:
    assert request("PUT", front_4mb.filer.url + "/reloaded/elsewhere", body=b"at the other").status == 201
    gate = start_tidegate(front_1mb)
    assert (status(gate), status(gate, "/reloaded/elsewhere")) == (200, 404)
    changed(gate, {"filer": {"addresses": [front_4mb.filer.address]}})
    assert (status(gate), status(gate, "/reloaded/elsewhere")) == (404, 200)
    assert request("GET", f"{gate.admin_url}/readyz").status == 200
    changed(gate, {"filer": {"addresses": [front_1mb.filer.address]}})
    assert (status(gate), status(gate, "/reloaded/elsewhere")) == (200, 404)


def test_who_may_read_and_what_opens_keys(front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate) -> None:
    thing = objects.sized(front_1mb, Encryption.SSE_KMS, 300_000, "for-whom-it-is-opened")
    gate = start_tidegate(front_1mb, {"access": {"managed_keys": "none"}}, without="kms")
    kms = front_1mb.tidegate_config()["kms"]
    assert read(gate, thing).status == 403
    changed(gate, {"access": {"managed_keys": "any"}})
    assert b"KmsNotConfigured" in read(gate, thing).body
    assert isinstance(kms, dict)
    changed(gate, {"kms": kms})
    same_bytes(read(gate, thing).body, thing.content)
    name = kms["default_provider"]
    assert gate.metrics().sum("tidegate_kms_requests_total", provider=name, outcome="ok") >= 1
    del gate.config["kms"]
    changed(gate, {})
    assert b"KmsNotConfigured" in read(gate, thing).body
    assert name not in gate.metrics().label_values("tidegate_kms_requests_total", "provider")


def expiry(gate: Tidegate, role: str) -> datetime:
    seconds = gate.metrics().sum("tidegate_certificate_expiry_timestamp_seconds", role=role)
    return datetime.fromtimestamp(seconds, UTC)


def test_a_certificate_that_is_replaced_is_shown_and_its_end_is_told(
    front_1mb: Front, start_tidegate: StartTidegate, authority: Authority, tmp_path: Path
) -> None:
    cert, key = tmp_path / "served.pem", tmp_path / "served.key"

    def install(name: str) -> datetime:
        authority.install(name, cert, key)
        return x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc

    ends = install("first")
    tls = {"tls_cert": str(cert), "tls_key": str(key), "tls_client_ca": str(authority.ca)}
    gate = start_tidegate(front_1mb, {"server": tls})
    context: ssl.SSLContext = authority.client()
    assert expiry(gate, "server") == ends
    of_authority = x509.load_pem_x509_certificate(authority.ca.read_bytes()).not_valid_after_utc
    assert expiry(gate, "server_client_ca") == of_authority
    ends = install("second")
    until(lambda: shown(gate, context) == "CN=second", "the file has changed", timeout=20)
    until(lambda: expiry(gate, "server") == ends, "its end is told, a moment after it is shown")
    # To another file; and TLS as a whole stays until the next start.
    others = [tmp_path / "other.pem", tmp_path / "other.key"]
    authority.install("third", *others)
    changed(gate, {"server": {"tls_cert": str(others[0]), "tls_key": str(others[1])}})
    assert shown(gate, context) == "CN=third"
    for name in tls:
        del gate.config["server"][name]  # type: ignore[index]
    assert 'keys="server.tls_cert"' in changed(gate, {})
    assert shown(gate, context) == "CN=third"
