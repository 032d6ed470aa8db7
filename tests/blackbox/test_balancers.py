"""Several tidegates behind a balancer, by the configurations in deploy/: one is killed, one drained, one added, under load.

No byte is ever wrong, and no read fails that began after a tidegate was gone; those that were under way at one that is killed
may break off, and look broken then.
"""

import http.client
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from catalogue import BUCKET, Catalogue
from conftest import StartTidegate, make_starter
from harness import S3, Encryption, Front, Tidegate, request
from harness.balancers import Balancer, HAProxy, Nginx
from harness.readers import small_files
from waiting import until

CLIENTS = 6
CHANGE: dict[str, object] = {"server": {"lame_duck": "5s", "max_connections_per_peer": 10000}}


@dataclass(frozen=True)
class Failure:
    """A read that failed: when it began, and how. `wrong` says that bytes came that are not the file's."""

    began: float
    how: str
    wrong: bool


class Load:
    """Clients that read files through a balancer until the block is left, each read compared. With `keep` a client stays on
    its connection."""

    def __init__(self, url: str, files: Sequence[tuple[str, bytes]], keep: bool) -> None:
        self.failures: list[Failure] = []
        self.reads = 0
        self._url, self._files, self._keep = url, files, keep
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(at,), daemon=True) for at in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=60)
            assert not thread.is_alive(), "a read has no end"

    def goes_on(self, reads: int = 100) -> None:
        """Returns when so many more are through."""
        wanted = self.reads + reads
        until(lambda: self.reads >= wanted, f"{reads} more reads", timeout=60)

    def _read(self, first: int) -> None:
        connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=60)
        for at in itertools.count(first, CLIENTS):
            if self._over.is_set():
                return
            path, content = self._files[at % len(self._files)]
            began = time.monotonic()
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                got = answer.read()
                if answer.status != 200:
                    self.failures.append(Failure(began, f"{path}: {answer.status}: {got!r}", False))
                elif got != content:
                    self.failures.append(Failure(began, f"{path}: {len(got)} other bytes", True))
            except (http.client.HTTPException, OSError) as error:
                partly = getattr(error, "partial", b"")
                self.failures.append(Failure(began, f"{path}: {error!r}", not content.startswith(partly)))
                connection.close()
            if not self._keep:
                connection.close()
            self.reads += 1


@pytest.fixture
def files(front_4mb: Front) -> list[tuple[str, bytes]]:
    """Small ones, and some of several chunks."""
    return small_files(front_4mb, "balanced", 40, 30_000) + small_files(front_4mb, "balanced-large", 8, 9 << 20)


@pytest.fixture
def gates(root: Path, front_4mb: Front, request: pytest.FixtureRequest) -> Iterator[list[Tidegate]]:
    """Three tidegates; the third does not run."""
    with ExitStack() as stack:
        start = make_starter(root, stack, f"{request.node.name}-")
        three = [start(front_4mb, CHANGE) for _ in range(3)]
        three[2].stop(2.0)
        yield three


StartBalancer = Callable[[Balancer], Balancer]


@pytest.fixture
def start_balancer() -> Iterator[StartBalancer]:
    with ExitStack() as stack:

        def start(balancer: Balancer) -> Balancer:
            stack.callback(balancer.stop, 1.0)
            balancer.start()
            return balancer

        yield start


def served(gate: Tidegate) -> float:
    return gate.metrics().sum("tidegate_requests_total", method="GET", code="200")


def killed_drained_and_added(
    balancer: Balancer,
    gates: list[Tidegate],
    files: Sequence[tuple[str, bytes]],
    added: Callable[[], None] | None = None,
) -> None:
    """The whole of it. `added` tells the balancer of the third tidegate, where it has to be told. nginx ends idle connections
    of clients then, so that each read has one of its own there."""
    first, second, third = gates
    with Load(balancer.url, files, keep=added is None) as load:
        load.goes_on()
        assert served(first) and served(second)

        third.start()
        if added:
            added()
        until(lambda: served(third) > 0, "the added one serves", timeout=20)
        load.goes_on()
        assert load.failures == []

        first.kill()
        killed = time.monotonic()
        load.goes_on(300)

        second.signal(signal.SIGTERM)
        drained = time.monotonic()
        assert second.wait(30) == 0
        load.goes_on()
    assert [one for one in load.failures if one.wrong] == []
    assert [one for one in load.failures if one.began > killed] == []
    assert len(load.failures) <= CLIENTS, "only what was under way at the one that was killed"
    assert drained > killed and served(third) > 0


def test_haproxy_before_three(
    tmp_path: Path, front_4mb: Front, files: list[tuple[str, bytes]], gates: list[Tidegate], start_balancer: StartBalancer
) -> None:
    balancer = HAProxy(tmp_path / "haproxy", gates)
    start_balancer(balancer)
    until(lambda: balancer.ready() == 2, "it has found the two that run")
    killed_drained_and_added(balancer, gates, files)


def test_nginx_before_three(
    tmp_path: Path, front_4mb: Front, files: list[tuple[str, bytes]], gates: list[Tidegate], start_balancer: StartBalancer
) -> None:
    balancer = Nginx(tmp_path / "nginx", gates[:2])
    start_balancer(balancer)
    killed_drained_and_added(balancer, gates, files, lambda: balancer.hand_to(gates))


@pytest.mark.parametrize("kind", [HAProxy, Nginx])
def test_chunk_caches_add_up(
    kind: Callable[..., Balancer],
    tmp_path: Path,
    files: list[tuple[str, bytes]],
    gates: list[Tidegate],
    start_balancer: StartBalancer,
) -> None:
    """Whoever asks, a file comes through one tidegate: three of them fetch it once together, and each has its part. For HAProxy
    a tidegate may still be busy with the request before, and with no others that is more than its share."""
    gates[2].start()
    balancer = start_balancer(kind(tmp_path / "balancer", gates))
    if isinstance(balancer, HAProxy):
        until(lambda: balancer.ready() == 3, "it has found all three")
    small = files[:40]
    for path, content in small * 3:
        assert request("GET", f"{balancer.url}{path}?client=another").body == content
    fetches = [gate.metrics().sum("tidegate_fetches_total", outcome="ok") for gate in gates]
    assert len(small) <= sum(fetches) <= len(small) * (1.25 if kind is HAProxy else 1), fetches
    assert min(fetches) >= 4, fetches


def test_signatures_stay_right_through_haproxy(
    tmp_path: Path, front_4mb: Front, objects: Catalogue, start_tidegate: StartTidegate, start_balancer: StartBalancer
) -> None:
    thing = objects.sized(front_4mb, Encryption.SSE_S3, 5 << 20, "balanced-by-s3")
    gates = [start_tidegate(front_4mb, {"s3": {"gateway": [front_4mb.gateway.url]}}) for _ in range(3)]
    balancer = HAProxy(tmp_path / "haproxy", gates)
    start_balancer(balancer)
    until(lambda: balancer.ready("tidegates-s3") == 3, "it has found all three")
    signed = S3(balancer.s3_url).client
    for _ in range(3):
        assert signed.get_object(Bucket=BUCKET, Key=thing.key)["Body"].read() == thing.content
    served = sorted(gate.metrics().sum("tidegate_s3_served_total") for gate in gates)
    assert served == [0, 0, 3]
    signed.put_object(Bucket=BUCKET, Key="put-through-haproxy", Body=b"x")
    assert front_4mb.s3.client.get_object(Bucket=BUCKET, Key="put-through-haproxy")["Body"].read() == b"x"


@pytest.mark.parametrize("kind", [HAProxy, Nginx])
def test_what_had_no_answer_goes_to_another(
    kind: Callable[..., Balancer],
    tmp_path: Path,
    files: list[tuple[str, bytes]],
    gates: list[Tidegate],
    start_balancer: StartBalancer,
) -> None:
    """A tidegate that does not answer any more has taken requests, and is killed."""
    gates[2].start()
    balancer = start_balancer(kind(tmp_path / "balancer", gates))
    if isinstance(balancer, HAProxy):
        until(lambda: balancer.ready() == 3, "it has found all three")
    small = files[:20]
    gates[0].signal(signal.SIGSTOP)
    with ThreadPoolExecutor(len(small)) as pool:
        reads = [pool.submit(request, "GET", balancer.url + path) for path, _ in small]
        time.sleep(0.5)
        waiting = sum(not read.done() for read in reads)
        gates[0].kill()
        answers = [read.result() for read in reads]
    assert 0 < waiting < len(small), "some have come to the one that stands still"
    assert [answer.status for answer in answers] == [200] * len(small)
    assert [answer.body for answer in answers] == [content for _, content in small]
