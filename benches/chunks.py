#!/usr/bin/env python3
"""What kinds of chunks cost the volume server, and how long they take: tidegate beside the filer.

Large chunks, erasure-coded ones, compressed ones, and many files at once with little memory. Whole downloads by curl, in
turns. What is counted is the volume server's time, user and system, from `/proc`, and tidegate's fetches. Needs curl, and
30 GB of free disk for the erasure coding, of which it uses two.

    TIDEGATE_BIN=target/release/tidegate .venv/bin/python benches/chunks.py
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import setting
from forward import processor_time
from harness import Front, Payload, Tidegate, request
from harness.scratch import installed
from harness.weed import WeedServer

MIB = 1 << 20


@dataclass
class Case:
    """Paths that are read at once, through tidegate and from the filer."""

    name: str
    front: Front
    gate: Tidegate
    paths: Sequence[str]
    content: bytes
    seconds: dict[str, list[float]] = field(default_factory=dict)
    spent: dict[str, list[float]] = field(default_factory=dict)
    fetches: list[float] = field(default_factory=list)

    def check(self) -> None:
        """What tidegate gives is what was written."""
        if request("GET", self.gate.url + self.paths[0], timeout=60).body != self.content:
            raise RuntimeError(f"{self.name}: wrong bytes")

    def round(self, volume: WeedServer) -> None:
        """Reads all from both."""
        before = self.gate.metrics().sum("tidegate_fetches_total")
        self.download("tidegate", self.gate.url, volume)
        self.fetches.append(self.gate.metrics().sum("tidegate_fetches_total") - before)
        self.download("filer", self.front.filer.url, volume)

    def download(self, who: str, url: str, volume: WeedServer) -> None:
        """Reads all from one, and notes the seconds passed and the volume server's."""
        begin, before = time.monotonic(), sum(processor_time(volume))
        argv = ["curl", "-sf", "-o", "/dev/null", "-w", "%{size_download}"]
        clients = [subprocess.Popen([*argv, url + path], stdout=subprocess.PIPE, text=True) for path in self.paths]
        said = [client.communicate()[0] for client in clients]
        if who == "tidegate" and set(said) != {str(len(self.content))}:
            raise RuntimeError(f"{self.name}: {said} bytes for {len(self.content)}")
        self.seconds.setdefault(who, []).append(time.monotonic() - begin)
        self.spent.setdefault(who, []).append(sum(processor_time(volume)) - before)

    def row(self) -> str:
        """Medians, and of the filer's."""
        cells = [f"{statistics.median(self.fetches):.0f}"]
        for of in (self.seconds, self.spent):
            ours, filers = statistics.median(of["tidegate"]), statistics.median(of["filer"])
            cells += [f"{ours:.2f}", f"{filers:.2f}", f"**{ours / max(filers, 0.01):.2f}**"]
        return f"| {self.name} | " + " | ".join(cells) + " |"


def words(size: int) -> bytes:
    """Text, no two lines of it alike."""
    line = b"%d: the same words again and again, which compress well.\n"
    return b"".join(line % number for number in range(size // 50))[:size]


def write(front: Front, path: str, content: bytes, collection: str = "", kind: str = "application/x-bench") -> None:
    """Writes a file at the filer."""
    url = front.filer.url + path + (f"?collection={collection}" if collection else "")
    if request("PUT", url, {"Content-Type": kind}, content, timeout=120).status != 201:
        raise RuntimeError(f"{path} could not be written")


def main() -> int:
    """Starts all, measures, prints."""
    options = parse()
    if not installed("curl"):
        return 2
    with setting.start("chunks", maxMB=32) as servers:
        volume, cases = servers.cluster.volumes[0], prepared(servers, options.size * 1000 * 1000)
        for case in cases:
            case.check()
        for _ in range(options.rounds):
            for case in cases:
                case.round(volume)
    print(f"\n{options.size} MB, median of {options.rounds} rounds in turns\n")
    print("| | fetches | s, tidegate | filer | of the filer | volume server's s, tidegate | filer | of the filer |")
    print("|---|---|---|---|---|---|---|---|")
    for case in cases:
        print(case.row())
    return 0


def prepared(servers: setting.Setting, size: int) -> list[Case]:
    """All files, written."""
    fronts = {32: servers.front, **{mib: servers.cluster.add_front(f"{mib}mb", maxMB=mib) for mib in (8, 4)}}
    gates = {mib: servers.tidegate(f"tidegate-{mib}", front=front) for mib, front in fronts.items()}
    little = servers.tidegate("little", front=fronts[4], prefetch={"memory": "32MiB"})
    content, text, small = Payload("chunks", size).bytes(), words(size), words(32 * MIB)
    noise = content[: 32 * MIB]
    write(fronts[32], "/coded", content, "coded")
    servers.erasure_code("coded")
    for mib in (32, 8, 4):
        write(fronts[mib], "/plain", content)
    write(fronts[32], "/text.txt", text, kind="text/plain")
    many = [f"/many/{number}" for number in range(16)]
    for path in many:
        write(fronts[4], f"{path}.txt", small, kind="text/plain")
        write(fronts[4], path, noise)
    return [
        Case("erasure-coded, 32 MiB", fronts[32], gates[32], ["/coded"], content),
        Case("text, 32 MiB", fronts[32], gates[32], ["/text.txt"], text),
        *[Case(f"plain, {mib} MiB", fronts[mib], gates[mib], ["/plain"], content) for mib in (32, 8, 4)],
        Case("16 texts of 8 x 4 MiB, memory 32 MiB", fronts[4], little, [f"{path}.txt" for path in many], small),
        Case("16 files of 8 x 4 MiB, memory 32 MiB", fronts[4], little, many, noise),
    ]


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=255, help="MB of a file (255)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, the median counts (5)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
