"""One child process: started, asked until it is ready, ended for certain.

A child leads a session of its own, so that Ctrl-C in a terminal reaches only the parent, which ends its children in
order. Should the parent die without doing so, the kernel ends them (PR_SET_PDEATHSIG, Linux only).
"""

import atexit
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LOG_LINES_SHOWN = 30

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_running: list["Process"] = []


class ProcessFailed(RuntimeError):
    """A child did not start, ended too early, or did not end. Its last log lines are in the message."""


def _die_with_parent() -> None:
    """Runs in the child before exec. Nothing here takes a lock that the parent may hold."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Process:
    """A program with its arguments, its log file and, while it runs, its process id.

    `env` is laid over this process's own environment; None takes a variable away.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        log: Path,
        env: Mapping[str, str | None] | None = None,
    ) -> None:
        self.name = name
        self.argv = [str(arg) for arg in argv]
        self.log = log
        self.env = dict(env or {})
        self.inherits: list[tuple[str, socket.socket]] = []
        """Sockets that it is given as systemd gives them, with their names."""
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id. Only while running or not yet stopped."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether the child was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal, None while running."""
        return self._started().poll()

    def start(self) -> None:
        """Starts the child. Its output is appended to the log file."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        passed, argv, env = len(self.inherits), self.argv, {**os.environ, **self.env}
        if passed:
            # Only the child knows its own number.
            argv = ["sh", "-c", 'LISTEN_PID=$$ exec "$0" "$@"', *argv]
            env |= {"LISTEN_FDS": str(passed), "LISTEN_FDNAMES": ":".join(name for name, _ in self.inherits)}
        # Out of the way of the numbers that they are to have.
        sockets = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 100) for _, one in self.inherits]

        def begin() -> None:
            _die_with_parent()
            for number, one in enumerate(sockets, start=3):
                os.dup2(one, number)

        with self.log.open("ab") as out:
            try:
                self._child = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env={name: value for name, value in env.items() if value is not None},
                    start_new_session=True,
                    pass_fds=range(3, 3 + passed),
                    preexec_fn=begin,
                )
            except OSError as error:
                raise ProcessFailed(f"{self.name} cannot be started: {self.argv[0]}: {error.strerror}") from error
            finally:
                for one in sockets:
                    os.close(one)
        _running.append(self)

    def wait_ready(self, ready: Callable[[], bool], timeout: float = 60.0) -> None:
        """Asks `ready` until it says yes. Raises ProcessFailed when the child ends first or `timeout` seconds pass."""
        deadline = time.monotonic() + timeout
        while True:
            code = self.returncode
            if code is not None:
                raise ProcessFailed(f"{self.name} ended with exit code {code} before it was ready{self.last_lines()}")
            try:
                if ready():
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name} was not ready after {timeout:.0f} s{self.last_lines()}")
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the child alone."""
        self._started().send_signal(number)

    def wait(self, timeout: float) -> int:
        """Waits for the child to end by itself and answers its exit code."""
        try:
            return self._started().wait(timeout)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"{self.name} still runs after {timeout:.0f} s{self.last_lines()}") from None

    def kill(self) -> None:
        """SIGKILL, to the child and what it started, without a word before. It may be started again."""
        stop_together([self], grace=0, first=signal.SIGKILL)

    def stop(self, grace: float = 10.0) -> None:
        """Ends the child and what it started: SIGTERM, and SIGKILL to whatever is left after `grace` seconds."""
        stop_together([self], grace)

    def last_lines(self, count: int = _LOG_LINES_SHOWN) -> str:
        """The end of the log, for a message."""
        if not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()[-count:]
        return "".join(f"\n  {self.name} | {line}" for line in lines)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise ProcessFailed(f"{self.name} was not started")
        return self._child


def stop_together(
    processes: Sequence[Process], grace: float = 10.0, first: signal.Signals = signal.SIGTERM
) -> None:
    """Ends several at once, so that nobody waits for one that waits for another. See `Process.stop`."""
    for process in processes:
        if process.running:
            process.signal(first)
    deadline = time.monotonic() + grace
    for process in processes:
        while process.running and time.monotonic() < deadline:
            time.sleep(0.02)
        if process in _running:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
            process.wait(10)
            _running.remove(process)


def stop_all() -> None:
    """Ends every child that still runs."""
    stop_together(_running[:], grace=1.0)


atexit.register(stop_all)
