"""Clients that crawl, and hold the memory of all downloads: others have a share of it, and soon."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from catalogue import MIB, Catalogue, Object
from conftest import StartTidegate
from harness import Encryption, Front, Tidegate
from waiting import until

CRAWLER, OTHER = "127.0.0.2", "127.0.0.3"
LARGE = 64 * MIB
# How soon somebody else has the first byte, in seconds.
WANTED = 10.0


@pytest.fixture(scope="module")
def large(front_1mb: Front, objects: Catalogue) -> Object:
    """64 MiB, encrypted."""
    return objects.sized(front_1mb, Encryption.SSE_S3, LARGE, "crawled")


@pytest.fixture(scope="module")
def whole(front_1mb: Front, objects: Catalogue) -> Object:
    """One chunk that is held until its checksum is known."""
    return objects.sized(front_1mb, Encryption.SSE_S3, MIB - 5, "held")


class Crawlers:
    """Connections on each of which a large answer is read by 512 bytes now and then."""

    def __init__(self, gate: Tidegate, path: str, addresses: list[str]) -> None:
        self.lines = [self._line(gate, path, address) for address in addresses]
        self._ends = threading.Event()
        self._crawl = threading.Thread(target=self._run)
        self._crawl.start()

    @staticmethod
    def _line(gate: Tidegate, path: str, address: str) -> socket.socket:
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        line.bind((address, 0))
        line.connect(("127.0.0.1", gate.port))
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        line.setblocking(False)
        return line

    def _run(self) -> None:
        while not self._ends.wait(1):
            for line in self.lines:
                try:
                    line.recv(512)
                except (BlockingIOError, ConnectionError):
                    pass

    def cut(self) -> int:
        """How many of them have been reset."""
        reset = [line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for line in self.lines]
        return sum(error != 0 for error in reset)

    def stop(self) -> None:
        """Ends all."""
        self._ends.set()
        self._crawl.join(5)
        for line in self.lines:
            line.close()


@contextmanager
def crawling(gate: Tidegate, path: str, addresses: list[str]) -> Iterator[Crawlers]:
    crawlers = Crawlers(gate, path, addresses)
    try:
        yield crawlers
    finally:
        crawlers.stop()


def read(gate: Tidegate, path: str, size: int, address: str) -> tuple[float, bytes]:
    """The first bytes of a file, and the seconds until the first of them was here."""
    connection = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=60, source_address=(address, 0))
    began = time.monotonic()
    connection.request("GET", path, headers={"Range": f"bytes=0-{size - 1}"})
    answer = connection.getresponse()
    assert answer.status == 206, answer.read()
    first = answer.read(1)
    waited = time.monotonic() - began
    try:
        body = first + answer.read()
    except ConnectionError as error:
        of_it = [line for line in gate.log.read_text().splitlines() if address in line]
        raise AssertionError(f"{error} after {time.monotonic() - began:.1f} s: {of_it[-5:]}") from error
    connection.close()
    return waited, body


def all_memory_is_taken(gate: Tidegate) -> None:
    until(lambda: gate.metrics().sum("tidegate_prefetch_memory_waits_total", **{"for": "floor"}) > 0, "it is taken")


def test_1100_readers_of_one_address_that_crawl_keep_nobody_else_out(
    front_1mb: Front, large: Object, start_tidegate: StartTidegate
) -> None:
    gate = start_tidegate(front_1mb, {})
    with crawling(gate, large.path(), [CRAWLER] * 1100):
        all_memory_is_taken(gate)
        for _ in range(2):
            waited, body = read(gate, large.path(), 8 * MIB, OTHER)
            assert waited < WANTED
            assert body == large.content[: 8 * MIB]


def test_who_has_most_gives_up_for_others(front_1mb: Front, large: Object, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_1mb, {"prefetch": {"memory": "8MiB"}, "server": {"min_rate": 0}})
    with crawling(gate, large.path(), [CRAWLER] * 40):
        all_memory_is_taken(gate)
        # More than are kept for those who have none.
        with crawling(gate, large.path(), [OTHER] * 10):
            until(lambda: gate.metrics().sum("tidegate_downloads_cut_total", reason="share") >= 3, "they have a share")


def test_as_many_addresses_as_crawl_keep_nobody_out(
    front_1mb: Front, large: Object, start_tidegate: StartTidegate
) -> None:
    gate = start_tidegate(front_1mb, {"prefetch": {"memory": "8MiB"}})
    with crawling(gate, large.path(), [f"127.0.1.{n}" for n in range(1, 41)]):
        all_memory_is_taken(gate)
        # Their rate is told when what the system holds for them is full.
        until(lambda: gate.metrics().sum("tidegate_downloads_cut_total", reason="slow") > 0, "some are cut", timeout=60)
        waited, body = read(gate, large.path(), MIB, OTHER)
        assert waited < WANTED
        assert body == large.content[:MIB]


def test_a_chunk_that_is_held_whole_has_memory_too(
    front_1mb: Front, large: Object, whole: Object, start_tidegate: StartTidegate
) -> None:
    """It needs more than its floor, and what all share is with those who crawl."""
    gate = start_tidegate(front_1mb, {"prefetch": {"memory": "8MiB"}})
    with crawling(gate, large.path(), [CRAWLER] * 30):
        time.sleep(3)
        for _ in range(2):
            waited, body = read(gate, whole.path(), MIB - 5, OTHER)
            assert body == whole.content
            assert waited < WANTED


def test_who_crawls_is_left_alone_while_nobody_waits(
    front_1mb: Front, large: Object, start_tidegate: StartTidegate
) -> None:
    gate = start_tidegate(front_1mb, {})
    with crawling(gate, large.path(), [CRAWLER] * 20) as crawlers:
        until(lambda: gate.metrics().sum("tidegate_prefetch_buffer_bytes") > 0, "they are served")
        for _ in range(10):
            read(gate, large.path(), LARGE, OTHER)
        assert (crawlers.cut(), gate.metrics().sum("tidegate_downloads_cut_total")) == (0, 0)


def test_who_is_held_back_by_a_limit_is_not_slow(front_1mb: Front, large: Object, start_tidegate: StartTidegate) -> None:
    limits = {"bytes_per_second_per_download": "16KiB"}
    gate = start_tidegate(front_1mb, {"prefetch": {"memory": "8MiB"}, "server": {"min_rate": "1MiB"}, "limits": limits})
    with ExitStack() as lines:
        for at in range(40):
            line = http.client.HTTPConnection("127.0.0.1", gate.port, source_address=(f"127.0.0.{10 + at}", 0))
            lines.callback(line.close)
            line.request("GET", large.path())
        all_memory_is_taken(gate)
        time.sleep(8)
        assert gate.metrics().sum("tidegate_downloads_cut_total") == 0
