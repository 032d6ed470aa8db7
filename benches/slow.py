#!/usr/bin/env python3
"""slowhttptest against tidegate: what do other clients notice?

Slow headers, slow bodies and slow reading for a minute each (`slowhttptest -H`, `-B`, `-X`), from one address, against
both fronts at the same time. Meanwhile clients of other addresses read a small object by both fronts, each on a connection of its own
that it keeps, and each answer is compared. Prints their median and 99th percentile, before and during, and tidegate's memory.
"""

import argparse
import http.client
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import setting
from harness import Encryption, Payload, Tidegate
from harness.scratch import installed

KIB, MIB = 1 << 10, 1 << 20
SMALL, LARGE = Payload("small", 16 * KIB).bytes(), Payload("large", 16 * MIB).bytes()
READERS = 4
PAUSE = 0.02
"""Seconds between two requests of a reader: they ask for what two cores can give, with room to spare."""


@dataclass
class Readers:
    """Well-behaved clients: half of them at each front."""

    gate: Tidegate
    took: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self, seconds: float) -> tuple[list[float], list[str]]:
        """How long each answer took, in order of time taken, and what was not as it should be."""
        self.took, self.failed = [], []
        self._over.clear()
        threads = [threading.Thread(target=self._read, args=(at,), daemon=True) for at in range(READERS)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self._over.set()
        for thread in threads:
            thread.join(60)
        return sorted(self.took), self.failed

    def _read(self, at: int) -> None:
        base = self.gate.url + f"/buckets/{setting.BUCKET}" if at % 2 else f"{self.gate.s3_url}/{setting.BUCKET}"
        parts = urlsplit(base)
        line = http.client.HTTPConnection(parts.netloc, timeout=30, source_address=(f"127.0.0.{20 + at}", 0))
        while not self._over.wait(PAUSE):
            begun = time.monotonic()
            try:
                line.request("GET", f"{parts.path}/small")
                answer = line.getresponse()
                if answer.status != 200 or answer.read() != SMALL:
                    self.failed.append(str(answer.status))
            except (http.client.HTTPException, OSError) as error:
                self.failed.append(type(error).__name__)
                line.close()
            self.took.append(time.monotonic() - begun)


def attack(mode: str, url: str, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    """slowhttptest for a minute."""
    argv = ["slowhttptest", mode, "-c", str(options.connections), "-r", "200", "-l", str(options.seconds), "-p", "30", "-u", url]
    if mode == "-X":
        argv += ["-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "3"]
    else:
        argv += ["-i", "10", "-x", "24", "-t", "PUT" if mode == "-B" else "GET"]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def percentile(ordered: list[float], part: float) -> float:
    """Milliseconds."""
    return 1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def measure(gate: Tidegate, name: str, mode: str, options: argparse.Namespace) -> None:
    """One mode, before and during."""
    readers = Readers(gate)
    before, _ = readers.run(options.before)
    what = "large" if mode == "-X" else "slow"
    urls = [f"{gate.url}/buckets/{setting.BUCKET}/{what}", f"{gate.s3_url}/{setting.BUCKET}/{what}"]
    attackers = [attack(mode, url, options) for url in urls]
    try:
        time.sleep(5)  # until they have come
        held = gate.metrics().sum("tidegate_connections")
        during, failed = readers.run(options.seconds - 10)
        memory = resident(gate)
    finally:
        for attacker in attackers:
            attacker.terminate()
            attacker.wait(20)
    was, now = percentile(before, 0.99), percentile(during, 0.99)
    medians = f"{percentile(before, 0.5):.1f} | {percentile(during, 0.5):.1f}"
    print(
        f"| {name} | {held:.0f} | {medians} | {was:.1f} | {now:.1f} | {now / was:.2f} "
        f"| {len(failed)} of {len(during)} | {memory:.0f} |",
        flush=True,
    )


def resident(gate: Tidegate) -> float:
    """MiB."""
    status = Path(f"/proc/{gate.pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024


def main() -> None:
    """Starts all, measures, ends all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1000, help="of slowhttptest, to each front (1000)")
    parser.add_argument("--seconds", type=int, default=60, help="of each mode (60)")
    parser.add_argument("--before", type=float, default=20, help="seconds without it before each (20)")
    options = parser.parse_args()
    if not installed("slowhttptest"):
        sys.exit(1)
    with setting.start("slow", maxMB=4) as servers:
        servers.write(LARGE, Encryption.NONE)
        for name, content in (("small", SMALL), ("large", LARGE)):
            servers.front.s3.put(setting.BUCKET, name, content)
        print("| | connections | median before, ms | during | p99 before, ms | during | times | failed | MiB |")
        print("|---|---|---|---|---|---|---|---|---|")
        for name, mode in (("slow headers", "-H"), ("slow bodies", "-B"), ("slow reading", "-X")):
            gate = servers.tidegate(name=f"slow{mode}", s3={"gateway": [servers.front.gateway.url]})
            try:
                measure(gate, name, mode, options)
            finally:
                gate.stop()


if __name__ == "__main__":
    main()
