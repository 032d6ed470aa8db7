#!/usr/bin/env python3
"""What connections cost that wait for their next request, and what of it stays when they have gone.

9,000 keep-alive connections of HTTP/1.1 have had one small answer each, and then 2,000 of HTTP/2; they come from ten
addresses, rest for a while, and leave. tidegate's resident memory is sampled from /proc, with its default settings. Prints figures alone.
"""

import argparse
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h2.config
import h2.connection
import h2.events

import setting
from harness import Encryption, Tidegate

MIB = 1 << 20
CONTENT = b"small"
TARGET = f"/buckets/{setting.BUCKET}/{Encryption.NONE.value}"
ADDRESSES = 10


@dataclass
class Kind:
    """A kind of connections, and how many."""

    name: str
    number: int
    asks: Callable[[socket.socket], None]


def over_http1(line: socket.socket) -> None:
    """One small answer."""
    line.sendall(f"GET {TARGET} HTTP/1.1\r\nHost: idle\r\n\r\n".encode())
    received = b""
    while not received.endswith(CONTENT):
        received += alive(line.recv(1 << 16))
    if not received.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"refused: {received[:100]!r}")


def over_http2(line: socket.socket) -> None:
    """The same, with prior knowledge."""
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    http.initiate_connection()
    asked = [(":method", "GET"), (":path", TARGET), (":scheme", "http"), (":authority", "idle")]
    http.send_headers(1, asked, end_stream=True)
    ended = False
    while not ended:
        line.sendall(http.data_to_send())
        for event in http.receive_data(alive(line.recv(1 << 16))):
            if isinstance(event, h2.events.ResponseReceived) and (":status", "200") not in event.headers:
                raise RuntimeError(f"refused: {event.headers}")
            ended = ended or isinstance(event, h2.events.StreamEnded)
    line.sendall(http.data_to_send())


def alive(read: bytes) -> bytes:
    """What was read, if anything."""
    if not read:
        raise RuntimeError("a connection was closed without an answer")
    return read


def resident(gate: Tidegate) -> float:
    """MiB."""
    pages = int(Path(f"/proc/{gate.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def measure(gate: Tidegate, kind: Kind, options: argparse.Namespace) -> None:
    """One kind: they come, rest and leave."""
    before, lines, begun = resident(gate), [], time.monotonic()
    try:
        for at in range(kind.number):
            line = socket.socket()
            lines.append(line)
            line.settimeout(20)
            line.bind((f"127.0.0.{2 + at % ADDRESSES}", 0))
            line.connect(("127.0.0.1", gate.port))
            kind.asks(line)
        came, took = resident(gate), time.monotonic() - begun
        time.sleep(options.rest)
        rests = resident(gate)
        held = gate.metrics().sum("tidegate_connections")
    finally:
        for line in lines:
            line.close()
    time.sleep(options.gone)
    after = resident(gate)
    each = (rests - before) * MIB / kind.number
    connections = f"{kind.number} ({held:.0f} open)"
    print(f"| {kind.name} | {connections} | {before:.0f} | {came:.0f} | {rests:.0f} | {each:.0f} | {after:.0f} |")
    print(f"  they came within {took:.0f} s", file=sys.stderr)


def main() -> None:
    """Starts all, measures, ends all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--http1", type=int, default=9000, help="connections of HTTP/1.1 (9000)")
    parser.add_argument("--http2", type=int, default=2000, help="connections of HTTP/2 (2000)")
    parser.add_argument("--rest", type=float, default=10, help="seconds until it is measured, below server.idle_timeout (10)")
    parser.add_argument("--gone", type=float, default=60, help="seconds from their going until it is measured again (60)")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with setting.start("idle") as servers:
        servers.write(CONTENT, Encryption.NONE)
        print("| | connections | MiB before | with all of them | at rest | bytes for each | after they went |")
        print("|---|---|---|---|---|---|---|")
        for kind in (Kind("HTTP/1.1", options.http1, over_http1), Kind("HTTP/2", options.http2, over_http2)):
            gate = servers.tidegate(name=f"idle-{kind.number}")
            try:
                measure(gate, kind, options)
            finally:
                gate.stop()


if __name__ == "__main__":
    main()
