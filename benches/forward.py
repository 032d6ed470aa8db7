#!/usr/bin/env python3
"""Processor time for a byte: tidegate, which decrypts, beside nginx, which only forwards, and beside the S3 gateway.

nginx stands before the filer and forwards a plain object, with its default buffers and with large ones; tidegate serves
the same object plain and encrypted. Whole downloads by curl, one after the other, in turns. What is counted is the time
of each process between the client and the volume server, user and system, from `/proc`. Needs nginx and curl.

    TIDEGATE_BIN=target/release/tidegate .venv/bin/python benches/forward.py
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import setting
from curl import download
from harness import Encryption, Front, Payload, Process, request
from harness.ports import HOST, free_port
from harness.scratch import installed

MIB = 1 << 20
TICKS = os.sysconf("SC_CLK_TCK")

NGINX = """
daemon off; master_process off; pid {root}/nginx.pid; error_log stderr warn;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
    upstream filer {{ server {filer}; keepalive 16; }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://filer; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_max_temp_file_size 0; {buffers}
        }}
    }}
}}
"""


class Nginx(Process):
    """nginx as one process, before a filer."""

    def __init__(self, root: Path, front: Front, name: str, buffers: str, connections: int = 64) -> None:
        home = root / name
        home.mkdir(parents=True)
        self.url = f"http://{HOST}:{free_port()}"
        listen = self.url.removeprefix("http://")
        config = home / "nginx.conf"
        values = {"filer": front.filer.address, "listen": listen, "buffers": buffers, "connections": connections}
        config.write_text(NGINX.format(root=home, **values))
        super().__init__(name, ["nginx", "-p", home, "-c", config], home / "log")

    def start(self) -> None:
        """Starts it and waits until it answers."""
        super().start()
        self.wait_ready(lambda: request("GET", self.url + "/", timeout=2).status < 500)


@dataclass
class Way:
    """One way to the object: whose time is its own, and whose is spent behind it for the same bytes."""

    name: str
    url: str
    own: Process
    behind: list[Process] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    user: list[float] = field(default_factory=list)
    system: list[float] = field(default_factory=list)
    all_between: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def download(self, times: int, size: int) -> None:
        """Reads the object so often, and notes seconds of processor per GB and MB/s."""
        processes = [self.own, *self.behind]
        begin, before = time.monotonic(), [processor_time(process) for process in processes]
        for _ in range(times):
            download(self.url, self.headers, size)
        after, passed = [processor_time(process) for process in processes], time.monotonic() - begin
        giga = times * size / 1e9
        pairs = zip(after, before, strict=True)
        spent = [[(now - then) / giga for now, then in zip(*pair, strict=True)] for pair in pairs]
        self.user.append(spent[0][0])
        self.system.append(spent[0][1])
        self.all_between.append(sum(map(sum, spent)))
        self.rates.append(giga * 1000 / passed)


def processor_time(process: Process) -> tuple[float, float]:
    """Seconds of a process so far: user and system, of all its threads (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def main() -> int:
    """Starts all, measures, prints."""
    options = parse()
    if not installed("nginx", "curl"):
        return 2
    with setting.start("forward") as servers:
        content = Payload("forward", options.size * MIB).bytes()
        servers.write(content, Encryption.NONE, Encryption.SSE_C, Encryption.SSE_S3)
        ways = start(servers)
        for way in ways:
            if request("GET", way.url, way.headers, timeout=60).body != content:
                raise RuntimeError(f"{way.name}: wrong bytes")
        for _ in range(options.rounds):
            for way in ways:
                way.download(options.times, len(content))
        print_table(ways, options)
    return 0


def start(servers: setting.Setting) -> list[Way]:
    """Everybody who forwards or decrypts, running."""
    root, front = servers.root, servers.front
    default = Nginx(root, front, "nginx", "")
    buffers = "proxy_buffer_size 256k; proxy_buffers 16 256k; proxy_busy_buffers_size 512k;"
    large = Nginx(root, front, "nginx-large", buffers)
    for process in (default, large):
        process.start()
    gate = servers.tidegate(log={"level": "warn"})
    plain, key = servers.at_filer(Encryption.NONE), setting.KEY.headers()
    path = plain.removeprefix(front.filer.url)
    return [
        Way("nginx, plain", default.url + path, default, [front.filer]),
        Way("nginx, plain, buffers of 256 KiB", large.url + path, large, [front.filer]),
        Way("filer, plain", plain, front.filer),
        Way("S3 gateway, SSE-C", servers.at_gateway(Encryption.SSE_C), front.gateway, [front.filer], key),
        Way("tidegate, plain", servers.at(gate, Encryption.NONE), gate, [front.filer]),
        Way("tidegate, SSE-C", servers.at(gate, Encryption.SSE_C), gate, [front.filer], key),
        Way("tidegate, SSE-S3", servers.at(gate, Encryption.SSE_S3), gate, [front.filer]),
    ]


def print_table(ways: list[Way], options: argparse.Namespace) -> None:
    """Medians, and what each way costs of what the first one does."""
    first = statistics.median(map(sum, zip(ways[0].user, ways[0].system, strict=True)))
    print(f"\n{options.size} MiB, median of {options.rounds} rounds of {options.times} downloads in turns\n")
    print("| | s/GB | user | system | of nginx | slowest to fastest round | with the filer behind it | MB/s |")
    print("|---|---|---|---|---|---|---|---|")
    for way in ways:
        own = [sum(pair) for pair in zip(way.user, way.system, strict=True)]
        middle = statistics.median(own)
        cells = [
            f"{middle:.3f}",
            f"{statistics.median(way.user):.3f}",
            f"{statistics.median(way.system):.3f}",
            f"{middle / first:.0%}",
            f"{max(own):.3f} to {min(own):.3f}",
            f"{statistics.median(way.all_between):.3f}",
            f"{statistics.median(way.rates):.0f}",
        ]
        print(f"| {way.name} | " + " | ".join(cells) + " |")


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="MiB of the object (256)")
    parser.add_argument("--times", type=int, default=4, help="downloads of each in a round (4)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, the median counts (5)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
