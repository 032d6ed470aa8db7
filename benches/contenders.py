"""Everybody who stands between a client and the stored bytes in `all.py`, and what one turn of each costs."""

import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import setting
from curl import download
from forward import Nginx
from harness import Encryption, Front, Process, Tidegate
from harness.balancers import Balancer, haproxy_binary
from harness.ports import HOST, free_port
from wrk import requests_per_second

LARGE_BUFFERS = "proxy_buffer_size 256k; proxy_buffers 16 256k; proxy_busy_buffers_size 512k;"
HAPROXY = """
global
    maxconn 256
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen forward
    bind {listen}
    server filer {filer}
"""
NGINX_TUNED = "nginx, buffers of 256 KiB"
"""Whom all others are compared with."""


class HAProxy(Balancer):
    """HAProxy with its default buffers and threads, before a filer."""

    def __init__(self, root: Path, front: Front) -> None:
        home = root / "haproxy"
        home.mkdir()
        self.port = free_port()
        config = home / "haproxy.cfg"
        config.write_text(HAPROXY.format(listen=f"{HOST}:{self.port}", filer=front.filer.address))
        super().__init__("haproxy", [haproxy_binary(), "-db", "-f", config], home / "log")


class BareRelay(Balancer):
    """`bare_relay.rs`, before a filer."""

    def __init__(self, root: Path, front: Front, binary: Path) -> None:
        self.port = free_port()
        super().__init__("relay", [binary, f"{HOST}:{self.port}={front.filer.address}"], root / "relay.log")


def processor_time(process: Process | subprocess.Popen[bytes]) -> float:
    """Seconds of processor that a process has had, to the nanosecond: the clock that clock_getcpuclockid(3) names."""
    return time.clock_gettime(~process.pid << 3 | 2)


@dataclass
class Turn:
    """One turn's rate (MB/s, or requests/s) and seconds of processor for each GB, or request."""

    rate: float
    own: float
    filer: float
    volume: float

    @property
    def between(self) -> float:
        """Of all that is between the client and the volume server."""
        return self.own + self.filer


@dataclass
class Contender:
    """One way to the objects. `filer` is None where the filer itself is who is measured."""

    name: str
    base: str
    encryption: Encryption
    own: Process
    filer: Process | None
    volume: Process
    turns: dict[str, list[Turn]] = field(default_factory=dict)

    @property
    def headers(self) -> Mapping[str, str]:
        """What must come with the request."""
        return setting.KEY.headers() if self.encryption is Encryption.SSE_C else {}

    def url(self, prefix: str) -> str:
        """Where it has an object."""
        return f"{self.base}/{prefix}/{self.encryption.value}"

    def whole(self, work: str, prefix: str, times: int, size: int) -> None:
        """Reads an object of `size` bytes so often by curl, one download after the other."""
        begin, before = time.monotonic(), self._spent()
        for _ in range(times):
            download(self.url(prefix), self.headers, size)
        giga = times * size / 1e9
        self._note(work, giga * 1000 / (time.monotonic() - begin), before, giga)

    def many(self, work: str, prefix: str, at_once: int, seconds: int, script: Path | None) -> None:
        """Reads by wrk for some seconds."""
        before = self._spent()
        rate = requests_per_second(self.url(prefix), self.headers, at_once, seconds, script)
        self._note(work, rate, before, rate * seconds)

    def _note(self, work: str, rate: float, before: list[float], done: float) -> None:
        spent = [(now - then) / done for now, then in zip(self._spent(), before, strict=True)]
        self.turns.setdefault(work, []).append(Turn(rate, *spent))

    def _spent(self) -> list[float]:
        return [0.0 if process is None else processor_time(process) for process in (self.own, self.filer, self.volume)]


def start(servers: setting.Setting, relay: Path) -> tuple[list[Contender], Contender]:
    """All of them, running, and one more for small objects: tidegate with its chunk cache."""
    root, front = servers.root, servers.front
    filer, (volume,) = front.filer, servers.cluster.volumes
    inside = f"/buckets/{setting.BUCKET}"
    forwarders: Iterable[tuple[str, Nginx | Balancer]] = [
        ("nginx", Nginx(root, front, "nginx", "")),
        (NGINX_TUNED, Nginx(root, front, "nginx-tuned", LARGE_BUFFERS)),
        ("HAProxy", HAProxy(root, front)),
        ("bare relay", BareRelay(root, front, relay)),
    ]
    plain = Encryption.NONE
    contenders = [Contender("filer", filer.url + inside, plain, filer, None, volume)]
    gateway = f"{front.gateway.url}/{setting.BUCKET}"
    for encryption in (plain, Encryption.SSE_C):
        name = f"S3 gateway, {encryption.title}"
        contenders.append(Contender(name, gateway, encryption, front.gateway, filer, volume))
    for name, process in forwarders:
        process.start()
        contenders.append(Contender(name, process.url + inside, plain, process, filer, volume))

    def served(gate: Tidegate, encryption: Encryption, name: str) -> Contender:
        return Contender(name, gate.url + inside, encryption, gate, filer, volume)

    gate = servers.tidegate(cache={"chunks": "off"}, log={"level": "warn"})
    for encryption in Encryption:
        contenders.append(served(gate, encryption, f"tidegate, {encryption.title}"))
    cached = servers.tidegate("cached", cache={"chunks": "64MiB"}, log={"level": "warn"})
    return contenders, served(cached, Encryption.SSE_C, f"tidegate, {Encryption.SSE_C.title}, chunk cache")
