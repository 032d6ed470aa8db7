#!/usr/bin/env python3
"""Processor time for a byte at every stop of its way: volume server, tidegate, and HAProxy in front as deploy/haproxy has it.

Whole downloads by curl, one after the other, with and without HAProxy in turns. What is counted is the time of each process,
user and system, from `/proc`. Needs haproxy and curl.

    TIDEGATE_BIN=target/release/tidegate .venv/bin/python benches/balancer.py
"""

import argparse
import statistics
import sys

import setting
from forward import MIB, Way, processor_time
from harness import Encryption, Payload, Process, request
from harness.balancers import HAProxy
from harness.scratch import installed


def main() -> int:
    """Starts all, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="MiB of the object (256)")
    parser.add_argument("--times", type=int, default=4, help="downloads of each in a round (4)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, the median counts (5)")
    options = parser.parse_args()
    if not installed("haproxy", "curl"):
        return 2
    with setting.start("balancer", maxMB=4) as servers:
        content = Payload("balancer", options.size * MIB).bytes()
        servers.write(content, Encryption.SSE_C)
        gate = servers.tidegate(log={"level": "warn"})
        balancer = HAProxy(servers.root / "haproxy", [gate] * 3)
        balancer.start()
        (volume,) = servers.cluster.volumes
        url, key = servers.at(gate, Encryption.SSE_C), setting.KEY.headers()
        ways = [
            Way("tidegate", url, gate, [volume], key),
            Way("HAProxy, tidegate", url.replace(gate.url, balancer.url), balancer, [gate, volume], key),
        ]
        for way in ways:
            balancer.wait_ready(lambda way=way: request("GET", way.url, key, timeout=60).body == content)
        spent: dict[tuple[str, str], list[float]] = {}
        for _ in range(options.rounds):
            for way in ways:
                measure(way, options.times, len(content), spent)
        print(f"\n{options.size} MiB SSE-C, median of {options.rounds} rounds of {options.times} downloads in turns, s/GB\n")
        print("| | HAProxy | tidegate | volume server | MB/s |\n|---|---|---|---|---|")
        for way in ways:
            cells = [spent.get((way.name, name)) for name in ("haproxy", "tidegate", volume.name)]
            middles = [f"{statistics.median(cell):.3f}" if cell else "" for cell in cells]
            print(f"| {way.name} | " + " | ".join(middles) + f" | {statistics.median(way.rates):.0f} |")
    return 0


def measure(way: Way, times: int, size: int, spent: dict[tuple[str, str], list[float]]) -> None:
    """One round of a way, with the time of each process on it."""

    def of(process: Process) -> float:
        return sum(processor_time(process))

    processes = [way.own, *way.behind]
    before = [of(process) for process in processes]
    way.download(times, size)
    for process, then in zip(processes, before, strict=True):
        spent.setdefault((way.name, process.name), []).append((of(process) - then) / (times * size / 1e9))


if __name__ == "__main__":
    sys.exit(main())
