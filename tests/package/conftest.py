"""A fresh Debian 12 with the package in it, and a SeaweedFS outside."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Cluster, Front, Kek  # noqa: E402

DEBIAN = Path(os.environ["TIDEGATE_DEBIAN"])
"""An unpacked Debian 12 that nothing was done to: `make deb-test` makes one."""
PACKAGE = Path(os.environ["TIDEGATE_DEB"])


class Machine:
    """A root directory, and what is run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *argv: str, code: int = 0) -> str:
        """What a program in there prints. It ends with `code`."""
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            ["/usr/sbin/chroot", str(self.root), *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            env=env,
        )
        assert done.returncode == code, f"{' '.join(argv)}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def install(self, package: Path, *options: str) -> str:
        """Installs a package by dpkg, which brings nothing else."""
        shutil.copy(package, self.root / "tmp" / package.name)
        return self.run("dpkg", "--force-unsafe-io", *options, "--install", f"/tmp/{package.name}")

    def files(self) -> set[str]:
        """Every path but what dpkg and the package's user leave behind."""
        kept = ("var/lib/dpkg", "var/log", "var/cache", "tmp", "run", "proc", "sys", "dev")
        found = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*"))
        return {path for path in found if not path.startswith(kept)}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A fresh one for each test: what it changes lies over the one that all share."""
    assert os.getuid() == 0, "another root directory takes root: sudo make deb-test"
    root, changes, work = (tmp_path / name for name in ["root", "changes", "work"])
    for directory in [root, changes, work]:
        directory.mkdir()
    layers = f"lowerdir={DEBIAN},upperdir={changes},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, root], check=True, timeout=20)
    yield Machine(root)
    subprocess.run(["umount", root], check=True, timeout=20)
    shutil.rmtree(changes)


@pytest.fixture(scope="session")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A filer and an S3 gateway."""
    cluster = Cluster(tmp_path_factory.mktemp("seaweedfs"))
    try:
        cluster.start()
        yield cluster.add_front("package", kek=Kek.from_key("a secret of the gateway's"), maxMB=1)
    finally:
        cluster.stop()
