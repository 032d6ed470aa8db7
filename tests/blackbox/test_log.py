"""The log on standard error: nobody waits for it, clients cannot flood it, and its last lines are not lost."""

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from catalogue import Catalogue, Shape
from conftest import StartTidegate
from expect import read
from harness import Encryption, Front, Tidegate, request
from harness.tidegate import merged
from waiting import until


def dropped(gate: Tidegate, reason: str) -> float:
    return gate.metrics().sum("tidegate_log_lines_dropped_total", reason=reason)


def test_a_client_cannot_flood_the_log_and_how_much_is_left_out_is_told(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    """Reads that fail for want of the SSE-S3 key are a line each."""
    gate = start_tidegate(front_1mb, {"sse_s3": {"key": "another key"}})
    sealed = objects.get(front_1mb, Encryption.SSE_S3, Shape.CHUNK)
    with ThreadPoolExecutor(8) as clients:
        statuses = list(clients.map(lambda _: read(gate, sealed).status, range(600)))
    assert set(statuses) == {500}
    assert request("GET", f"{gate.url}/not-here").status == 404
    gate.stop()
    log = gate.log.read_text()
    lines = log.count("blame=")
    told = sum(map(int, re.findall(r"were left out lines=(\d+) kind=tidegate::layers::error_log:\d+", log)))
    assert lines + told == 600, "each is there, or told of"
    assert told > 0 and lines >= 100
    assert any(line.endswith("stopped cut=0") for line in log.splitlines()[-2:]), "the last lines are there"


def test_whoever_does_not_read_the_log_holds_nobody_up(
    front_1mb: Front, objects: Catalogue, tmp_path: Path
) -> None:
    """Standard error is a pipe that is full."""
    gate = Tidegate(tmp_path, merged(front_1mb.tidegate_config(), {"log": {"level": "trace"}}))
    unread, stderr = os.pipe()
    with subprocess.Popen(gate.argv, stdin=subprocess.DEVNULL, stderr=stderr) as child:
        os.close(stderr)
        try:
            until(lambda: serves(gate), "it serves")
            plain = objects.get(front_1mb, Encryption.NONE, Shape.MANY)

            def full() -> bool:
                with ThreadPoolExecutor(8) as clients:
                    answers = clients.map(lambda _: request("GET", f"{gate.url}/{'x' * 6000}").status, range(64))
                    assert set(answers) == {404}
                return dropped(gate, "slow") > 0

            until(full, "there is no room left for lines", 60)
            assert read(gate, plain).status == 200
            child.send_signal(signal.SIGTERM)
            assert child.wait(10) == 0, "the end does not wait for ever either"
        finally:
            child.kill()
            os.close(unread)


@contextmanager
def to_a_file(directory: Path) -> Iterator[tuple[int, Callable[[], str]]]:
    path = directory / "lines"
    with path.open("wb") as file:
        yield file.fileno(), path.read_text


@contextmanager
def to_a_reader(ends: tuple[int, int]) -> Iterator[tuple[int, Callable[[], str]]]:
    """Both ends of a pipe or a terminal."""
    ours, theirs = ends
    seen = bytearray()

    def read() -> str:
        while chunk := os.read(ours, 1 << 16):
            seen.extend(chunk)
            if len(chunk) < 1 << 16:
                break
        return seen.decode()

    try:
        yield theirs, read
    finally:
        for end in ends:
            os.close(end)


OUTLETS = {
    "file": to_a_file,
    "pipe": lambda _: to_a_reader(os.pipe()),
    "terminal": lambda _: to_a_reader(pty.openpty()),
}


@pytest.mark.parametrize(("log", "access"), [("terminal", "pipe"), ("pipe", "terminal"), ("file", "file")])
def test_a_terminal_gets_text_and_all_else_json(log: str, access: str, front_1mb: Front, tmp_path: Path) -> None:
    """Each of the two by where it goes itself."""
    change = {"log": {"format": "auto", "access": "all"}}
    gate = Tidegate(tmp_path, merged(front_1mb.tidegate_config(), change))
    (tmp_path / "access").mkdir()
    with OUTLETS[log](tmp_path) as (stderr, logged), OUTLETS[access](tmp_path / "access") as (stdout, answered):
        with subprocess.Popen(gate.argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr) as child:
            try:
                until(lambda: serves(gate), "it serves")
                assert request("GET", f"{gate.url}/not-here").status == 404
                child.send_signal(signal.SIGTERM)
                assert child.wait(20) == 0
            finally:
                child.kill()
        written = {"log": logged(), "access": answered()}
    for name, outlet, word in [("log", log, "serving"), ("access", access, "/not-here")]:
        (line,) = [line for line in written[name].splitlines() if word in line]
        if outlet == "terminal":
            assert not line.startswith("{"), line
            assert ("\x1b[" in line) == (name == "log"), "the access log has no colours"
        else:
            assert word in json.loads(line).values() and "\x1b" not in line, line


def serves(gate: Tidegate) -> bool:
    try:
        return request("GET", f"{gate.admin_url}/readyz").status == 200
    except OSError:
        return False
