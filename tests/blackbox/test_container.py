"""The image: a linter has nothing to say, and the binary needs nothing that is not in it.

It is not built here: that takes images from registries. Instead the binary runs as the image's user in a folder that has
only what the image's base has of it.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from harness.packaged import output
from harness.tidegate import REPO, tidegate_binary

CONTAINERFILE = REPO / "deploy/container/Containerfile"
BASE = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6"}
"""What cc-debian12 has: libc6, libgcc-s1, libstdc++6."""


def test_the_linter_says_nothing() -> None:
    assert output("hadolint", CONTAINERFILE) == ""


def test_what_it_copies_is_there() -> None:
    text = CONTAINERFILE.read_text()
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (REPO / source).exists(), source
    (rust,) = re.findall(r"rust:(\d+)\.(\d+)-", text)
    (wanted,) = re.findall(r'^rust-version = "(\d+)\.(\d+)"', (REPO / "Cargo.toml").read_text(), re.MULTILINE)
    assert tuple(map(int, rust)) >= tuple(map(int, wanted))


def test_the_binary_runs_with_what_the_base_has(tmp_path: Path) -> None:
    linked = subprocess.run(["ldd", tidegate_binary()], capture_output=True, text=True, check=True).stdout
    libraries = dict(re.findall(r"^\s*(\S+) => (\S+)", linked, re.MULTILINE))
    (loader,) = re.findall(r"^\s*(/\S+ld-linux\S+)", linked, re.MULTILINE)
    assert libraries.keys() <= BASE, libraries
    root = tmp_path / "root"
    copied = [(str(tidegate_binary()), "/usr/bin/tidegate"), (loader, loader), *((at, at) for at in libraries.values())]
    ours = re.findall(r"^COPY (deploy/\S+) (/\S+)$", CONTAINERFILE.read_text(), re.MULTILINE)
    copied += [(str(REPO / source), target) for source, target in ours]
    for source, target in copied:
        place = root / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)
    user = int(re.findall(r"^USER (\d+):", CONTAINERFILE.read_text(), re.MULTILINE)[0])
    inside = ["/usr/bin/tidegate", "check"]
    if os.getuid() == 0:
        argv = ["chroot", f"--userspec={user}:{user}", str(root), *inside]
    else:  # another root takes a namespace of one's own
        argv = ["unshare", "--user", "--map-root-user", "chroot", str(root), *inside]
    env = {"PATH": os.environ.get("PATH", "") + ":/usr/sbin", "TIDEGATE_FILER__ADDRESSES": "filer:8888"}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, env=env)
    assert done.returncode == 0, done.stderr
    assert 'listen = "0.0.0.0:8880"  # /etc/tidegate/tidegate.toml' in done.stdout
    assert 'addresses = ["filer:8888"]  # TIDEGATE_FILER__ADDRESSES' in done.stdout
