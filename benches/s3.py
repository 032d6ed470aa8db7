#!/usr/bin/env python3
"""Reads by S3: through tidegate's S3 front, whose every read the gateway decides about, and from the gateway itself.

Everything is asked for by presigned URLs, so that a decision costs a signature. All in turns in one run: whole objects of every
encryption, 64 KiB ranges, 4 KiB objects; whole ones also in a second cluster, whose volume server is `--far` away. With the
processor time: of whole objects that of all processes between client and volume server, of small reads each
process's own for one request, for where they add up to all the machine has, only less work would make them faster. Needs wrk.

    TIDEGATE_BIN=target/release/tidegate .venv/bin/python benches/s3.py
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import setting
from contenders import processor_time
from distance import DelayLine, Reader
from harness import Encryption, Kms, Payload, Process, Tidegate, request
from harness.relay import Behaviour
from harness.s3 import sse_arguments
from harness.scratch import installed, scratch
from harness.signed import Signer
from wrk import requests_per_second

MIB = 1 << 20
SMALL, LARGE = "small", "large"
RANGE, RANGES_AT_ONCE = 64 << 10, 8
SMALL_SIZE, SMALL_AT_ONCE = 4 << 10, 16
RANGED = """
math.randomseed(7)
request = function()
  local first = math.random(0, {last}) * {step}
  wrk.headers["Range"] = "bytes=" .. first .. "-" .. (first + {step} - 1)
  return wrk.format("GET")
end
"""


@dataclass(frozen=True)
class Side:
    """Who is asked, and whose time it takes."""

    name: str
    base: str
    processes: list[Process]

    def url(self, key: str, headers: Mapping[str, str]) -> str:
        """A presigned URL of an object, for requests with these headers."""
        return Signer().url("GET", f"{self.base}/{setting.BUCKET}/{key}", headers, expires=7200)

    def seconds(self) -> float:
        """Processor time until now."""
        return sum(map(processor_time, self.processes))


@dataclass(frozen=True)
class World:
    """A cluster with its gateway, and a tidegate before that."""

    servers: setting.Setting
    gate: Tidegate

    @property
    def sides(self) -> list[Side]:
        """Both ways to an object."""
        gateway = self.servers.front.gateway
        return [Side("tidegate", self.gate.s3_url, [self.gate, gateway]), Side("gateway", gateway.url, [gateway])]

    @property
    def processes(self) -> dict[str, list[Process]]:
        """All that a read may take time of, but the client and a delay line."""
        front, cluster = self.servers.front, self.servers.cluster
        return {"tidegate": [self.gate], "gateway": [front.gateway], "filer": [front.filer], "volume": cluster.volumes}


@contextmanager
def world(name: str, kms: Kms, **cluster: object) -> Iterator[World]:
    """One of its own."""
    with setting.start(name, cluster={"kms": kms, **cluster}, maxMB=4) as servers:
        s3 = {"gateway": [servers.front.gateway.url]}
        yield World(servers, servers.tidegate(s3=s3, log={"level": "warn"}))


def key_headers(encryption: Encryption) -> dict[str, str]:
    """What must come with the request."""
    return setting.KEY.headers() if encryption is Encryption.SSE_C else {}


def whole(sides: list[Side], size: int, rounds: int) -> None:
    """MB/s and processor time of whole downloads."""
    titles = "".join(f"{side.name + ' MB/s':>18}{'CPU s/GB':>10}" for side in sides)
    print(f"\n{'':10}{titles}{'x':>8}{'CPU x':>8}")
    for encryption in Encryption:
        headers = key_headers(encryption)
        rates: dict[str, list[float]] = {side.name: [] for side in sides}
        times: dict[str, list[float]] = {side.name: [] for side in sides}
        for _ in range(rounds):
            for side in sides:
                reader = Reader(side.name, side.url(f"{LARGE}/{encryption.value}", headers), headers)
                before = side.seconds()
                rates[side.name].append(reader.read(size))
                times[side.name].append((side.seconds() - before) / (size / 1e9))
        pace = {name: statistics.median(each) for name, each in rates.items()}
        cost = {name: statistics.median(each) for name, each in times.items()}
        mine, theirs = (side.name for side in sides)
        cells = "".join(f"{pace[side.name]:18.0f}{cost[side.name]:10.2f}" for side in sides)
        print(f"{encryption.title:10}{cells}{pace[mine] / pace[theirs]:8.1f}{cost[mine] / cost[theirs]:8.2f}")


def many(
    world: World, what: str, prefix: str, at_once: int, options: argparse.Namespace, script: Path | None = None
) -> None:
    """Requests per second of small reads, and of the gateway when it decides and sends nothing: no front can give more."""
    sides = world.sides
    print(f"\n{what}, {at_once} connections, requests/s; in brackets microseconds of processor time for one")
    for encryption in Encryption:
        headers = key_headers(encryption)
        rates: dict[str, list[float]] = {side.name: [] for side in sides}
        costs: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides}
        decisions: list[float] = []
        for _ in range(options.rounds):
            for side in sides:
                url = side.url(f"{prefix}/{encryption.value}", headers)
                before = spent(world)
                rate = requests_per_second(url, headers, at_once, options.seconds, script)
                after = spent(world)
                rates[side.name].append(rate)
                answers = rate * options.seconds
                costs[side.name].append({name: (after[name] - before[name]) / answers for name in after})
            deciding = {**headers, "If-None-Match": "*"}
            url = sides[-1].url(f"{prefix}/{encryption.value}", headers)
            decisions.append(requests_per_second(url, deciding, at_once, options.seconds, None))
        rate = {name: statistics.median(each) for name, each in rates.items()}
        mine, theirs = (side.name for side in sides)
        cells = "".join(f"{rate[side.name]:9,.0f} {side.name} ({shares(costs[side.name])})" for side in sides)
        ratio = rate[mine] / rate[theirs]
        print(f"{encryption.title:8}{cells}{ratio:6.1f} x{statistics.median(decisions):8,.0f} decisions")


def spent(world: World) -> dict[str, float]:
    """Seconds of processor time until now, by process; the client's under its own name."""
    client = os.times()
    named = {name: sum(map(processor_time, processes)) for name, processes in world.processes.items()}
    return {**named, "client": client.children_user + client.children_system}


def shares(costs: list[dict[str, float]]) -> str:
    """Medians in microseconds, without those that take nothing."""
    medians = {name: statistics.median(cost[name] for cost in costs) * 1e6 for name in costs[0]}
    return ", ".join(f"{name} {time:.0f}" for name, time in medians.items() if time >= 1)


def write(servers: setting.Setting, kms: Kms, options: argparse.Namespace) -> None:
    """The objects, of each encryption one."""
    servers.front.s3.create_bucket(setting.BUCKET)
    for prefix, size in ((LARGE, options.size * MIB), (SMALL, SMALL_SIZE)):
        content = Payload(prefix, size).bytes()
        for encryption in Encryption:
            sse = sse_arguments(encryption, customer_key=setting.KEY, kms_key_id=kms.key_id)
            servers.front.s3.put(setting.BUCKET, f"{prefix}/{encryption.value}", content, **sse)


def check(sides: list[Side], gate: Tidegate) -> None:
    """Both sides give the objects, and tidegate serves what it is to serve."""
    for prefix in (LARGE, SMALL):
        for encryption in Encryption:
            headers = key_headers(encryption)
            answers = [request("GET", side.url(f"{prefix}/{encryption.value}", headers), headers) for side in sides]
            if {answer.status for answer in answers} != {200} or answers[0].body != answers[1].body:
                raise RuntimeError(f"{prefix} {encryption.title}: {[answer.status for answer in answers]}")
    served, relayed = (gate.metrics().sum(f"tidegate_s3_{what}_total") for what in ("served", "relayed"))
    print(f"{served:.0f} of 8 kinds are served here, {relayed:.0f} relayed (plain and small)")


def main() -> int:
    """Starts all, measures, prints."""
    options = parse()
    if not installed("wrk"):
        return 2
    build = ["cargo", "build", "--locked", "--release", "-p", "prefetch", "--example", "delay_line"]
    subprocess.run(build, cwd=setting.REPO, check=True)
    DelayLine.binary = setting.REPO / "target/release/examples/delay_line"
    with scratch("s3-kms") as root:
        kms = Kms(root)
        kms.start()
        ranged = root / "ranged.lua"
        ranged.write_text(RANGED.format(step=RANGE, last=options.size * MIB // RANGE - 1))
        with world("s3", kms) as near:
            write(near.servers, kms, options)
            check(near.sides, near.gate)
            print(f"\nWhole objects of {options.size} MiB, median of {options.rounds} rounds in turns")
            whole(near.sides, options.size * MIB, options.rounds)
            many(near, "Ranges of 64 KiB", LARGE, RANGES_AT_ONCE, options, ranged)
            many(near, "Objects of 4 KiB", SMALL, SMALL_AT_ONCE, options)
            asked = near.gate.metrics().sum("tidegate_kms_requests_total")
            print(f"\nThe KMS was asked {asked:.0f} times by tidegate, for 2 data keys")
        with world("s3-far", kms, volume_relay=Behaviour(), relay=DelayLine) as far:
            write(far.servers, kms, options)
            check(far.sides, far.gate)
            for line in DelayLine.running:
                line.delay(options.far)
            print(f"\nThe same whole, the volume server {options.far:g} ms away each way")
            whole(far.sides, options.size * MIB, options.rounds)
    return 0


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256, help="MiB of the large objects (256)")
    parser.add_argument("--rounds", type=int, default=5, help="of each, the median counts (5)")
    parser.add_argument("--seconds", type=int, default=3, help="of each round of small reads (3)")
    parser.add_argument("--far", type=float, default=20, help="ms to the volume server, each way (20)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
