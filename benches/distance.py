#!/usr/bin/env python3
"""Throughput over distance: one object read through tidegate, the filer and the S3 gateway, the volume server far away.

All that passes between a reader and the volume server goes through a delay line (`delay_line.rs`), which holds every
byte back, in both directions. Every round goes through all distances and all readers, so that a busy moment of the
machine meets all of them; the median of the rounds counts. Prints a table of MB/s, and of each against itself without
distance. Then the first downloads of a tidegate that has just begun, beside those after them.
"""

import argparse
import hashlib
import statistics
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import setting
from harness import Encryption, Payload, open_stream
from harness.relay import Behaviour

MIB = 1 << 20


class DelayLine:
    """The relay of `delay_line.rs`, as a process. Takes a relay's place in a cluster."""

    binary: Path
    running: list["DelayLine"] = []

    def __init__(self, listen: tuple[str, int], target: tuple[str, int], _: Behaviour) -> None:
        pair = "{}:{}={}:{}".format(*listen, *target)
        self._process = subprocess.Popen([self.binary, pair], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._expect("ready")
        self.running.append(self)

    def delay(self, milliseconds: float) -> None:
        """Holds every byte back that long from now on."""
        print(milliseconds, file=self._process.stdin, flush=True)
        self._expect("ok")

    def stop(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait(5)

    def _expect(self, word: str) -> None:
        said = self._process.stdout.readline().strip()
        if said != word:
            raise RuntimeError(f"the delay line said {said!r}, not {word!r}")


@dataclass(frozen=True)
class Reader:
    """One way to read the object."""

    name: str
    url: str
    headers: Mapping[str, str]

    def read(self, size: int, digest: "hashlib._Hash | None" = None) -> float:
        """Reads all of it and answers MB/s, the request included."""
        buffer = memoryview(bytearray(MIB))
        begin, received = time.monotonic(), 0
        with open_stream("GET", self.url, self.headers, timeout=300) as response:
            if response.status != 200:
                raise RuntimeError(f"{self.name}: {response.status}")
            while read := response.readinto(buffer):
                received += read
                if digest is not None:
                    digest.update(buffer[:read])
        if received != size:
            raise RuntimeError(f"{self.name}: {received} bytes for {size}")
        return received / (time.monotonic() - begin) / 1e6


def main() -> None:
    """Starts all, measures, prints."""
    options = parse()
    cargo = ["cargo", "build", "--locked", "--release"]
    subprocess.run([*cargo, "-p", "prefetch", "--example", "delay_line"], cwd=setting.REPO, check=True)
    DelayLine.binary = setting.REPO / "target/release/examples/delay_line"
    subprocess.run([DelayLine.binary, "--measure"], check=True)
    behind = {"volume_relay": Behaviour(), "relay": DelayLine}
    with setting.start("distance", cluster=behind, maxMB=options.chunk) as servers:
        measure(servers, options)


def measure(servers: setting.Setting, options: argparse.Namespace) -> None:
    """The table."""
    payload = Payload("distance", options.size * MIB)
    wanted, key = payload.sha256(), setting.KEY.headers()
    servers.write(payload.bytes(), Encryption.NONE, Encryption.SSE_C)
    gate = servers.tidegate()
    readers = [
        Reader("tidegate plain", servers.at(gate, Encryption.NONE), {}),
        Reader("tidegate SSE-C", servers.at(gate, Encryption.SSE_C), key),
        Reader("filer plain", servers.at_filer(Encryption.NONE), {}),
        Reader("gateway SSE-C", servers.at_gateway(Encryption.SSE_C), key),
    ]
    try:
        for reader in readers:
            digest = hashlib.sha256()
            reader.read(payload.size, digest)
            if digest.hexdigest() != wanted:
                raise RuntimeError(f"{reader.name}: wrong bytes")
        print(f"\n{options.size} MiB in chunks of {options.chunk} MiB, SHA-256 checked before the first round")
        rounds = [one_round(readers, payload.size, options.delays) for _ in range(options.rounds)]
    finally:
        gate.stop()
    print_table(readers, options.delays, rounds)
    print_first(servers, payload.size, options)


def print_first(servers: setting.Setting, size: int, options: argparse.Namespace) -> None:
    """The seconds of the first download through a tidegate that knows of no distance, and of those after it."""
    print(f"\nseconds through a tidegate that has just begun, SSE-C, median of {options.begins}\n")
    print("| each way | first | second | third |\n|---|---|---|---|")
    for delay in options.delays:
        for line in DelayLine.running:
            line.delay(delay)
        took: list[list[float]] = []
        for number in range(options.begins):
            gate = servers.tidegate(f"begins-{delay:g}-{number}")
            reader = Reader("tidegate SSE-C", servers.at(gate, Encryption.SSE_C), setting.KEY.headers())
            took.append([size / 1e6 / reader.read(size) for _ in range(3)])
            gate.stop()
        print(f"| {delay:g} ms | " + " | ".join(f"{statistics.median(one):.3f}" for one in zip(*took, strict=True)) + " |")


def one_round(readers: list[Reader], size: int, delays: list[float]) -> list[list[float]]:
    """MB/s of every reader, for every distance."""
    rates = []
    for delay in delays:
        for line in DelayLine.running:
            line.delay(delay)
        rates.append([reader.read(size) for reader in readers])
    return rates


def print_table(readers: list[Reader], delays: list[float], rounds: list[list[list[float]]]) -> None:
    """The rounds as one table: a line for each distance, a column for each reader."""
    print(f"MB/s, median of {len(rounds)} rounds (of the same at {delays[0]:g} ms), slowest to fastest\n")
    print("| each way | " + " | ".join(reader.name for reader in readers) + " |")
    print("|---|" + "---|" * len(readers))
    near: list[float] = []
    for row, delay in enumerate(delays):
        rates = list(zip(*(one[row] for one in rounds), strict=True))
        medians = [statistics.median(of_reader) for of_reader in rates]
        near = near or medians
        cells = [
            f"{median:.0f} ({median / first:.0%}), {min(of_reader):.0f} to {max(of_reader):.0f}"
            for median, first, of_reader in zip(medians, near, rates, strict=True)
        ]
        print(f"| {delay:g} ms | " + " | ".join(cells) + " |")


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256, help="MiB of the object (256)")
    parser.add_argument("--chunk", type=int, default=4, help="MiB of a chunk (4)")
    parser.add_argument("--rounds", type=int, default=9, help="reads of each, the median counts (9)")
    parser.add_argument("--begins", type=int, default=3, help="tidegates that have just begun, the median counts (3)")
    parser.add_argument("--delays", type=float, nargs="+", default=[0, 5, 20, 50], help="ms each way, the nearest first")
    return parser.parse_args()


if __name__ == "__main__":
    main()
