"""Waits for something to become so."""

import signal
import time
from collections.abc import Callable

from harness import Tidegate


def until(so: Callable[[], bool], what: str, timeout: float = 10.0) -> None:
    """Asks again and again; fails with `what` when `timeout` seconds have passed."""
    deadline = time.monotonic() + timeout
    while not so():
        assert time.monotonic() < deadline, f"not within {timeout:.0f} s: {what}"
        time.sleep(0.02)


def reload(gate: Tidegate) -> str:
    """SIGHUP, and what was logged until it was done."""
    before = len(gate.log.read_text())
    gate.signal(signal.SIGHUP)
    until(lambda: "reloaded" in gate.log.read_text()[before:], "it has reloaded")
    return gate.log.read_text()[before:]
