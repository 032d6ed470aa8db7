"""A folder for one run of something that is no test."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .process import stop_all


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A new folder. In the end all programs that were started end, and the folder goes."""
    with tempfile.TemporaryDirectory(prefix=f"tidegate-{name}-", ignore_cleanup_errors=True) as folder:
        try:
            yield Path(folder)
        finally:
            stop_all()
