"""What one run of something that is no test needs: programs, and a folder."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .process import stop_all


def installed(*programs: str) -> bool:
    """Whether these Debian packages' programs are here. Says which one is not."""
    for program in programs:
        if shutil.which(program) is None:
            how = f"(Debian, Ubuntu: apt-get install {program})"
            print(f"{program} is not installed {how}; nothing was measured", file=sys.stderr)
            return False
    return True


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A new folder. In the end all programs that were started end, and the folder goes."""
    with tempfile.TemporaryDirectory(prefix=f"tidegate-{name}-", ignore_cleanup_errors=True) as folder:
        try:
            yield Path(folder)
        finally:
            stop_all()
