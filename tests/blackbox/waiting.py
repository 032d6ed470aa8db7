"""Waits for something to become so."""

import time
from collections.abc import Callable


def until(so: Callable[[], bool], what: str, timeout: float = 10.0) -> None:
    """Asks again and again; fails with `what` when `timeout` seconds have passed."""
    deadline = time.monotonic() + timeout
    while not so():
        assert time.monotonic() < deadline, f"not within {timeout:.0f} s: {what}"
        time.sleep(0.02)
