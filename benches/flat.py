#!/usr/bin/env python3
"""Does a byte cost the same whatever the object is made of, and however many are read at once?

tidegate's processor time for each GB of whole downloads by curl: of objects of 1 MiB to some GiB, in chunks of 64 KiB to 64
MiB, and of 8 to 64 at a time, each beside one download after the other of 256 MiB in chunks of 4 MiB. Wanted is 1.25 of that
at most. Plain, but for those lines that say SSE-C. Needs curl.

    TIDEGATE_BIN=target/release/tidegate .venv/bin/python benches/flat.py
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import setting
from contenders import processor_time
from crumbs import repeat_chunk
from curl import arguments
from harness import Encryption, Front, Payload, Tidegate, request
from harness.s3 import sse_arguments
from harness.scratch import installed

MIB = 1 << 20
STEADY = 256
"""MiB of the object that the others are compared with, and of all but those of other sizes."""
SIZES = (1, 16)
CHUNKS = (1, 16, 64)
CRUMB = 64 << 10
AT_ONCE = (8, 20, 64)
CROWD = 64
"""MiB of what many read at a time."""


@dataclass
class Line:
    """One kind of download. `turn` is how many of them are a turn."""

    name: str
    gate: Tidegate
    url: str
    size: int
    turn: int
    headers: Mapping[str, str] = field(default_factory=dict)
    at_once: int = 1
    costs: list[float] = field(default_factory=list)
    fetches: list[float] = field(default_factory=list)

    def take_turn(self) -> None:
        """Downloads, and notes seconds of processor for each GB, and MiB for each fetch."""
        before = self._figures()
        self._download()
        cpu, got, fetches = (now - then for now, then in zip(self._figures(), before, strict=True))
        wanted = self.size * self.turn
        if not wanted <= got <= 1.01 * wanted:
            raise RuntimeError(f"{self.name}: {got:.0f} bytes were fetched for {wanted}")
        self.costs.append(cpu / wanted * 1e9)
        self.fetches.append(got / fetches / MIB)

    def _figures(self) -> tuple[float, float, float]:
        metrics = self.gate.metrics()
        fetched, fetches = (metrics.sum(name) for name in ("tidegate_fetch_bytes_total", "tidegate_fetches_total"))
        return processor_time(self.gate), fetched, fetches

    def _download(self) -> None:
        headers = arguments(self.headers)
        if self.at_once > 1:
            argv = ["xargs", "-P", str(self.at_once), "-I", "{}", "curl", "-sSf", "-o", "/dev/null", *headers, self.url]
            subprocess.run(argv, input="\n".join(map(str, range(self.turn))), text=True, check=True)
            return
        # One connection, so that those of a small object are not all beginnings.
        each = f'url = "{self.url}"\noutput = "/dev/null"\n' * self.turn
        subprocess.run(["curl", "-sSf", *headers, "-K", "-"], input=each, text=True, check=True)


def main() -> int:
    """Starts all, measures, prints."""
    options = parse()
    if not installed("curl"):
        return 2
    with setting.start("flat", maxMB=4) as servers:
        lines = [*sizes(servers, options), *chunks(servers), *crowds(servers)]
        lines = [line for line in lines if options.only in line.name or line.name.startswith(f"{STEADY} MiB")]
        for line in lines:
            line.take_turn()
            line.costs.clear(), line.fetches.clear()
        for _ in range(options.rounds):
            for line in lines:
                line.take_turn()
        print_table(lines, options)
    return 0


def started(servers: setting.Setting, front: Front, name: str) -> Tidegate:
    return servers.tidegate(name, front, cache={"chunks": "off"}, log={"level": "warn"})


def put(front: Front, name: str, size: int, encryption: Encryption = Encryption.NONE) -> None:
    """An object by S3."""
    arguments = sse_arguments(encryption, customer_key=setting.KEY)
    front.s3.put(setting.BUCKET, name, Payload(name, size * MIB).bytes(), **arguments)


def append(front: Front, name: str, piece: bytes, times: int) -> None:
    """A file larger than one request should be."""
    for _ in range(times):
        answer = request("PUT", f"{front.filer_url(setting.BUCKET, name)}?op=append", body=piece, timeout=60)
        if answer.status not in (200, 201):
            raise RuntimeError(f"{name}: {answer.status} {answer.body[:200]!r}")


def sizes(servers: setting.Setting, options: argparse.Namespace) -> list[Line]:
    """Objects of all sizes in chunks of 4 MiB. The first line is what all are compared with."""
    front = servers.front
    front.s3.create_bucket(setting.BUCKET)
    gate = started(servers, front, "sizes")

    def line(size: int, encryption: Encryption) -> Line:
        name = f"{encryption.value}-{size}"
        put(front, name, size, encryption)
        turn = STEADY if size == 1 else max(4 * STEADY // size, 1)
        title, headers = f"{size} MiB", {}
        if encryption is Encryption.SSE_C:
            title, headers = f"{title}, SSE-C", setting.KEY.headers()
        return Line(title, gate, gate.object_url(setting.BUCKET, name), size * MIB, turn, headers)

    plain = [line(size, Encryption.NONE) for size in (STEADY, *SIZES)]
    append(front, "largest", Payload("largest", STEADY * MIB).bytes(), options.largest // STEADY)
    url = gate.object_url(setting.BUCKET, "largest")
    largest = Line(f"{options.largest} MiB", gate, url, options.largest // STEADY * STEADY * MIB, 1)
    return [*plain, largest, *(line(size, Encryption.SSE_C) for size in (STEADY, *SIZES))]


def chunks(servers: setting.Setting) -> list[Line]:
    """The same object in chunks of all sizes."""
    lines = []
    for size in CHUNKS:
        front = servers.cluster.add_front(f"flat-{size}", maxMB=size)
        gate = started(servers, front, f"chunks-{size}")
        front.s3.create_bucket(setting.BUCKET)
        put(front, "chunks", STEADY)
        url = gate.object_url(setting.BUCKET, "chunks")
        lines.append(Line(f"chunks of {size} MiB", gate, url, STEADY * MIB, 4))
    front = servers.front
    gate = started(servers, front, "crumbs")
    front.s3.put(setting.BUCKET, "crumbs", Payload("crumbs", CRUMB).bytes())
    repeat_chunk(front, f"/buckets/{setting.BUCKET}/crumbs", STEADY * MIB // CRUMB)
    url = gate.object_url(setting.BUCKET, "crumbs")
    lines.append(Line("chunks of 64 KiB", gate, url, STEADY * MIB, 4))
    return lines


def crowds(servers: setting.Setting) -> list[Line]:
    """Many at a time."""
    gate = started(servers, servers.front, "crowds")
    put(servers.front, "crowd", CROWD)
    url = gate.object_url(setting.BUCKET, "crowd")
    return [Line(f"{many} at a time, {CROWD} MiB", gate, url, CROWD * MIB, max(AT_ONCE), at_once=many) for many in AT_ONCE]


def print_table(lines: list[Line], options: argparse.Namespace) -> None:
    """Medians, and what each line costs of what the first one of its kind does."""
    print(f"\n{STEADY} MiB in chunks of 4 MiB where nothing else is said, median of {options.rounds} rounds in turns\n")
    print("| | CPU s/GB | of the first | lowest to highest | MiB a fetch |\n|---|---|---|---|---|")
    plain = statistics.median(lines[0].costs)
    encrypted = statistics.median(next(line for line in lines if line.headers).costs)
    for line in lines:
        middle = statistics.median(line.costs)
        of_first = middle / (encrypted if line.headers else plain)
        spread = f"{min(line.costs):.3f} to {max(line.costs):.3f}"
        print(f"| {line.name} | {middle:.3f} | **{of_first:.2f}** | {spread} | {statistics.median(line.fetches):.2f} |")


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=4096, help="MiB of the largest object (4096)")
    parser.add_argument("--only", default="", help="those lines alone in whose names this is, and what they are compared with")
    parser.add_argument("--rounds", type=int, default=3, help="of all lines in turns; the median counts (3)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
