"""curl as the benches start it: what it got is thrown away, and has to be all."""

import subprocess
from collections.abc import Mapping


def arguments(headers: Mapping[str, str]) -> list[str]:
    """These headers as curl and wrk take them."""
    return [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]


def download(url: str, headers: Mapping[str, str], size: int) -> None:
    """One download. Raises when it was not of `size` bytes."""
    argv = ["curl", "-sf", "-o", "/dev/null", "-w", "%{size_download}", *arguments(headers), url]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    if said != str(size):
        raise RuntimeError(f"{url}: {said} bytes for {size}")
