#!/usr/bin/env python3
"""The same work against everybody who could stand in tidegate's place, in turns in one run, and docs/benchmarks.md of it.

Whole downloads, 64 KiB ranges and 4 KiB objects: from the filer, from the S3 gateway, through nginx (as it comes, and with
buffers of 256 KiB), HAProxy and a bare relay before the filer, and from tidegate, plain and with every encryption; with
the processor time of each process in between. Then whole downloads with the volume server far away. Writes
docs/benchmarks.md and the plots in docs/benchmarks/. Needs nginx, haproxy, wrk and curl, and the examples bare_relay and
delay_line of crates/prefetch.

    make bench          # some 12 minutes
    make bench-quick    # some two
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import setting
from contenders import NGINX_TUNED, Contender, start
from distance import DelayLine, Reader, one_round
from harness import Encryption, Kms, request
from harness.relay import Behaviour
from harness.scratch import installed, scratch
from page import Far, Machine, write_page
from s3 import LARGE, MIB, RANGE, RANGED, RANGES_AT_ONCE, SMALL, SMALL_AT_ONCE, write

PRESETS = {
    "bench": {"size": 256, "far_size": 256, "rounds": 7, "times": 3, "seconds": 3},
    "bench-quick": {"size": 128, "far_size": 64, "rounds": 3, "times": 2, "seconds": 1},
}
DELAYS = [0.0, 20.0, 50.0]


def main() -> int:
    """Starts all, measures, writes."""
    options = parse()
    if not installed("nginx", "haproxy", "wrk", "curl"):
        return 2
    for program in ("bare_relay", "delay_line"):
        if not (options.programs / program).exists():
            print(f"no {program} in {options.programs}: make bench builds it", file=sys.stderr)
            return 2
    DelayLine.binary = options.programs / "delay_line"
    machine, begin = Machine.now(), time.monotonic()
    with started_kms() as kms:
        contenders = near(kms, options)
    with started_kms() as kms:
        distance = far(kms, options)
    write_page(options, machine, time.monotonic() - begin, contenders, distance)
    return 0


@contextmanager
def started_kms() -> Iterator[Kms]:
    """A KMS for one setting: it ends with the setting, as all that was started does."""
    with scratch("bench-kms") as root:
        kms = Kms(root)
        kms.start()
        yield kms


def near(kms: Kms, options: argparse.Namespace) -> list[Contender]:
    """Everybody's turns with the volume server on this machine."""
    with setting.start("bench-near", cluster={"kms": kms}, maxMB=4) as servers:
        write(servers, kms, options)
        contenders, cached = start(servers, options.programs / "bare_relay")
        small = [*contenders, cached]
        size, script = options.size * MIB, servers.root / "ranged.lua"
        script.write_text(RANGED.format(step=RANGE, last=size // RANGE - 1))
        check(small)
        for _ in range(options.rounds):
            for one in contenders:
                one.whole("whole", LARGE, options.times, size)
        say("whole downloads measured")
        for _ in range(options.rounds):
            for one in contenders:
                one.many("ranges", LARGE, RANGES_AT_ONCE, options.seconds, script)
        say("ranges measured")
        for _ in range(options.rounds):
            for one in small:
                one.many("small", SMALL, SMALL_AT_ONCE, options.seconds, None)
        say("small objects measured")
        return small


def check(contenders: list[Contender]) -> None:
    """Everybody gives the same bytes, and has once been asked before the first turn."""
    for prefix in (LARGE, SMALL):
        bodies = set()
        for one in contenders:
            answer = request("GET", one.url(prefix), one.headers, timeout=60)
            if answer.status != 200:
                raise RuntimeError(f"{one.name}, {prefix}: {answer.status}")
            bodies.add(hash(answer.body))
        if len(bodies) != 1:
            raise RuntimeError(f"{prefix}: not everybody gives the same bytes")


def far(kms: Kms, options: argparse.Namespace) -> Far:
    """MB/s of whole downloads with the volume server behind a delay line."""
    behind = {"volume_relay": Behaviour(), "relay": DelayLine, "kms": kms}
    with setting.start("bench-far", cluster=behind, maxMB=4) as servers:
        write(servers, kms, argparse.Namespace(size=options.far_size))
        everybody, _ = start(servers, options.programs / "bare_relay")
        names = {"filer", NGINX_TUNED, f"S3 gateway, {Encryption.SSE_C.title}"}
        wanted = [one for one in everybody if one.name in names or one.name.startswith("tidegate")]
        readers = [Reader(one.name, one.url(LARGE), one.headers) for one in wanted]
        size = options.far_size * MIB
        for reader in readers:
            reader.read(size)
        rounds = [one_round(readers, size, DELAYS) for _ in range(options.rounds)]
        say("distance measured")
        return Far([reader.name for reader in readers], DELAYS, rounds)


def say(what: str) -> None:
    """Progress, for who waits."""
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def parse() -> argparse.Namespace:
    """The options: those of a preset where they are not given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="as make bench-quick does it")
    parser.add_argument("--size", type=int, help="MiB of the large objects")
    parser.add_argument("--far-size", type=int, help="MiB of those with the volume server far away")
    parser.add_argument("--rounds", type=int, help="of each, the median counts")
    parser.add_argument("--times", type=int, help="whole downloads in a round")
    parser.add_argument("--seconds", type=int, help="of each round of small reads")
    examples = setting.REPO / "target/release/examples"
    parser.add_argument("--programs", type=Path, default=examples, help="where the examples are")
    parser.add_argument("--shared", action="store_true", help="say on the page that the machine had other work")
    parser.add_argument("--docs", type=Path, default=setting.REPO / "docs", help="where the page goes")
    options = parser.parse_args()
    options.preset = "bench-quick" if options.quick else "bench"
    for name, value in PRESETS[options.preset].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


if __name__ == "__main__":
    sys.exit(main())
