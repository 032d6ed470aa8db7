"""The Debian package: what lintian says of it, and what it does to a fresh Debian 12 that has nothing else of ours."""

import re
import subprocess
from pathlib import Path

import pytest
from conftest import PACKAGE, Machine
from harness import Front, Payload, request
from harness import toml
from harness.ports import free_port
from harness.process import Process
from harness.s3 import Encryption, sse_arguments
from harness.tidegate import REPO, merged

CONFIGURATION = "/etc/tidegate/tidegate.toml"
OPERATORS_OWN = "# ours\n[filer]\naddresses = [\"filer.example.org:8888\"]\n"


def newer(directory: Path, example: str | None = None) -> Path:
    """The package as a later version, with another example of a configuration if there is to be one."""
    tree = directory / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", PACKAGE, tree], check=True, timeout=60)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", "Version: 9.0.0-1", control.read_text(), flags=re.MULTILINE))
    if example is not None:
        (tree / CONFIGURATION[1:]).write_text(example)
    made = directory / "tidegate_9.0.0-1.deb"
    subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "--build", tree, made], check=True, timeout=60)
    return made


def test_lintian_finds_no_error() -> None:
    argv = ["lintian", "--allow-root", "--profile", "debian", "--fail-on", "error,warning", PACKAGE]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_changelog_begins_with_this_version() -> None:
    fields = subprocess.run(["dpkg-deb", "-f", PACKAGE, "Version"], capture_output=True, text=True, timeout=20).stdout
    first = (REPO / "deploy/debian/changelog").read_text().partition("\n")[0]
    assert first.startswith(f"tidegate ({fields.strip()}) ")


def test_every_unit_and_page_is_in_it() -> None:
    listed = subprocess.run(["dpkg-deb", "-c", PACKAGE], capture_output=True, text=True, timeout=20, check=True).stdout
    inside = {line.split()[5].removeprefix("./") for line in listed.splitlines()}
    for unit in [*(REPO / "deploy/systemd").glob("*.service"), *(REPO / "deploy/systemd").glob("*.socket")]:
        assert f"usr/lib/systemd/system/{unit.name}" in inside
    for example in (REPO / "deploy/systemd").glob("*.conf"):
        assert f"usr/share/doc/tidegate/examples/systemd/{example.name}" in inside
    for page in [*(REPO / "docs").glob("*.md"), *(REPO / "docs").glob("*.svg"), *(REPO / "docs").glob("*.png")]:
        assert f"usr/share/doc/tidegate/{page.name}" in inside
    for page in ["man8/tidegate.8", "man8/tidegate-check.8", "man8/tidegate-explain.8", "man5/tidegate.toml.5"]:
        assert f"usr/share/man/{page}.gz" in inside
    for completion in [
        "bash-completion/completions/tidegate",
        "zsh/vendor-completions/_tidegate",
        "fish/vendor_completions.d/tidegate.fish",
    ]:
        assert f"usr/share/{completion}" in inside


def test_it_is_installed_as_the_pages_say(machine: Machine) -> None:
    """Of the commands only the first, which makes the package, was run before."""
    shown = [(REPO / page).read_text() for page in ["README.md", "docs/start.md"]]
    blocks = re.findall(r"^```sh\n(make deb\n.*?)^```", "".join(shown), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2 and len(set(blocks)) == 1, "both say the same"
    there = machine.root / "src/target/debian"
    there.mkdir(parents=True)
    (there / PACKAGE.name).write_bytes(PACKAGE.read_bytes())
    (machine.root / "usr/bin/sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (machine.root / "usr/bin/sudo").chmod(0o755)
    install, edit, *rest = blocks[0].splitlines()[1:]
    machine.run("sh", "-ec", f"cd /src\n{install.replace('apt install', 'apt-get install --yes')}")
    assert edit.split("#")[0].strip() == f"sudo editor {CONFIGURATION}" and (machine.root / CONFIGURATION[1:]).exists()
    for command in rest:
        machine.run("sh", "-ec", command.replace(" --now", ""))  # there is no systemd that could start it
    assert machine.run("systemctl", "is-enabled", "tidegate").strip() == "enabled"
    assert machine.run("tidegate", "--version").startswith("tidegate ")
    assert 'addresses = ["127.0.0.1:8888"]  # /etc/tidegate/tidegate.toml' in machine.run("tidegate", "check")
    assert re.match(r"tidegate:x:\d+:\d+:[^:]*:/nonexistent:/usr/sbin/nologin", machine.run("getent", "passwd", "tidegate"))


def test_nothing_is_started_or_enabled_by_the_installation(machine: Machine) -> None:
    machine.install(PACKAGE)
    assert machine.run("systemctl", "is-enabled", "tidegate", code=1).strip() == "disabled"


def test_it_serves_encrypted_objects(machine: Machine, front: Front) -> None:
    """The unit's own command, as the package's own user, and a cluster outside."""
    machine.install(PACKAGE)
    listen, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
    config = merged(front.tidegate_config(), {"server": {"listen": listen, "admin": admin}})
    (machine.root / CONFIGURATION[1:]).write_text(toml.dumps(config))
    content = Payload("packaged", 3_000_001).bytes()
    front.s3.create_bucket("photos")
    front.s3.put("photos", "cat.jpg", content, **sse_arguments(Encryption.SSE_S3))
    unit = (machine.root / "usr/lib/systemd/system/tidegate.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    argv = ["/usr/sbin/chroot", "--userspec=tidegate:tidegate", str(machine.root), *command.split()]
    gate = Process("tidegate", argv, machine.root / "tmp/tidegate.log")
    gate.start()
    try:
        gate.wait_ready(lambda: request("GET", f"http://{admin}/readyz").status == 200, timeout=20)
        got = request("GET", f"http://{listen}/buckets/photos/cat.jpg")
        assert (got.status, got.body == content) == (200, True)
        assert request("GET", front.filer_url("photos", "cat.jpg")).body != content
    finally:
        gate.stop()
    assert gate.returncode == 0


@pytest.mark.parametrize("example", [None, "# another example\n"])
def test_an_upgrade_keeps_a_changed_configuration(example: str | None, machine: Machine, tmp_path: Path) -> None:
    machine.install(PACKAGE)
    mine = machine.root / CONFIGURATION[1:]
    mine.write_text(OPERATORS_OWN)
    # Where both have changed dpkg asks, and keeps it unless it is told otherwise.
    machine.install(newer(tmp_path, example), *(["--force-confdef", "--force-confold"] if example else []))
    assert mine.read_text() == OPERATORS_OWN
    assert "9.0.0-1" in machine.run("dpkg-query", "--show", "tidegate")
    beside = mine.with_name("tidegate.toml.dpkg-dist")
    assert beside.exists() == bool(example)


def test_an_upgrade_brings_the_example_of_who_changed_nothing(machine: Machine, tmp_path: Path) -> None:
    machine.install(PACKAGE)
    machine.install(newer(tmp_path, "# another example\n"))
    assert (machine.root / CONFIGURATION[1:]).read_text() == "# another example\n"


def test_what_is_removed_keeps_its_configuration_and_what_is_purged_does_not(machine: Machine) -> None:
    before = machine.files()
    machine.install(PACKAGE)
    machine.run("systemctl", "enable", "tidegate")
    (machine.root / CONFIGURATION[1:]).write_text(OPERATORS_OWN)
    machine.run("dpkg", "--remove", "tidegate")
    assert (machine.root / CONFIGURATION[1:]).read_text() == OPERATORS_OWN
    assert not (machine.root / "usr/bin/tidegate").exists()
    machine.run("dpkg", "--purge", "tidegate")
    left = machine.files() - before
    assert {path for path in left if "tidegate" in path} == set(), left
