"""Programs that come with a Python package, beside this Python."""

import subprocess
import sys
from pathlib import Path


def output(program: str, *arguments: str | Path) -> str:
    """What `kubectl` or `hadolint` writes; raises AssertionError with what it complains of."""
    argv = [str(Path(sys.executable).parent / program), *map(str, arguments)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}{done.stderr}"
    return done.stdout
