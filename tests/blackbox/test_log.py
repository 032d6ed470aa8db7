"""The log on standard error: nobody waits for it, clients cannot flood it, and its last lines are not lost."""

import os
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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


def serves(gate: Tidegate) -> bool:
    try:
        return request("GET", f"{gate.admin_url}/readyz").status == 200
    except OSError:
        return False
