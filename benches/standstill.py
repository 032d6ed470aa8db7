#!/usr/bin/env python3
"""One of two replicas stands still: what does the other one give, and how late is the latest read?

20 clients read files of one 64 KiB chunk, one after the other, from two volume servers that have both a copy of each. The
line to each carries so much and no more, so that the figures are the engine's and not the machine's. Then one server is
stopped (SIGSTOP: its connections stand, nothing comes) and goes on five minutes later. Prints what each line gave and
how long reads took, before, meanwhile and afterwards. Every answer is compared; ends with exit code 1 when one was wrong
or failed.
"""

import argparse
import signal
import sys
import time
from dataclasses import dataclass, field

import setting
from harness.readers import Readers, small_files
from harness.relay import Behaviour

SIZE = 64 << 10
FILES = 200
CLIENTS = 20


@dataclass
class Phase:
    """What was seen in one part of the run."""

    name: str
    took: list[float] = field(default_factory=list)
    """Seconds of each read that began in it."""
    given: list[int] = field(default_factory=list)
    """Bytes that came over each line."""
    seconds: float = 0.0

    def row(self) -> str:
        """As a line of the table."""
        took = sorted(self.took)
        rates = "".join(f"{given / self.seconds / 1e6:10.2f}" for given in self.given)
        p50, p99 = (took[len(took) * share // 100] for share in (50, 99))
        reads = len(took) / self.seconds
        return f"{self.name:<22}{self.seconds:6.0f}{reads:10.1f}{rates}{p50:9.3f}{p99:9.3f}{took[-1]:9.3f}"


def watch(readers: Readers, lines: list[Behaviour], name: str, seconds: float) -> Phase:
    """One part of the run."""
    phase = Phase(name)
    before, begin = [line.passed for line in lines], time.monotonic()
    readers.took = phase.took
    time.sleep(seconds)
    phase.given = [line.passed - earlier for line, earlier in zip(lines, before, strict=True)]
    phase.seconds = time.monotonic() - begin
    return phase


def run(servers: setting.Setting, lines: list[Behaviour], options: argparse.Namespace) -> bool:
    """Measures, prints, and answers whether all reads were right."""
    files = small_files(servers.front, "standstill", FILES, SIZE)
    gate = servers.tidegate(cache={"chunks": "off"}, log={"level": "warn"})
    still = servers.cluster.volumes[1]
    for line in lines:
        line.rate = options.rate * 1e6
    readers = Readers(gate, files).start(CLIENTS)
    time.sleep(3)
    phases = [watch(readers, lines, "before", options.beside)]
    still.signal(signal.SIGSTOP)
    try:
        phases.append(watch(readers, lines, "one stands still", options.seconds))
    finally:
        still.signal(signal.SIGCONT)
    # However long it stood still, it is asked again within a minute.
    phases.append(watch(readers, lines, "it goes on: a minute", 60))
    phases.append(watch(readers, lines, "after", options.beside))
    readers.stop()
    metrics = gate.metrics()
    gate.stop()
    print(f"{CLIENTS} clients, {SIZE >> 10} KiB a read, {options.rate:g} MB/s on each line\n")
    print(f"{'':22}{'s':>6}{'reads/s':>10}{'A, MB/s':>10}{'B, MB/s':>10}{'p50, s':>9}{'p99, s':>9}{'latest':>9}")
    for phase in phases:
        print(phase.row())
    before, meanwhile = phases[0], phases[1]
    rates = [phase.given[0] / phase.seconds for phase in (before, meanwhile)]
    print(f"\nthe other one gave {rates[1] / rates[0]:.1%} of what it gave before")
    print(f"set aside {metrics.sum('tidegate_volume_server_ejections_total'):.0f} times; wrong or failed {len(readers.wrong)}")
    for reason in sorted(set(readers.wrong))[:5]:
        print(f"  {reason}")
    return not readers.wrong


def main() -> None:
    """Starts all, measures, ends all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="how long one stands still (300)")
    parser.add_argument("--beside", type=float, default=20, help="how long to measure before and after (20)")
    parser.add_argument("--rate", type=float, default=3, help="MB/s of the line to each server (3)")
    options = parser.parse_args()
    lines = [Behaviour(), Behaviour()]
    cluster = {"volumes": 2, "replication": "010", "volume_relay": lines, "volume_options": {"readMode": "local"}}
    with setting.start("standstill", cluster=cluster, maxMB=4) as servers:
        good = run(servers, lines, options)
    sys.exit(not good)


if __name__ == "__main__":
    main()
