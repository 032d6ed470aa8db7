"""A program of the machine that listens on one port, and is ready when it does."""

import os
import shutil
import socket

from .ports import HOST
from .process import Process, ProcessFailed


def installed(name: str, package: str) -> str:
    """The program. Debian, where `package` has it, puts some where not everybody's PATH leads."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    if found := shutil.which(name, path=path):
        return found
    raise ProcessFailed(f"no {name}: install it (Debian, Ubuntu: apt install {package})")


class Listener(Process):
    """What listens at `url`."""

    port: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it listens."""
        super().start()
        self.wait_ready(self._listens)

    def _listens(self) -> bool:
        with socket.create_connection((HOST, self.port), timeout=2):
            return True
