"""wrk as the benches start it: one thread, and no answer may be anything but a success."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from curl import arguments


def requests_per_second(
    url: str, headers: Mapping[str, str], at_once: int, seconds: int, script: Path | None = None
) -> float:
    """What wrk counts. Raises when an answer was no success."""
    argv = ["wrk", "-t", "1", "-c", str(at_once), "-d", f"{seconds}s", *(["-s", str(script)] if script else [])]
    said = subprocess.run([*argv, *arguments(headers), url], capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if rate is None or "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"wrk on {url} says:\n{said}")
    return float(rate.group(1))
