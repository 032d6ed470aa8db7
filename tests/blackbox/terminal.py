"""A shell as somebody sits at it: what a Tab makes of the line."""

import os
import pty
import select
import subprocess
import time
from pathlib import Path

_TIMEOUT = 20.0


class Terminal:
    """An interactive program at the other end of a terminal of its own."""

    def __init__(self, argv: list[str], directory: Path) -> None:
        ours, theirs = pty.openpty()
        env = {"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": str(directory), "PS1": "> "}
        self._program = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=directory, env=env, start_new_session=True
        )
        os.close(theirs)
        self._ours = ours
        self._seen = ""

    def type(self, keys: str) -> None:
        """Presses keys."""
        os.write(self._ours, keys.encode())

    def see(self, text: str) -> None:
        """Waits until this stands there, and forgets what stands before its end."""
        deadline = time.monotonic() + _TIMEOUT
        while text not in self._seen:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self._ours], [], [], left)[0], f"no {text!r} in {self._seen!r}"
            self._seen += os.read(self._ours, 4096).decode(errors="replace")
        self._seen = self._seen.partition(text)[2]

    def close(self) -> None:
        """Ends the program."""
        self._program.kill()
        self._program.wait(10)
        os.close(self._ours)
