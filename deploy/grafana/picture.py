#!/usr/bin/env python3
"""Draws the dashboard as SVG from what a Prometheus has: each panel where it stands, by the expressions that Grafana asks.

Without `--prometheus` it starts all that it takes, a SeaweedFS with two volume servers, a tidegate with both fronts and a
Prometheus, and reads for some minutes, while one volume server is killed and comes back.

    .venv/bin/python deploy/grafana/picture.py --minutes 4 --out docs/dashboard.svg
    .venv/bin/python deploy/grafana/picture.py --prometheus http://127.0.0.1:9090 --out now.svg
"""

import argparse
import json
import math
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
COLUMN, ROW, GAP = 54, 20, 10
MOST_NAMES = 6
STYLE = """
text{font:11px system-ui,sans-serif;fill:#59636e}.title{font-weight:600;font-size:12px;fill:#1f2328}.row{font-weight:600;font-size:14px;fill:#1f2328}
.value{font-size:20px;fill:#1f2328}.paper{fill:#f6f8fa}.panel{fill:#ffffff;stroke:#d1d9e0}.grid{stroke:#d1d9e0}.line{fill:none;stroke-width:1.5}
.c0{stroke:#0969da;fill:#0969da}.c1{stroke:#bc8c00;fill:#bc8c00}.c2{stroke:#1a7f37;fill:#1a7f37}.c3{stroke:#cf222e;fill:#cf222e}.c4{stroke:#8250df;fill:#8250df}.c5{stroke:#656c76;fill:#656c76}
@media (prefers-color-scheme:dark){text{fill:#9198a1}.title,.row,.value{fill:#f0f6fc}.paper{fill:#010409}.panel{fill:#0d1117;stroke:#3d444d}.grid{stroke:#3d444d}
.c0{stroke:#4493f8;fill:#4493f8}.c1{stroke:#d29922;fill:#d29922}.c2{stroke:#3fb950;fill:#3fb950}.c3{stroke:#f85149;fill:#f85149}.c4{stroke:#ab7df8;fill:#ab7df8}}
path.line{fill:none}
"""


@dataclass(frozen=True)
class Series:
    """What a legend calls it, and its values by time."""

    name: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Source:
    """A Prometheus, and the time that is looked at."""

    url: str
    start: float
    end: float

    def series(self, target: dict[str, str]) -> list[Series]:
        """What an expression of a panel gives."""
        expression = target["expr"]
        for name, value in {"$job": "tidegate", "$instance": ".*", "$__rate_interval": "20s"}.items():
            expression = expression.replace(name, value)
        query = {"query": expression, "start": self.start, "end": self.end, "step": max(1.0, (self.end - self.start) / 120)}
        with urlopen(f"{self.url}/api/v1/query_range?{urlencode(query)}", timeout=30) as answer:
            results = json.load(answer)["data"]["result"]
        return [Series(legend(target.get("legendFormat", ""), each["metric"]), numbers(each["values"])) for each in results]


def legend(pattern: str, labels: dict[str, str]) -> str:
    """The name of a series. One tidegate is enough to be called by its name."""
    for name, value in {**labels, "instance": "tidegate"}.items():
        pattern = pattern.replace("{{" + name + "}}", value)
    return pattern


def numbers(values: list[tuple[float, str]]) -> list[tuple[float, float]]:
    """The values that are numbers."""
    points = [(float(when), float(value)) for when, value in values]
    return [(when, value) for when, value in points if math.isfinite(value)]


def amount(value: float, unit: str) -> str:
    """A value as Grafana would write it, nearly."""
    if unit in {"bytes", "Bps"}:
        for name in ("B", "KiB", "MiB", "GiB"):
            if value < 1024 or name == "GiB":
                return f"{value:.3g} {name}{'/s' if unit == 'Bps' else ''}"
            value /= 1024
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 or value == 0 else f"{value * 1e3:.3g} ms"
    if unit == "dateTimeAsIso":
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(value / 1e3))
    digits = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return digits + {"reqps": " req/s", "ops": " ops/s"}.get(unit, "")


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """One line of text."""
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def panel(box: dict[str, int], described: dict[str, object], source: Source) -> str:
    """One panel, at its place on the grid."""
    x, y = box["x"] * COLUMN + GAP / 2, box["y"] * ROW + GAP / 2
    width, height = box["w"] * COLUMN - GAP, box["h"] * ROW - GAP
    if described["type"] == "row":
        return text(x + 4, y + 12, str(described["title"]), "row")
    unit = described["fieldConfig"]["defaults"].get("unit", "short")
    series = [one for target in described["targets"] for one in source.series(target) if one.points]
    series.sort(key=lambda one: -max(value for _, value in one.points))
    parts = [f'<rect class="panel" x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="3"/>']
    parts.append(text(x + 8, y + 17, str(described["title"]), "title"))
    if described["type"] == "stat":
        named = f"{series[0].name}" if unit == "short" else amount(series[0].points[-1][1], unit)
        parts.append(text(x + width / 2, y + height / 2 + 12, named, "value", "middle"))
        return "".join(parts)
    shown = series[:MOST_NAMES]
    left, top, right, bottom = x + 72, y + 28, x + width - 8, y + height - 18 - 13 * math.ceil(len(shown) / 2)
    most = max((value for one in series for _, value in one.points), default=0) or 1
    for share in (0, 0.5, 1):
        level = bottom - share * (bottom - top)
        parts.append(f'<line class="grid" x1="{left:.0f}" x2="{right:.0f}" y1="{level:.0f}" y2="{level:.0f}"/>')
        parts.append(text(left - 4, level + 4, amount(most * share, unit), "", "end"))
    across = (right - left) / (source.end - source.start)
    for number, one in enumerate(series):
        up = (bottom - top) / most
        where = [f"{left + (when - source.start) * across:.1f},{bottom - value * up:.1f}" for when, value in one.points]
        parts.append(f'<path class="line c{number % 6}" d="M{" L".join(where)}"/>')
    for number, one in enumerate(shown):
        at, line = x + 8 + number % 2 * width / 2, bottom + 16 + 13 * (number // 2)
        words = one.name if len(one.name) * 6 < width / 2 - 20 else one.name[: int(width / 12) - 4] + "…"
        parts.append(f'<rect class="c{number % 6}" x="{at:.0f}" y="{line - 6:.0f}" width="8" height="3"/>')
        parts.append(text(at + 12, line, words))
    return "".join(parts)


def drawing(source: Source) -> str:
    """The whole dashboard."""
    panels = json.loads((HERE / "tidegate.json").read_text())["panels"]
    height = max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in panels) * ROW
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * COLUMN} {height}" role="img">'
    title = f"<title>The dashboard of tidegate over {(source.end - source.start) / 60:.0f} minutes</title>"
    paper = '<rect class="paper" width="100%" height="100%"/>'
    body = "\n".join(panel(each["gridPos"], each, source) for each in panels)
    return f"{opening}{title}<style>{STYLE}</style>{paper}\n{body}</svg>\n"


@contextmanager
def running(minutes: float) -> Iterator[Source]:
    """A Prometheus that has watched a tidegate for some minutes."""
    sys.path[:0] = [str(REPO / "tests"), str(REPO / "benches")]
    os.environ.setdefault("TIDEGATE_BIN", str(REPO / "target/release/tidegate"))
    import setting
    from harness import Kms
    from harness.prometheus import Prometheus
    from harness.scratch import scratch

    with scratch("picture") as root:
        kms = Kms(root)
        kms.start()
        cluster = {"volumes": 2, "replication": "010", "kms": kms}
        with setting.start("picture", cluster=cluster, maxMB=1) as servers:
            reads = objects(servers, kms)
            s3 = {"gateway": [servers.front.gateway.url]}
            gate = servers.tidegate(s3=s3, access={"managed_keys": "any"}, cache={"chunks": "32MiB"})
            prometheus = Prometheus(root / "prometheus", [gate], REPO / "deploy/prometheus/alerts.yml")
            prometheus.start()
            try:
                start = time.time()
                load(servers, [lambda read=read: read(gate) for read in reads], minutes * 60)
                yield Source(f"http://{prometheus.address}", start + 20, time.time())
            finally:
                prometheus.stop(1.0)


def objects(servers: object, kms: object) -> list[Callable[[object], None]]:
    """Writes some, and answers the ways in which they are read."""
    import setting
    from harness import Encryption, Payload, request
    from harness.s3 import sse_arguments

    servers.front.s3.create_bucket(setting.BUCKET)
    reads = []
    for encryption in Encryption:
        headers = setting.KEY.headers() if encryption is Encryption.SSE_C else {}
        for size in (4 << 10, 300 << 10, 12 << 20):
            key = f"{encryption.value}/{size}"
            sse = sse_arguments(encryption, customer_key=setting.KEY, kms_key_id=kms.key_id)
            servers.front.s3.put(setting.BUCKET, key, Payload(key, size).bytes(), **sse)
            for more in ({}, {"Range": f"bytes={size // 3}-{size // 2}"}):
                sent = {**headers, **more}
                reads.append(lambda gate, key=key, sent=sent: request("GET", gate.object_url(setting.BUCKET, key), sent))
                reads.append(lambda gate, key=key, sent=sent: request("GET", f"{gate.s3_url}/{setting.BUCKET}/{key}", sent))
    reads.append(lambda gate: request("GET", gate.object_url(setting.BUCKET, "no-such-thing")))
    return reads


def load(servers: object, reads: list[Callable[[], None]], seconds: float) -> None:
    """Reads that come and go in waves; for a third of the time a volume server is gone."""
    began, chance = time.monotonic(), random.Random(7)

    def share() -> float:
        return (time.monotonic() - began) / seconds

    def reader() -> None:
        while share() < 1:
            chance.choice(reads)()
            time.sleep(0.02 + 0.2 * (1 + math.sin(share() * 4 * math.pi)) * chance.random())

    threads = [threading.Thread(target=reader) for _ in range(6)]
    for thread in threads:
        thread.start()
    while share() < 0.4:
        time.sleep(0.5)
    servers.cluster.kill_volume(0)
    while share() < 0.7:
        time.sleep(0.5)
    servers.cluster.revive_volume(0)
    for thread in threads:
        thread.join()


def main() -> int:
    """Draws it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", help="its address; without one, all is started here")
    parser.add_argument("--minutes", type=float, default=4, help="how much of the time until now (4)")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    options = parser.parse_args()
    if options.prometheus:
        now = time.time()
        options.out.write_text(drawing(Source(options.prometheus, now - options.minutes * 60, now)))
        return 0
    with running(options.minutes) as source:
        options.out.write_text(drawing(source))
    return 0


if __name__ == "__main__":
    sys.exit(main())
