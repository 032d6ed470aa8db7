"""What breaks during a soak, one at a time, and is mended again."""

import contextlib
import json
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness import Cluster, Front, Kms, Tidegate, request
from harness.relay import Behaviour
from harness.weed import answers, shell
from load import BUCKET, KIB, MIB, Thing
from tally import Tally

HOLD = 4.0
"""Seconds that a fault lasts."""
PAUSE = 2.0
"""Seconds until the next one."""
CRAWLERS = 60
LEAVERS = 80


@dataclass
class Faults:
    """All that can be broken."""

    cluster: Cluster
    front: Front
    kms: Kms
    gate: Tidegate
    lines: list[Behaviour]
    things: list[Thing]
    tally: Tally
    chance: random.Random

    def all(self) -> dict[str, Callable[[], contextlib.AbstractContextManager[None]]]:
        """Each by its name."""
        return {
            "volume server killed": self._killed,
            "volume server stopped": self._stopped,
            "volume server's line frozen": self._frozen,
            "volume server's line cut": self._cut,
            "volume moved": self._moved,
            "two of three volume servers killed": self._dark,
            "filer hung": self._hung,
            "filer restarted": self._restarted,
            "KMS down": self._kms_down,
            "clients leave": self._leave,
            "clients crawl": self._crawl,
        }

    def run(self, seconds: float, each_was_once: Callable[[], None]) -> None:
        """One after the other, all in another order each round. Says so after the first."""
        end, rounds = time.monotonic() + seconds, 0
        while True:
            if rounds == 1:
                each_was_once()
            rounds += 1
            for name, broken in self.chance.sample(list(self.all().items()), len(self.all())):
                time.sleep(max(0.0, min(PAUSE, end - time.monotonic())))
                if time.monotonic() >= end:
                    return
                self.tally.begin(name, dark=broken == self._dark)
                try:
                    with broken():
                        time.sleep(HOLD)
                finally:
                    self.tally.end()

    def _any(self) -> int:
        return self.chance.randrange(len(self.cluster.volumes))

    @contextlib.contextmanager
    def _killed(self) -> Iterator[None]:
        index = self._any()
        self.cluster.kill_volume(index)
        yield
        self.cluster.revive_volume(index)

    @contextlib.contextmanager
    def _dark(self) -> Iterator[None]:
        two = self.chance.sample(range(len(self.cluster.volumes)), 2)
        for index in two:
            self.cluster.kill_volume(index)
        yield
        self.cluster.revive_volume(*two)

    @contextlib.contextmanager
    def _stopped(self) -> Iterator[None]:
        server = self.cluster.volumes[self._any()]
        with _held(server):
            yield

    @contextlib.contextmanager
    def _frozen(self) -> Iterator[None]:
        self.cluster.freeze_volume(self._any())
        yield

    @contextlib.contextmanager
    def _cut(self) -> Iterator[None]:
        line = self.lines[self._any()]
        line.cut_between = (16 * KIB, 2 * MIB)
        yield
        line.calm()

    @contextlib.contextmanager
    def _moved(self) -> Iterator[None]:
        """A volume of a chunk that is read goes to the server that has no copy of it."""
        thing = self.chance.choice([one for one in self.things if len(one.content) > MIB])
        url = f"{self.front.filer_url(BUCKET, thing.key)}?metadata=true"
        volume = int(json.loads(request("GET", url).body)["chunks"][0]["file_id"].partition(",")[0])
        master = self.cluster.master
        found = json.loads(request("GET", f"{master.url}/dir/lookup?volumeId={volume}").body)
        have = [location["url"] for location in found["locations"]]
        target = next(server.address for server in self.cluster.volumes if server.address not in have)
        source = self.chance.choice(have)
        shell(master.address, f"volume.move -source={source} -target={target} -volumeId={volume}")
        yield

    @contextlib.contextmanager
    def _hung(self) -> Iterator[None]:
        with _held(self.front.filer):
            yield

    @contextlib.contextmanager
    def _restarted(self) -> Iterator[None]:
        filer = self.front.filer
        filer.kill()
        filer.start()
        filer.wait_ready(lambda: answers(filer.url + "/"))
        yield

    @contextlib.contextmanager
    def _kms_down(self) -> Iterator[None]:
        self.kms.fail_next(100_000, 503, "KMSInternalException")
        yield
        self.kms.behave()

    def _asked(self, address: str, thing: Thing) -> socket.socket:
        """A connection from one of our addresses that has asked for an object and read nothing yet."""
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
        line.settimeout(20)
        line.bind((address, 0))
        line.connect(("127.0.0.1", self.gate.port))
        fields = "".join(f"{name}: {value}\r\n" for name, value in thing.headers.items())
        line.sendall(f"GET /buckets/{BUCKET}/{thing.key} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())
        return line

    def _many(self, number: int) -> list[tuple[socket.socket, Thing]]:
        large = [one for one in self.things if len(one.content) > 5 * MIB]
        things = [self.chance.choice(large) for _ in range(number)]
        self.tally.requests["leaves or crawls"] += number
        return [(self._asked(f"127.0.0.{10 + at % 20}", thing), thing) for at, thing in enumerate(things)]

    @contextlib.contextmanager
    def _leave(self) -> Iterator[None]:
        """They have read some, or nothing, and are gone."""
        lines = self._many(LEAVERS)
        time.sleep(0.5)
        for at, (line, _) in enumerate(lines):
            with contextlib.suppress(OSError):
                line.recv(at * KIB or 1)
            line.close()
        yield

    @contextlib.contextmanager
    def _crawl(self) -> Iterator[None]:
        """512 bytes each, twice a second. What they got is compared; that they are cut is tidegate's right."""
        lines = self._many(CRAWLERS)
        over = threading.Event()
        crawling = threading.Thread(target=self._take, args=(lines, over), daemon=True)
        crawling.start()
        yield
        over.set()
        crawling.join()

    def _take(self, lines: list[tuple[socket.socket, Thing]], over: threading.Event) -> None:
        received = [bytearray() for _ in lines]
        for line, _ in lines:
            line.setblocking(False)
        while not over.wait(0.5):
            for (line, _), had in zip(lines, received, strict=True):
                with contextlib.suppress(OSError):
                    had += line.recv(512)
        for (line, thing), had in zip(lines, received, strict=True):
            line.close()
            head, ended, body = bytes(had).partition(b"\r\n\r\n")
            if ended and head.startswith(b"HTTP/1.1 200") and body != thing.content[: len(body)]:
                self.tally.is_wrong(f"a crawling client of {thing.key}: other bytes in its first {len(body)}")


@contextlib.contextmanager
def _held(process: object) -> Iterator[None]:
    """SIGSTOP: it takes connections and says nothing."""
    process.signal(signal.SIGSTOP)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)  # type: ignore[attr-defined]
