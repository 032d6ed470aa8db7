"""The memory that holds keys stays in the process: no core file, no other process of the same user that reads it."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from catalogue import Catalogue, Shape
from conftest import StartTidegate
from expect import read
from harness import Encryption, Front
from harness.ports import HOST, free_port
from harness.tidegate import tidegate_binary

NOBODY = 65534


def test_there_is_no_core_file(front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_1mb)
    assert read(gate, objects.get(front_1mb, Encryption.SSE_KMS, Shape.BYTE)).status == 200
    limits = Path(f"/proc/{gate.pid}/limits").read_text().splitlines()
    core = next(line for line in limits if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"], core


def test_others_of_its_user_cannot_read_its_memory(front_1mb: Front) -> None:
    """The kernel gives what is in /proc/<pid> of a process that cannot be dumped to root, whoever runs it."""
    # Root sees everything in any case, so there the process runs as somebody else.
    uid = os.geteuid() or NOBODY
    somebody: dict[str, object] = {} if os.geteuid() else {"user": uid, "group": uid, "extra_groups": []}
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        binary = shutil.copy(tidegate_binary(), Path(directory) / "tidegate")
        config = Path(directory) / "tidegate.toml"
        listen, admin = free_port(), free_port()
        server = f'[server]\nlisten = "{HOST}:{listen}"\nadmin = "{HOST}:{admin}"\n'
        config.write_text(f'{server}[filer]\naddresses = ["{front_1mb.filer.address}"]\n')
        environment = {"PATH": os.environ["PATH"]}
        child = subprocess.Popen(
            [binary, "--config", config], **somebody, env=environment, cwd="/",
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 10
            while os.stat(f"/proc/{child.pid}/mem").st_uid == uid and time.monotonic() < deadline:
                time.sleep(0.05)
            assert child.poll() is None
            status = Path(f"/proc/{child.pid}/status").read_text()
            assert f"\nUid:\t{uid}\t" in status
            assert os.stat(f"/proc/{child.pid}/mem").st_uid == 0
            peek = ["dd", f"if=/proc/{child.pid}/environ", "of=/dev/null"]
            other = subprocess.run(peek, **somebody, capture_output=True, check=False)
            assert other.returncode != 0 and b"denied" in other.stderr
        finally:
            child.terminate()
            child.wait(10)
