#!/usr/bin/env python3
"""Where tidegate's processor time goes while it decrypts whole downloads (SSE-C): a flame graph, by perf.

perf samples the running tidegate, in kernel and program, while curl reads an object of 256 MiB again and again. What takes
less than a third of a hundredth is left out. Each box names itself, with its share, under the pointer. Needs perf and curl.

    TIDEGATE_BIN=target/release/tidegate .venv/bin/python benches/flame.py docs/flame.svg
"""

import argparse
import html
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import setting
from curl import arguments
from harness import Encryption, Payload
from harness.scratch import installed

MIB = 1 << 20
WIDTH, ROW, LEAST = 1200, 17, 1 / 300
KERNEL, PROGRAM = "#c8d6e8", "#f2c38a"


@dataclass
class Frame:
    """A function, in the place where it was called."""

    samples: int = 0
    below: dict[tuple[str, bool], "Frame"] = field(default_factory=dict)

    def depth(self, total: int) -> int:
        """How many frames lie on each other that are drawn."""
        return 1 + max((one.depth(total) for one in self.below.values() if one.samples >= total * LEAST), default=0)


def main() -> int:
    """Measures and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("svg", type=Path, help="where the graph goes")
    parser.add_argument("--seconds", type=int, default=10, help="how long (10)")
    options = parser.parse_args()
    if not installed("perf", "curl"):
        return 2
    with setting.start("flame", maxMB=4) as servers:
        servers.write(Payload("flame", 256 * MIB).bytes(), Encryption.SSE_C)
        gate = servers.tidegate(cache={"chunks": "off"}, log={"level": "warn"})
        recorded = servers.root / "perf.data"
        argv = ["perf", "record", "-F", "499", "--call-graph", "dwarf,16384", "-o", recorded, "-p", str(gate.pid)]
        headers = arguments(setting.KEY.headers())
        curl = ["curl", "-sSf", "-o", "/dev/null", *headers, servers.at(gate, Encryption.SSE_C)]
        subprocess.run(curl, check=True)
        recording = subprocess.Popen([*argv, "--", "sleep", str(options.seconds)], stderr=subprocess.DEVNULL)
        until = time.monotonic() + options.seconds
        while time.monotonic() < until:
            subprocess.run(curl, check=True)
        recording.wait()
        said = subprocess.run(["perf", "script", "-i", recorded, "-F", "comm,ip,sym,dso"], capture_output=True, text=True)
    root = stacks(said.stdout)
    options.svg.write_text(drawn(root))
    print(f"{root.samples} samples, {options.svg}")
    return 0


def stacks(script: str) -> Frame:
    """The stacks that perf prints, each function below the one that it was called by."""
    root = Frame()
    for block in script.split("\n\n"):
        frames = [named(line) for line in block.splitlines()[1:] if line.strip()]
        if not frames:
            continue
        root.samples += 1
        here = root
        for frame in reversed(tidied(frames)):
            here = here.below.setdefault(frame, Frame())
            here.samples += 1
    return root


def named(line: str) -> tuple[str, bool]:
    """A function by its short name, and whether it is the kernel's."""
    name, _, place = line.strip().partition(" ")[2].rpartition(" (")
    name = re.sub(r"::h[0-9a-f]{16}$|\+0x[0-9a-f]+$", "", name).replace("::{{closure}}", "")
    while (shorter := re.sub(r"<[^<>]*>", "", name)) != name:
        name = shorter
    parts = [part for part in name.split("::") if part]
    return "::".join(parts[-2:]) or "[unknown]", "kernel" in place


def tidied(frames: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Without repetitions, and what cannot be named."""
    kept: list[tuple[str, bool]] = []
    for frame in frames:
        if frame[0] != "[unknown]" and (not kept or kept[-1] != frame):
            kept.append(frame)
    return kept


def drawn(root: Frame) -> str:
    """The graph as SVG: what is called lies on what calls it."""
    height = root.depth(root.samples) * ROW + 30
    boxes: list[str] = []

    def draw(frame: Frame, left: float, level: int) -> None:
        for (name, kernel), one in sorted(frame.below.items()):
            width = WIDTH * one.samples / root.samples
            if one.samples >= root.samples * LEAST:
                box(name, kernel, one, left, width, level)
                draw(one, left, level + 1)
                left += width

    def box(name: str, kernel: bool, one: Frame, left: float, width: float, level: int) -> None:
        y, most = height - ROW * (level + 1) - 4, int(width / 6.2)
        text = html.escape(name if len(name) <= most else name[: most - 1] + "…") if most > 3 else ""
        title = f"{html.escape(name)}, {one.samples / root.samples:.1%}"
        fill = KERNEL if kernel else PROGRAM
        shape = f'<rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}" fill="{fill}"/>'
        label = f'<text x="{left + 2:.1f}" y="{y + 12}">{text}</text>' if text else ""
        boxes.append(f"<g><title>{title}</title>{shape}{label}</g>")

    draw(root, 0, 0)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="10">'
    legend = f"Whole SSE-C downloads, {root.samples} samples of processor time: tidegate orange, the kernel blue"
    back = f'<rect width="{WIDTH}" height="{height}" fill="#fff"/><text x="4" y="14" font-size="12">{legend}</text>'
    return "\n".join([head, back, *boxes, "</svg>"]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
