"""Chromium without a window, from Debian's `chromium`."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from .process import ProcessFailed


def chromium_binary() -> str:
    """The program."""
    if found := shutil.which("chromium", path=os.environ.get("PATH", "") + os.pathsep + "/usr/bin"):
        return found
    raise ProcessFailed("no chromium: install it (Debian: apt install --no-install-recommends chromium)")


@contextmanager
def browser() -> Iterator[Browser]:
    """One that runs."""
    with sync_playwright() as playwright:
        # Whoever runs tests as root, as in a container, has no sandbox; the pages are ours.
        chromium = playwright.chromium.launch(executable_path=chromium_binary(), args=["--no-sandbox"])
        try:
            yield chromium
        finally:
            chromium.close()
