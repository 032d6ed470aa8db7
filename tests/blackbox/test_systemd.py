"""The systemd unit: systemd finds nothing wrong with it, little that the service could do to the machine, and room for its memory."""

import re
import subprocess
from pathlib import Path

from harness.tidegate import REPO, run, tidegate_binary

UNIT = REPO / "deploy/systemd/tidegate.service"
SOCKET = REPO / "deploy/systemd/tidegate.socket"
BUDGETS = ["header_memory", "memory", "entries", "manifests", "chunks"]
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, timeout=60)


def setting(name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return value


def in_bytes(size: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w+)", size).groups()
    return int(number) * UNITS[unit]


def test_verify_says_nothing(tmp_path: Path) -> None:
    """It says only in words, and not by its exit code, that it does not know a key."""
    here = UNIT.read_text().replace("ExecStart=/usr/bin/tidegate ", f"ExecStart={tidegate_binary()} ")
    assert str(tidegate_binary()) in here
    unit, sockets = tmp_path / UNIT.name, tmp_path / SOCKET.name
    unit.write_text(here)
    sockets.write_text(SOCKET.read_text())
    done = analyze("verify", unit, sockets)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_service_is_little_exposed() -> None:
    done = analyze("security", "--offline=true", "--no-pager", "--threshold=15", UNIT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_memory_limit_is_twice_what_the_configuration_may_take() -> None:
    said = run("check", "--config", REPO / "deploy/systemd/tidegate.toml")
    assert said.returncode == 0, said.stderr
    sizes = re.findall(r'^(\w+) = "(\d+[KMG]iB)"', said.stdout, re.MULTILINE)
    # Of all sizes only this one is of bytes per second.
    budgets = {name: in_bytes(size) for name, size in sizes if name != "min_rate"}
    assert sorted(budgets) == sorted(BUDGETS)
    assert in_bytes(setting("MemoryMax")) >= 2 * sum(budgets.values())
    alerts = (REPO / "deploy/prometheus/alerts.yml").read_text()
    assert in_bytes(setting("MemoryMax")) == 1 << 30 and "> 0.9 * 1024 * 1024 * 1024" in alerts


def test_systemd_waits_longer_than_the_daemon_drains() -> None:
    said = run("check", "--config", REPO / "deploy/systemd/tidegate.toml").stdout
    assert 'lame_duck = "5s"' in said and 'drain_timeout = "2m"' in said
    assert int(setting("TimeoutStopSec")) > 5 + 120


def test_the_socket_has_a_name_that_tidegate_knows() -> None:
    assert re.findall(r"^FileDescriptorName=(.*)$", SOCKET.read_text(), re.MULTILINE) == ["front"]
