#!/usr/bin/env python3
"""Does a byte cost more where many read at once? 20, 60 and 200 whole downloads at a time, of a plain object of 64 MiB.

All of them read as fast as they can, 200 downloads in all for each line of the table, so that the more there are, the
smaller is the part of `prefetch.memory` that each has. Prints bytes per fetch and tidegate's processor time for each GB.
"""

import argparse
import subprocess
import sys
import time

import setting
from harness import Encryption, Payload, Tidegate

MIB = 1 << 20
AT_ONCE = (20, 60, 200)


def download(url: str, at_once: int, total: int) -> float:
    """Downloads `total` times, so many at once; the seconds that it took. Raises when one was not whole."""
    begin = time.monotonic()
    argv = ["xargs", "-P", str(at_once), "-I", "{}", "curl", "-sSf", "-o", "/dev/null", url]
    subprocess.run(argv, input="\n".join(map(str, range(total))), text=True, check=True)
    return time.monotonic() - begin


def figures(gate: Tidegate) -> tuple[float, float, float]:
    """Bytes fetched, fetches, and processor seconds until now."""
    metrics = gate.metrics()
    names = ("tidegate_fetch_bytes_total", "tidegate_fetches_total", "process_cpu_seconds_total")
    return tuple(metrics.sum(name) for name in names)  # type: ignore[return-value]


def main() -> None:
    """Starts all, measures, ends all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64, help="MiB of the object (64)")
    parser.add_argument("--downloads", type=int, default=200, help="for each line (200)")
    parser.add_argument("--memory", default="256MiB", help="prefetch.memory (256MiB)")
    parser.add_argument("--rounds", type=int, default=3, help="of all lines in turns; the median counts (3)")
    options = parser.parse_args()
    with setting.start("many", maxMB=4) as servers:
        servers.write(Payload("many", options.size * MIB).bytes(), Encryption.NONE)
        gate = servers.tidegate(prefetch={"memory": options.memory}, log={"level": "warn"})
        url = servers.at(gate, Encryption.NONE)
        download(url, 4, 8)
        seen: dict[int, list[tuple[float, ...]]] = {at_once: [] for at_once in AT_ONCE}
        for _ in range(options.rounds):
            for at_once in AT_ONCE:
                before = figures(gate)
                seconds = download(url, at_once, options.downloads)
                got, fetches, cpu = (now - then for now, then in zip(figures(gate), before, strict=True))
                seen[at_once].append((cpu / got * 1e9, got / fetches / MIB, got / seconds / 1e6))
        gate.stop()
    print(f"{options.downloads} downloads of {options.size} MiB, prefetch.memory {options.memory}, median of {options.rounds}\n")
    print(f"{'at once':>8}{'CPU s/GB':>10}{'of first':>10}{'MiB a fetch':>13}{'MB/s':>8}   CPU of the rounds")
    first = None
    for at_once, rounds in seen.items():
        cpu, fetch, pace = sorted(rounds)[len(rounds) // 2]
        first = first or cpu
        each = ", ".join(f"{one[0]:.2f}" for one in rounds)
        print(f"{at_once:8}{cpu:10.2f}{cpu / first:10.0%}{fetch:13.2f}{pace:8.0f}   {each}")


if __name__ == "__main__":
    sys.exit(main())
