"""A session of a page: commands behind a `$` as a person types them, and what the page says that they print."""

import os
import re
import signal
import subprocess
import textwrap
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.tidegate import tidegate_binary

_END = "the end of what it printed: "
_TIMEOUT = 60.0  # seconds for a whole session


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page that are in this language."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in found]


@dataclass(frozen=True)
class Step:
    """A command, and what is shown below it; `…` stands for whatever is there, and columns may be of other widths."""

    command: str
    shown: str

    def agrees(self, printed: str) -> bool:
        pattern = re.escape(_narrow(self.shown)).replace("…", ".*")
        return re.fullmatch(pattern, _narrow(printed), re.DOTALL) is not None


def steps(block: str) -> list[Step]:
    """What a `console` block has people type. A line that ends with a backslash goes on in the next one."""
    found = re.findall(r"^\$ ((?:.*\\\n)*.*)\n?((?:(?!\$ ).*\n?)*)", block, re.MULTILINE)
    return [Step(command, shown.strip()) for command, shown in found]


def _narrow(text: str) -> str:
    return re.sub(r" +", " ", text).strip()


class Shell:
    """One bash for a whole session, so that variables and jobs last. What runs in the background writes to a file."""

    def __init__(self, directory: Path, env: Mapping[str, str]) -> None:
        self._directory = directory
        programs = directory / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        (programs / "tidegate").symlink_to(tidegate_binary())
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("TIDEGATE_")}
        path = f"{programs}:{inherited['PATH']}:/usr/sbin"
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=directory,
            env={**inherited, **env, "PATH": path},
            start_new_session=True,
        )
        self._timer = threading.Timer(_TIMEOUT, self._kill)
        self._timer.start()

    def run(self, command: str) -> str:
        """What a command prints, its errors too. A command that ends with `&` goes on in the background."""
        if command.rstrip().endswith("&"):
            command = command.rstrip()[:-1] + ">background.log 2>&1 &"
        # A comment may stand behind the command, so that the brace needs a line of its own.
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null\necho\necho '{_END}'\n")
        self._bash.stdin.flush()
        printed = []
        for line in self._bash.stdout:
            if line.startswith(_END):
                return "".join(printed)
            printed.append(line)
        said = "".join(printed) + self.log()
        raise AssertionError(f"the shell ended, or took longer than {_TIMEOUT:.0f} s:\n{command}\n{said}")

    def log(self) -> str:
        """What runs in the background has written."""
        file = self._directory / "background.log"
        return file.read_text() if file.exists() else ""

    def end(self) -> None:
        """Ends the shell and all that it started."""
        self._timer.cancel()
        self._kill()
        self._bash.wait(10)

    def _kill(self) -> None:
        try:
            os.killpg(self._bash.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
