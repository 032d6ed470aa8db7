#!/usr/bin/env python3
"""Many slow clients at once: does everyone go on, with right bytes, in bounded memory?

1,000 clients read one SSE-C object of 256 MiB through tidegate with its default settings, 64 KiB a second each, for a
minute. What each gets is compared byte by byte; tidegate's resident memory is sampled from /proc. Prints figures, and
ends with exit code 1 when a client got wrong bytes, was cut, or fell behind.
"""

import argparse
import asyncio
import resource
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import setting
from harness import Encryption, Payload, Tidegate

MIB = 1 << 20
KIB = 1 << 10
RECEIVE_BUFFER = 128 * KIB


@dataclass
class Client:
    """What one client has seen."""

    received: int = 0
    first_byte: float = 0.0
    """Seconds from the request to the first byte of the body."""
    longest_wait: float = 0.0
    """Seconds that it was ready to read and nothing came, at most."""
    wrong: str = ""


@dataclass
class Figures:
    """What was sampled from /proc meanwhile."""

    rss: list[float] = field(default_factory=list)
    """MiB."""
    lag: list[float] = field(default_factory=list)
    """Seconds that the clients' own loop was late: what is no fault of tidegate's."""


async def read(client: Client, gate: Tidegate, content: bytes, rate: int, seconds: float) -> None:
    """One client: a read a second, of what `rate` gives."""
    piece = rate
    stream, sink = await asyncio.open_connection(sock=await connection(gate.port), limit=piece)
    path = setting.Setting.at(gate, Encryption.SSE_C).removeprefix(gate.url)
    head = f"GET {path} HTTP/1.1\r\nHost: crowd\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in setting.KEY.headers().items())
    begin = time.monotonic()
    try:
        sink.write(head.encode() + b"\r\n")
        answer = await stream.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            client.wrong = answer.decode(errors="replace").splitlines()[0]
            return
        end = begin + seconds
        while (asked := time.monotonic()) < end and client.received < len(content):
            got = await stream.readexactly(min(piece, len(content) - client.received))
            now = time.monotonic()
            client.first_byte = client.first_byte or now - begin
            client.longest_wait = max(client.longest_wait, now - asked)
            if got != content[client.received : client.received + len(got)]:
                client.wrong = f"other bytes in the piece at {client.received}"
                return
            client.received += len(got)
            await asyncio.sleep(begin + client.received / rate - now)
    except (asyncio.IncompleteReadError, OSError) as error:
        client.wrong = f"cut after {client.received} bytes: {error}"
    finally:
        sink.transport.abort()


async def connection(port: int) -> socket.socket:
    """Connected, with a small receive buffer: what the kernel takes in ahead of a slow client is no progress of it."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    made.setblocking(False)
    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    return made


async def crowd(gate: Tidegate, content: bytes, options: argparse.Namespace) -> tuple[list[Client], Figures]:
    """All clients, started over two seconds, and the sampler."""
    clients, figures = [Client() for _ in range(options.clients)], Figures()
    rate = options.rate * KIB
    sampler = asyncio.create_task(sample(gate.pid, figures))

    async def one(number: int, client: Client) -> None:
        await asyncio.sleep(2.0 * number / options.clients)
        await read(client, gate, content, rate, options.seconds)

    await asyncio.gather(*(one(number, client) for number, client in enumerate(clients)))
    sampler.cancel()
    return clients, figures


async def sample(pid: int, figures: Figures) -> None:
    """Resident memory, five times a second."""
    while True:
        figures.rss.append(memory(pid, "VmRSS"))
        begin = time.monotonic()
        await asyncio.sleep(0.2)
        figures.lag.append(time.monotonic() - begin - 0.2)


def memory(pid: int, name: str) -> float:
    """A figure of /proc's status, in MiB."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def run(servers: setting.Setting, options: argparse.Namespace) -> bool:
    """Measures, prints, and answers whether everyone went on with right bytes."""
    content = Payload("crowd", options.size * MIB).bytes()
    servers.write(content, Encryption.SSE_C)
    gate = servers.tidegate()
    try:
        idle = memory(gate.pid, "VmRSS")
        clients, figures = asyncio.run(crowd(gate, content, options))
        peak, metrics = memory(gate.pid, "VmHWM"), gate.metrics()
    finally:
        gate.stop()
    wrong = [client.wrong for client in clients if client.wrong]
    expected = options.rate * KIB * options.seconds
    behind = [client for client in clients if client.received < 0.9 * min(expected, len(content))]
    waits = sorted(client.longest_wait for client in clients)
    first = sorted(client.first_byte for client in clients)
    total = sum(client.received for client in clients)
    print(f"{options.clients} clients, {options.rate} KiB/s each, {options.seconds:.0f} s, {options.size} MiB SSE-C")
    print(f"resident memory      idle {idle:.0f} MiB, median {middle(sorted(figures.rss)):.0f}, peak {peak:.0f}")
    print(f"received             {total / MIB:.0f} MiB, {total / expected / options.clients:.1%} of what was asked for")
    print(f"fetched              {metrics.sum('tidegate_fetch_bytes_total') / total:.2f} bytes for each received")
    print(f"first byte           median {middle(first):.2f} s, slowest {first[-1]:.2f} s")
    print(f"longest wait         median {middle(waits):.2f} s, of all {waits[-1]:.2f} s")
    lag = sorted(figures.lag)
    print(f"the clients' own lag median {middle(lag):.2f} s, worst {lag[-1]:.2f} s")
    print(f"wrong, refused, cut  {len(wrong)}; fell behind by more than a tenth: {len(behind)}")
    print(f"CPU                  {metrics.sum('process_cpu_seconds_total') / (total / 1e9):.2f} s for each GB received")
    for reason in sorted(set(wrong))[:5]:
        print(f"  {reason}")
    return not wrong and not behind


def middle(ordered: list[float]) -> float:
    """The median of what is sorted."""
    return ordered[len(ordered) // 2]


def main() -> None:
    """Starts all, measures, ends all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--rate", type=int, default=64, help="KiB a second of each (64)")
    parser.add_argument("--seconds", type=float, default=60, help="how long each reads (60)")
    parser.add_argument("--size", type=int, default=256, help="MiB of the object (256)")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with setting.start("crowd", maxMB=4) as servers:
        good = run(servers, options)
    sys.exit(not good)


if __name__ == "__main__":
    main()
