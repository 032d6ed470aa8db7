"""What the demo writes to the terminal: steps with their time, progress, tables. Plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_TERMINAL = sys.stdout.isatty()
_COLORS = _TERMINAL and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_WIDTH = 100


def painted(text: str, color: str) -> str:
    """The text in a color, where colors are wanted."""
    return f"\033[{_CODES[color]}m{text}\033[0m" if _COLORS and color else text


def say(text: str = "") -> None:
    """One line."""
    print(text, flush=True)


class Step:
    """A line that says what is being done, how far it is, and at last how long it took."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._started = time.monotonic()
        self._told = 0.0
        self.progress("")

    def progress(self, how_far: str) -> None:
        """Says how far it is. A terminal's line is written over, at most ten times a second."""
        if _TERMINAL and time.monotonic() - self._told > 0.1:
            self._told = time.monotonic()
            self._write(f"  {self.title} ... {how_far}")
        elif not _TERMINAL and not how_far:
            say(f"  {self.title} ...")

    def done(self, result: str = "") -> None:
        """The last word."""
        took = painted(f"{time.monotonic() - self._started:6.1f} s", "dim")
        text = f"{self.title}{': ' + result if result else ''}"
        if _TERMINAL:
            self._write(f"  {text:<{_WIDTH - 12}}{took}")
            say()
        else:
            say(f"  {text} ({time.monotonic() - self._started:.1f} s)")

    @staticmethod
    def _write(line: str) -> None:
        sys.stdout.write(f"\r\033[K{line}")
        sys.stdout.flush()


@contextmanager
def step(title: str) -> Iterator[Step]:
    """A step that is done when the block ends well."""
    line = Step(title)
    try:
        yield line
    except BaseException:
        if _TERMINAL:
            say()
        raise
    line.done()


Cell = tuple[str, str]
"""A text and the color it is painted in, empty for none."""


def table(titles: Sequence[str], rows: Sequence[Sequence[Cell]], right: set[int]) -> None:
    """Rows under their titles; the columns in `right` are flushed right."""
    widths = [max(len(title), *(len(row[at][0]) for row in rows)) for at, title in enumerate(titles)]

    def line(cells: Sequence[Cell]) -> str:
        padded = (
            painted(text.rjust(width) if at in right else text.ljust(width), color)
            for at, ((text, color), width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  " + "  ".join(padded).rstrip()

    say(line([(title, "bold") for title in titles]))
    say("  " + "  ".join("-" * width for width in widths))
    for row in rows:
        say(line(row))
