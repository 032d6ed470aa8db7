"""docs/benchmarks.md and its plots, out of what `all.py` measured."""

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import readme
from contenders import NGINX_TUNED, Contender, Turn
from harness.tidegate import tidegate_binary
from harness.weed import weed_binary
from plot import Group, Plot

FOLDER = "benchmarks"
VERSIONS = {
    "SeaweedFS": [weed_binary, "version"],
    "nginx": ["nginx", "-v"],
    "HAProxy": ["haproxy", "-v"],
    "wrk": ["wrk", "-v"],
    "curl": ["curl", "--version"],
}


@dataclass(frozen=True)
class Far:
    """MB/s over distance: for each round, each delay and each reader."""

    names: list[str]
    delays: list[float]
    rounds: list[list[list[float]]]

    def medians(self) -> list[list[float]]:
        """For each reader, over the delays."""
        places, rows = range(len(self.names)), range(len(self.delays))
        return [[statistics.median(one[row][at] for one in self.rounds) for row in rows] for at in places]


@dataclass(frozen=True)
class Machine:
    """What it was measured on."""

    processor: str
    cores: int
    memory: float
    kernel: str
    load: float
    versions: dict[str, str]

    @classmethod
    def now(cls) -> "Machine":
        """This one, before the run."""
        model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
        versions = {"tidegate": _version([str(tidegate_binary()), "--version"])}
        for name, (program, *arguments) in VERSIONS.items():
            versions[name] = _version([str(program() if callable(program) else program), *arguments])
        name = model[1].strip() if model else platform.machine()
        return cls(name, os.cpu_count() or 1, memory, platform.release(), os.getloadavg()[0], versions)


def _version(argv: list[str]) -> str:
    """The first version that a program says of itself. wrk says it with an exit code of 1."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    found = re.search(r"(?<![\w.])\d+(\.\d+)+[-+.~\w]*", done.stdout + done.stderr)
    return found[0] if found else "?"


def median(one: Contender, work: str, of: Callable[[Turn], float]) -> float:
    """The middle of a contender's turns."""
    return statistics.median(map(of, one.turns[work]))


def write_page(
    options: argparse.Namespace, machine: Machine, seconds: float, contenders: list[Contender], far: Far
) -> None:
    """The page and the plots."""
    folder = options.docs / FOLDER
    folder.mkdir(exist_ok=True)
    for name, plot in plots(contenders, far).items():
        (folder / f"{name}.svg").write_text(plot.svg())
    text = "\n\n".join(
        [
            "# Benchmarks",
            "Written by `benches/all.py`, which [benches/README.md](../benches/README.md) describes: do not edit."
            " `make bench` writes it anew in some 12 minutes, `make bench-quick` in some two. What else was measured is in"
            " [performance.md](performance.md).",
            about(options, machine, seconds),
            *whole(contenders),
            *requests(contenders, "ranges", "Ranges of 64 KiB", "Anywhere in the large object, by wrk, 8 connections."),
            *requests(contenders, "small", "Objects of 4 KiB", "By wrk, 16 connections. Each is one chunk."),
            *distance(far, options),
        ]
    )
    page = options.docs / "benchmarks.md"
    page.write_text(text + "\n")
    readme.write(options.docs)
    print(f"written: {page}", file=sys.stderr)


def about(options: argparse.Namespace, machine: Machine, seconds: float) -> str:
    """With what, on what, how."""
    shared = machine.load > 0.3 * machine.cores or options.shared
    other = (
        f"**The machine was shared with other work** (load {machine.load:.1f} on {machine.cores} cores at the start): ratios"
        " say something, MB/s and requests/s little."
    )
    rows = {
        "processor": f"{machine.processor}, {machine.cores} cores, {machine.memory:.0f} GiB",
        "kernel": f"{platform.system()} {machine.kernel}",
        **machine.versions,
        "load at the start": f"{machine.load:.2f}",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return (
        f"`make {options.preset}`: `--size {options.size} --far-size {options.far_size} --rounds {options.rounds}"
        f" --times {options.times} --seconds {options.seconds}`, {seconds / 60:.0f} min. Everything runs on one machine, over"
        " loopback. In each round everybody has a turn; the median of the rounds counts. nginx (one worker), HAProxy and the"
        " bare relay (`benches/bare_relay.rs`: two threads a connection, `recv` and `send` of up to 256 KiB) forward what the"
        " filer sends of the plain object; nginx is measured as it comes and with"
        " `proxy_buffer_size 256k; proxy_buffers 16 256k; proxy_busy_buffers_size 512k`. tidegate reads from the volume"
        " server, verifies and decrypts, its chunk cache off unless a line says otherwise. Objects are in chunks of 4 MiB."
        " Processor time is user and system, of all threads of a process, by its clock.\n\n"
        + (other if shared else "The machine did nothing else.")
        + f"\n\n| | |\n|---|---|\n{table}"
    )


def whole(contenders: list[Contender]) -> list[str]:
    """Whole downloads."""
    taking = [one for one in contenders if "whole" in one.turns]
    tuned = next(one for one in taking if one.name == NGINX_TUNED)
    rows = [
        "| | s/GB, own | of nginx tuned | slowest to fastest | filer behind it | both | of nginx tuned | volume server"
        " | MB/s | of nginx tuned |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in taking:

        def times(of: Callable[[Turn], float], one: Contender = one) -> str:
            return f"**{median(one, 'whole', of) / median(tuned, 'whole', of):.2f}**"

        def cost(of: Callable[[Turn], float], one: Contender = one) -> str:
            return f"{median(one, 'whole', of):.3f}"

        own = [turn.own for turn in one.turns["whole"]]
        cells = [
            cost(lambda turn: turn.own),
            times(lambda turn: turn.own),
            f"{max(own):.3f} to {min(own):.3f}",
            "" if one.filer is None else cost(lambda turn: turn.filer),
            cost(lambda turn: turn.between),
            times(lambda turn: turn.between),
            cost(lambda turn: turn.volume),
            f"{median(one, 'whole', lambda turn: turn.rate):.0f}",
            times(lambda turn: turn.rate),
        ]
        rows.append(f"| {one.name} | " + " | ".join(cells) + " |")
    return [
        "## Whole downloads",
        "By curl, one after the other. Seconds of processor for each GB: of the process itself, of the filer behind it, and of both."
        " *Of nginx tuned* is a ratio to nginx with buffers of 256 KiB in the same run.",
        f"![Processor time for each GB of whole downloads]({FOLDER}/whole.svg)",
        "\n".join(rows),
    ]


def requests(contenders: list[Contender], work: str, title: str, words: str) -> list[str]:
    """Small reads."""
    taking = [one for one in contenders if work in one.turns]
    tuned = next(one for one in taking if one.name == NGINX_TUNED)
    rows = [
        "| | requests/s | of nginx tuned | slowest to fastest | µs/request, own | of nginx tuned | filer behind it | both"
        " | of nginx tuned | volume server |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in taking:

        def times(of: Callable[[Turn], float], one: Contender = one) -> str:
            return f"**{median(one, work, of) / median(tuned, work, of):.2f}**"

        def cost(of: Callable[[Turn], float], one: Contender = one) -> str:
            return f"{median(one, work, of) * 1e6:.0f}"

        rates = [turn.rate for turn in one.turns[work]]
        cells = [
            f"{statistics.median(rates):,.0f}",
            times(lambda turn: turn.rate),
            f"{min(rates):,.0f} to {max(rates):,.0f}",
            cost(lambda turn: turn.own),
            times(lambda turn: turn.own),
            "" if one.filer is None else cost(lambda turn: turn.filer),
            cost(lambda turn: turn.between),
            times(lambda turn: turn.between),
            cost(lambda turn: turn.volume),
        ]
        rows.append(f"| {one.name} | " + " | ".join(cells) + " |")
    return [f"## {title}", words, f"![{title}: requests per second]({FOLDER}/{work}.svg)", "\n".join(rows)]


def distance(far: Far, options: argparse.Namespace) -> list[str]:
    """Whole downloads from far away."""
    titles = " | ".join(f"{delay:g} ms" for delay in far.delays)
    rows = [f"| MB/s (of its own at {far.delays[0]:g} ms) | {titles} |", "|---|" + "---|" * len(far.delays)]
    for name, rates in zip(far.names, far.medians(), strict=True):
        cells = [f"{rate:.0f} ({rate / rates[0]:.2f})" for rate in rates]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return [
        "## Distance",
        f"Whole downloads of {options.far_size} MiB, the volume server behind a TCP relay (`benches/delay_line.rs`) that holds"
        " every byte back for so long, in both directions: 20 ms make a round trip of 40.",
        f"![Whole downloads over distance]({FOLDER}/distance.svg)",
        "\n".join(rows),
    ]


def plots(contenders: list[Contender], far: Far) -> dict[str, Plot]:
    """By the names of their files."""
    tuned = next(one for one in contenders if one.name == NGINX_TUNED)
    groups = []
    for one in contenders:
        if "whole" in one.turns:
            parts = [median(one, "whole", of) for of in (lambda turn: turn.own, lambda turn: turn.filer)]
            groups.append(Group(one.name, [parts]))
    found = {
        "whole": Plot(
            "Processor time of a whole download, s/GB",
            "Less is better. The dashed line is what nginx with buffers of 256 KiB takes itself.",
            ["itself", "the filer behind it"],
            groups,
            stacked=True,
            digits=3,
            mark=median(tuned, "whole", lambda turn: turn.own),
        )
    }
    for work, title in (("ranges", "Ranges of 64 KiB, 8 connections"), ("small", "Objects of 4 KiB, 16 connections")):
        taking = [one for one in contenders if work in one.turns]
        bars = [Group(one.name, [[median(one, work, lambda turn: turn.rate)]]) for one in taking]
        note = "More is better. The dashed line is nginx with buffers of 256 KiB."
        line = median(tuned, work, lambda turn: turn.rate)
        found[work] = Plot(f"{title}, requests/s", note, ["requests/s"], bars, stacked=False, digits=0, mark=line)
    at = [f"{delay:g} ms each way" for delay in far.delays]
    bars = [Group(name, [[rate] for rate in rates]) for name, rates in zip(far.names, far.medians(), strict=True)]
    title = "Whole downloads over distance, MB/s"
    found["distance"] = Plot(title, "More is better.", at, bars, stacked=False, digits=0)
    return found
