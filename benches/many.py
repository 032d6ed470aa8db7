#!/usr/bin/env python3
"""Does a byte cost more where many read at once? 20, 60 and 200 whole downloads at a time, of a plain object of 64 MiB.

All of them read as fast as they can, 200 downloads in all for each line of the table, by one curl, so that all run at once
on a busy machine, too: the more there are, the smaller is the part of `prefetch.memory` that each has. In turns with nginx,
which forwards the same from the filer with buffers of 256 KiB, 16 for each: what a machine makes of many at once shows there,
too. Prints processor time for each GB, and tidegate's bytes per fetch. Needs nginx and curl.

Where the system lets each connection have much memory (`net.ipv4.tcp_rmem` of 32 MiB), that of 200 connections may be more
than `net.ipv4.tcp_mem`: then they crawl. `unshare -n` gives a network with limits of its own.
"""

import argparse
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

import setting
from contenders import LARGE_BUFFERS, processor_time
from forward import Nginx
from harness import Encryption, Payload, Process, Tidegate
from harness.scratch import installed

MIB = 1 << 20
AT_ONCE = (20, 60, 200)


@dataclass
class Way:
    """One way to the object, and what its turns cost, by how many at once: s/GB, MiB a fetch and MB/s."""

    name: str
    url: str
    process: Process
    turns: dict[int, list[tuple[float, float, float]]] = field(default_factory=dict)

    def take_turn(self, at_once: int, total: int, size: int) -> None:
        """Downloads `total` times, so many at once. Raises when one was not whole."""
        begin, before = time.monotonic(), self._figures()
        argv = ["curl", "-sSf", "--no-progress-meter", "-Z", "--parallel-immediate", "--parallel-max", str(at_once), "-K", "-"]
        subprocess.run(argv, input=f'url = "{self.url}"\noutput = "/dev/null"\n' * total, text=True, check=True)
        seconds = time.monotonic() - begin
        cpu, got, fetches = (now - then for now, then in zip(self._figures(), before, strict=True))
        wanted = total * size
        fetch = got / fetches / MIB if fetches else 0
        self.turns.setdefault(at_once, []).append((cpu / wanted * 1e9, fetch, wanted / seconds / 1e6))

    def _figures(self) -> tuple[float, float, float]:
        """Processor seconds until now, bytes fetched, and fetches."""
        if not isinstance(self.process, Tidegate):
            return processor_time(self.process), 0, 0
        metrics = self.process.metrics()
        fetched, fetches = (metrics.sum(name) for name in ("tidegate_fetch_bytes_total", "tidegate_fetches_total"))
        return processor_time(self.process), fetched, fetches


def main() -> int:
    """Starts all, measures, prints."""
    options = parse()
    if not installed("nginx", "curl"):
        return 2
    size = options.size * MIB
    with setting.start("many", maxMB=4) as servers:
        servers.write(Payload("many", size).bytes(), Encryption.NONE)
        ways = start(servers, options.memory)
        for way in ways:
            way.take_turn(4, 8, size)
            way.turns.clear()
        for _ in range(options.rounds):
            for at_once in AT_ONCE:
                for way in ways:
                    way.take_turn(at_once, options.downloads, size)
    print_table(ways, options)
    return 0


def start(servers: setting.Setting, memories: list[str]) -> list[Way]:
    """nginx, and a tidegate with each of these memories."""
    nginx = Nginx(servers.root, servers.front, "nginx", LARGE_BUFFERS, connections=1024)
    nginx.start()
    path = servers.at_filer(Encryption.NONE).removeprefix(servers.front.filer.url)
    ways = [Way("nginx", nginx.url + path, nginx)]
    for memory in memories:
        gate = servers.tidegate(f"with-{memory}", prefetch={"memory": memory}, log={"level": "warn"})
        ways.append(Way(f"tidegate, {memory}", servers.at(gate, Encryption.NONE), gate))
    return ways


def print_table(ways: list[Way], options: argparse.Namespace) -> None:
    """Medians, and what each costs of what it does where few read at once."""
    print(f"\n{options.downloads} downloads of {options.size} MiB, median of {options.rounds} rounds in turns\n")
    print("| | at once | CPU s/GB | of its first | lowest to highest | MiB a fetch | MB/s |\n|---|---|---|---|---|---|---|")
    for way in ways:
        costs = {at_once: [cpu for cpu, _, _ in turns] for at_once, turns in way.turns.items()}
        first = statistics.median(costs[AT_ONCE[0]])
        for at_once, turns in way.turns.items():
            middle = statistics.median(costs[at_once])
            fetch, pace = (statistics.median(turn[at] for turn in turns) for at in (1, 2))
            spread = f"{min(costs[at_once]):.3f} to {max(costs[at_once]):.3f}"
            fetch = f"{fetch:.2f}" if fetch else ""
            print(f"| {way.name} | {at_once} | {middle:.3f} | **{middle / first:.2f}** | {spread} | {fetch} | {pace:.0f} |")


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64, help="MiB of the object (64)")
    parser.add_argument("--downloads", type=int, default=200, help="for each line (200)")
    parser.add_argument("--memory", nargs="+", default=["256MiB", "64MiB"], help="prefetch.memory, one or more (256MiB 64MiB)")
    parser.add_argument("--rounds", type=int, default=3, help="of all lines in turns; the median counts (3)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
