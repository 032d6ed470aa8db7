#!/usr/bin/env python3
"""slowhttptest against tidegate, and against nginx before the same filer: what do other clients notice?

Slow headers, slow bodies and slow reading for a minute each (`slowhttptest -H`, `-B`, `-X`), from one address, two of them at
the same time: one for each front of tidegate, both for nginx. Meanwhile clients of other addresses read a small object, half of
them by either front, each on a connection of its own that it keeps, and each answer is compared. Prints their median and 99th
percentile, before and during, and the server's memory. Of the processors, what the server, the two slowhttptest and the
SeaweedFS behind it took. Needs slowhttptest and nginx.

slowhttptest asks the system without a pause whether there is something to read, and took more than one of two processors for it.
Whoever attacks does so from another machine: so it has here what nobody else wants, and of that a tenth of a processor for each
of the two (`--share`): they run for a millisecond out of ten.
"""

import argparse
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import setting
from contenders import processor_time
from forward import Nginx
from harness import Encryption, Payload, Process
from harness.scratch import installed

KIB, MIB = 1 << 10, 1 << 20
SMALL, LARGE = Payload("small", 16 * KIB).bytes(), Payload("large", 16 * MIB).bytes()
READERS = 4
TURN = 0.01
"""Seconds in which slowhttptest runs and rests once."""
PAUSE = 0.02
"""Seconds between two requests of a reader: they ask for what two cores can give, with room to spare."""


@dataclass
class Contender:
    """Who is attacked, and where it has the bucket: one URL for each slowhttptest."""

    name: str
    process: Process
    fronts: tuple[str, str]


@dataclass
class Readers:
    """Well-behaved clients: half of them at each front."""

    fronts: tuple[str, str]
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
        parts = urlsplit(self.fronts[at % 2])
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
    attacker = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.sched_setscheduler(attacker.pid, os.SCHED_IDLE, os.sched_param(0))
    threading.Thread(target=hold, args=(attacker, options.share), daemon=True).start()
    return attacker


def hold(attacker: subprocess.Popen[bytes], share: float) -> None:
    """Lets it run for that share of the time, until it ends."""
    while share < 1 and attacker.poll() is None:
        time.sleep(share * TURN)
        attacker.send_signal(signal.SIGSTOP)
        time.sleep((1 - share) * TURN)
        attacker.send_signal(signal.SIGCONT)


def percentile(ordered: list[float], part: float) -> float:
    """Milliseconds."""
    return 1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def measure(contender: Contender, behind: list[Process], name: str, mode: str, options: argparse.Namespace) -> None:
    """One mode, before and during."""
    readers = Readers(contender.fronts)
    before, _ = readers.run(options.before)
    what = "large" if mode == "-X" else "slow"
    attackers = [attack(mode, f"{front}/{what}", options) for front in contender.fronts]
    try:
        time.sleep(5)  # until they have come
        spent = Spent(contender.process, behind, attackers)
        during, failed = readers.run(options.seconds - 10)
        processors, memory = spent.shares(), resident(contender.process)
    finally:
        for attacker in attackers:
            attacker.terminate()
            attacker.wait(20)
    was, now = percentile(before, 0.99), percentile(during, 0.99)
    medians = f"{percentile(before, 0.5):.1f} | {percentile(during, 0.5):.1f}"
    print(
        f"| {name} | {contender.name} | {medians} | {was:.1f} | {now:.1f} | {now / was:.2f} "
        f"| {len(failed)} of {len(during)} | {memory:.0f} | {processors} |",
        flush=True,
    )


class Spent:
    """What of the processors was spent from now on, and by whom."""

    def __init__(self, server: Process, behind: list[Process], attackers: list[subprocess.Popen[bytes]]) -> None:
        self._of = [server], attackers, behind
        self._begun, self._before = time.monotonic(), self._now()

    def _now(self) -> list[float]:
        return [sum(processor_time(process) for process in processes) for processes in self._of]

    def shares(self) -> str:
        """Processors of the server, of slowhttptest and of what is behind the server, on average."""
        took = time.monotonic() - self._begun
        return " | ".join(f"{(now - before) / took:.2f}" for before, now in zip(self._before, self._now(), strict=True))


def resident(process: Process) -> float:
    """MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024


def main() -> None:
    """Starts all, measures, ends all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1000, help="of slowhttptest, to each front (1000)")
    parser.add_argument("--seconds", type=int, default=60, help="of each mode (60)")
    parser.add_argument("--before", type=float, default=20, help="seconds without it before each (20)")
    parser.add_argument("--share", type=float, default=0.1, help="of a processor for each slowhttptest; 1: all that nobody wants (0.1)")
    parser.add_argument("--modes", default="HBX", help="of slowhttptest (HBX)")
    options = parser.parse_args()
    if not installed("slowhttptest", "nginx"):
        sys.exit(1)
    with setting.start("slow", maxMB=4) as servers:
        servers.write(LARGE, Encryption.NONE)
        for name, content in (("small", SMALL), ("large", LARGE)):
            servers.front.s3.put(setting.BUCKET, name, content)
        columns = ["", "", "median before, ms", "during", "p99 before, ms", "during", "times", "failed", "MiB", "processors"]
        print(f"| {' | '.join([*columns, 'slowhttptest', 'behind'])} |\n|{'---|' * 12}")
        for name, mode in MODES.items():
            if mode.strip("-") in options.modes:
                for contender in contenders(servers, mode):
                    try:
                        measure(contender, behind(servers), name, mode, options)
                    finally:
                        contender.process.stop()


MODES = {"slow headers": "-H", "slow bodies": "-B", "slow reading": "-X"}


def contenders(servers: setting.Setting, mode: str) -> Iterator[Contender]:
    """One after the other, each started when its turn comes."""
    gate = servers.tidegate(name=f"slow{mode}", s3={"gateway": [servers.front.gateway.url]})
    bucket = f"/buckets/{setting.BUCKET}"
    yield Contender("tidegate", gate, (f"{gate.s3_url}/{setting.BUCKET}", gate.url + bucket))
    nginx = Nginx(servers.root, servers.front, f"nginx{mode}", "", connections=10000)
    nginx.start()
    yield Contender("nginx", nginx, (nginx.url + bucket, nginx.url + bucket))


def behind(servers: setting.Setting) -> list[Process]:
    """The processes of SeaweedFS."""
    return [servers.front.filer, servers.front.gateway, *servers.cluster.volumes]


if __name__ == "__main__":
    main()
