"""What one client, and all of them, may ask for at a time and in a second: who is refused, who is slowed, and who is not."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import h2.connection
import h2.events
import pytest
from catalogue import put_large_and_small
from conftest import StartTidegate
from harness import Front, Payload, Tidegate, request
from harness.s3 import S3
from waiting import until

MIB = 1 << 20
SIZE = 24 * MIB
"""More than lies in buffers between here and there."""
PROXY = "127.0.0.2"


@pytest.fixture(scope="module")
def stored(front_1mb: Front) -> Payload:
    """What is at /limited/large; at /limited/small there is a little."""
    return put_large_and_small(front_1mb, "limited", SIZE)


@contextmanager
def asking(listen: str, path: str, source: str, *headers: str) -> Iterator[socket.socket]:
    """A connection from this address of the machine with a request on its way; its window is small."""
    host, _, port = listen.rpartition(":")
    with socket.socket() as line:
        line.settimeout(20)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        line.bind((source, 0))
        line.connect((host, int(port)))
        line.sendall("\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode())
        yield line


def head(line: socket.socket) -> str:
    """The answer's head, and nothing behind it."""
    read = b""
    while not read.endswith(b"\r\n\r\n"):
        read += line.recv(1)
    return read.decode()


def status(listen: str, path: str, source: str, *headers: str) -> int:
    with asking(listen, path, source, "Connection: close", *headers) as line:
        answer = b"".join(iter(lambda: line.recv(1 << 16), b""))
    return int(answer.split(b" ", 2)[1])


def hit(gate: Tidegate, limit: str) -> float:
    return gate.metrics().sum("tidegate_limits_hit_total", limit=limit)


def test_requests_at_a_time_of_one_client_and_of_all(
    front_1mb: Front, start_tidegate: StartTidegate, stored: Payload
) -> None:
    gate = start_tidegate(front_1mb, {"limits": {"requests": 3, "requests_per_peer": 2}})
    with ExitStack() as stack:
        running = [stack.enter_context(asking(gate.listen, "/limited/large", "127.0.0.9")) for _ in range(2)]
        assert [head(line).split()[1] for line in running] == ["200", "200"]
        refused = stack.enter_context(asking(gate.listen, "/limited/small", "127.0.0.9"))
        answer = head(refused)
        assert answer.startswith("HTTP/1.1 503 ") and "\r\nRetry-After: 1\r\n" in answer
        body = refused.recv(1 << 16)
        assert b'"code":"SlowDown"' in body and b'"retry":true' in body and b"limits.requests_per_peer" in body
        assert status(gate.listen, "/limited/small", "127.0.0.8") == 200, "of another client"
        other = stack.enter_context(asking(gate.listen, "/limited/large", "127.0.0.8"))
        assert head(other).startswith("HTTP/1.1 200 ")
        assert status(gate.listen, "/limited/small", "127.0.0.7") == 503
        assert request("GET", f"{gate.admin_url}/readyz").status == 200, "the admin listener is not limited"
        assert (hit(gate, "requests_per_peer"), hit(gate, "requests")) == (1, 1)
        # To its last byte, over a connection that stays.
        received = 0
        while received < SIZE:
            received += len(other.recv(MIB))
        until(lambda: status(gate.listen, "/limited/small", "127.0.0.7") == 200, "the place of a whole answer is free")
        running[0].close()
        until(lambda: status(gate.listen, "/limited/small", "127.0.0.9") == 200, "and of one whose client left")


def test_streams_of_one_connection_count_one_by_one(
    front_1mb: Front, start_tidegate: StartTidegate, stored: Payload
) -> None:
    gate = start_tidegate(front_1mb, {"limits": {"requests_per_peer": 2}})
    http = h2.connection.H2Connection()
    http.initiate_connection()
    statuses: dict[int, str] = {}
    with socket.create_connection(("127.0.0.1", gate.port), timeout=20, source_address=("127.0.0.9", 0)) as line:

        def ask(stream: int, path: str) -> str:
            http.send_headers(stream, [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path)], True)
            while stream not in statuses:
                line.sendall(http.data_to_send())
                for event in http.receive_data(line.recv(1 << 16)):
                    if isinstance(event, h2.events.ResponseReceived):
                        statuses[event.stream_id] = dict(event.headers)[b":status"].decode()
            return statuses[stream]

        # Their windows are never opened.
        assert [ask(stream, "/limited/large") for stream in (1, 3, 5)] == ["200", "200", "503"]
        http.reset_stream(3)
        line.sendall(http.data_to_send())
        streams = iter(range(7, 10_000, 2))
        until(lambda: ask(next(streams), "/limited/small") == "200", "the place of a stream that was reset is free")
    until(lambda: status(gate.listen, "/limited/small", "127.0.0.9") == 200, "all are")


def test_clients_behind_a_proxy_are_told_apart_and_others_are_not_by_what_they_say(
    front_1mb: Front, start_tidegate: StartTidegate, stored: Payload
) -> None:
    gate = start_tidegate(
        front_1mb, {"server": {"trusted_proxies": [PROXY]}, "limits": {"requests_per_peer": 1}}
    )

    def told(address: str) -> str:
        return f"X-Forwarded-For: {address}"

    with asking(gate.listen, "/limited/large", PROXY, told("192.0.2.1")) as line:
        assert head(line).startswith("HTTP/1.1 200 ")
        assert status(gate.listen, "/limited/small", PROXY, told("192.0.2.1")) == 503
        assert status(gate.listen, "/limited/small", PROXY, told("192.0.2.9, 192.0.2.1")) == 503
        assert status(gate.listen, "/limited/small", PROXY, told("192.0.2.2")) == 200
        assert status(gate.listen, "/limited/small", PROXY) == 200
    with asking(gate.listen, "/limited/large", PROXY, told("2001:db8::1")) as line:
        assert head(line).startswith("HTTP/1.1 200 ")
        assert status(gate.listen, "/limited/small", PROXY, told("2001:db8::ffff:2")) == 503, "of one /64"
        assert status(gate.listen, "/limited/small", PROXY, told("2001:db8:0:1::1")) == 200
    with asking(gate.listen, "/limited/large", "127.0.0.9") as line:
        assert head(line).startswith("HTTP/1.1 200 ")
        assert status(gate.listen, "/limited/small", "127.0.0.9", told("192.0.2.3")) == 503


def test_the_s3_front_says_slow_down(front_1mb: Front, start_tidegate: StartTidegate, stored: Payload) -> None:
    """And the fronts share the limit."""
    change = {"limits": {"requests_per_peer": 1}, "s3": {"gateway": [front_1mb.gateway.url]}}
    gate = start_tidegate(front_1mb, change)
    with asking(gate.listen, "/limited/large", "127.0.0.9") as line:
        assert head(line).startswith("HTTP/1.1 200 ")
        with asking(gate.s3_listen, "/bucket/key", "127.0.0.9") as refused:
            answer = head(refused)
            assert answer.startswith("HTTP/1.1 503 ") and "\r\nretry-after: 1\r\n" in answer.lower()
            assert b"<Code>SlowDown</Code>" in refused.recv(1 << 16)


def test_requests_of_one_client_in_a_second(
    front_1mb: Front, start_tidegate: StartTidegate, stored: Payload
) -> None:
    gate = start_tidegate(front_1mb, {"limits": {"requests_per_second_per_peer": 5}})
    with asking(gate.listen, "/limited/small", "127.0.0.9") as line:
        line.sendall(b"GET /limited/small HTTP/1.1\r\nHost: a\r\n\r\n" * 28)
        line.sendall(b"GET /limited/small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        said = b"".join(iter(lambda: line.recv(1 << 16), b""))
    answers = [int(answer[:3]) for answer in said.split(b"HTTP/1.1 ")[1:]]
    assert len(answers) == 30 and answers[:5] == [200] * 5 and answers.count(429) >= 15, answers
    assert hit(gate, "requests_per_second_per_peer") == answers.count(429)
    assert status(gate.listen, "/limited/small", "127.0.0.8") == 200, "of another client"
    assert said.count(b"\r\nRetry-After: 1\r\n") == answers.count(429)
    until(lambda: status(gate.listen, "/limited/small", "127.0.0.9") == 200, "there is another one", timeout=3)


def seconds_for(gate: Tidegate, stored: Payload, first: int, size: int, source: str, listen: str = "") -> float:
    """How long a range takes; its bytes are the right ones."""
    begun = time.monotonic()
    wanted = f"Range: bytes={first}-{first + size - 1}"
    with asking(listen or gate.listen, "/limited/large", source, wanted, "Connection: close") as line:
        assert head(line).startswith("HTTP/1.1 206 ")
        content = b"".join(iter(lambda: line.recv(1 << 16), b""))
    assert content == stored.range(first, first + size)
    return time.monotonic() - begun


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("bytes_per_second_per_download", 1.75),
        ("bytes_per_second_per_peer", 3.75),
        ("bytes_per_second", 5.75),
    ],
)
def test_bytes_in_a_second(
    limit: str, expected: float, front_1mb: Front, start_tidegate: StartTidegate, stored: Payload
) -> None:
    """Two answers of 2 MiB to one client and one to another, side by side, at 1 MiB a second of each sort."""
    gate = start_tidegate(front_1mb, {"limits": {limit: "1MiB"}})
    sources = ["127.0.0.9", "127.0.0.9", "127.0.0.8"]
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(seconds_for, gate, stored, n * MIB, 2 * MIB, source) for n, source in enumerate(sources)]
        times = [each.result() for each in asked]
    assert max(times) > expected - 0.1, times
    assert max(times) < expected + 10, times
    assert hit(gate, limit) == 3
    assert sum(hit(gate, each) for each in ("requests", "requests_per_peer")) == 0


def test_an_answer_that_is_held_back_is_not_fetched_ahead(
    front_1mb: Front, start_tidegate: StartTidegate, stored: Payload
) -> None:
    change = {"limits": {"bytes_per_second_per_download": "64KiB"}, "prefetch": {"window": 2}, "cache": {"chunks": "off"}}
    gate = start_tidegate(front_1mb, change)
    begun, received = time.monotonic(), 0
    with asking(gate.listen, "/limited/large", "127.0.0.9") as line:
        assert head(line).startswith("HTTP/1.1 200 ")
        while time.monotonic() < begun + 3:
            received += len(line.recv(1 << 16))
        most = (time.monotonic() - begun + 0.25) * (64 << 10)
        assert 64 << 10 < received <= most, received
        assert gate.metrics().sum("tidegate_fetch_bytes_total") < 8 * MIB
    until(lambda: gate.metrics().sum("tidegate_fetches_in_flight") == 0, "nothing is fetched for nobody")


def test_relayed_answers_and_those_of_the_s3_front_are_slowed_too(
    front_1mb: Front, start_tidegate: StartTidegate, stored: Payload
) -> None:
    change = {"limits": {"bytes_per_second_per_peer": "1MiB"}, "s3": {"gateway": [front_1mb.gateway.url]}}
    gate = start_tidegate(front_1mb, change)
    s3, over_s3_front = front_1mb.s3.client, S3(gate.s3_url).client
    s3.create_bucket(Bucket="slowed")
    s3.put_object(Bucket="slowed", Key="k", Body=stored.range(0, 2 * MIB))
    chunk = json.loads(request("GET", front_1mb.filer.url + "/limited/large?metadata=true").body)["chunks"][0]["file_id"]
    asked: list[Callable[[], bytes]] = [
        lambda: request("GET", f"{gate.url}/?proxyChunkId={chunk}").body,
        lambda: over_s3_front.get_object(Bucket="slowed", Key="k")["Body"].read(),
    ]
    for ask, size in zip(asked, (MIB, 2 * MIB), strict=True):
        begun = time.monotonic()
        assert ask() == stored.range(0, size)
        assert time.monotonic() - begun > size / MIB - 0.35
    assert gate.metrics().sum("tidegate_s3_served_total") == 1
